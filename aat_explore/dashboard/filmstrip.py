"""The Picks page's filmstrip: one row of picked images per epoch, so that one picture shows how the picks change."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from aat_explore.dashboard import beside, choices, page, picks_sheet, selection, sheet
from aat_explore.datasets import Dataset
from aat_explore.store import Run
from aat_explore.views import frames

SPACED, EVERY = "1, 2, 3, 5, …", "every"
ROWS = 12  # epochs that fit the first screen
MOST_ROWS = 40  # at 1,000 epochs a strip of all would be 60,000 pixels high
PER_ROW = 60  # tiles; the window cuts those that do not fit


@dataclass(frozen=True)
class Options:
    """How the filmstrip is made."""

    order: str
    every: bool
    size: str


def _choose_options(run: Run) -> Options:
    """Ask for order, epochs and size."""
    order = choices.choose("Order", frames.filmstrip.ORDERS, "film")
    several = run.epoch > ROWS
    every = several and choices.switch("Epochs", (SPACED, EVERY), "epochs") == EVERY
    size = choices.switch("Size", ("S", "M", "L"), "size", default="M", label_visibility="collapsed")
    return Options(order, every, size)


def show(
    run: Run, dataset: Dataset | None, classes: Sequence[str], selected: tuple[int, ...], opened: int | None
) -> None:
    """Draw the strip of these classes (none: all); a click shows the image at the side."""
    with st.sidebar:
        options = _choose_options(run)
    epochs = frames.filmstrip.epochs_shown(run, MOST_ROWS if options.every else ROWS)
    if dataset is None:
        st.info(f"The filmstrip needs the clean images of {page.plain(run.config.dataset)}.")
        return
    strip = page.remembered(frames.filmstrip.filmstrip, run, epochs, PER_ROW, options.order, dataset, tuple(classes))
    rows = [of_epoch.rows for of_epoch in strip]
    counts = {f"epoch {number}": len(of_epoch) for number, of_epoch in zip(epochs, rows, strict=True)}
    ids = np.concatenate(rows) if rows else np.zeros(0, int)
    if not len(ids):
        st.info("No epoch of this run picked anything.")
        return
    images = frames.sample.clean_images(run, dataset, ids)
    tiles = sheet.Tiles(
        titles=[title for of_epoch in strip for title in of_epoch.titles],
        ids=ids.tolist(),
        groups=counts,
        selected=selected,
        opened=opened,
    )
    ends = np.cumsum([len(of_epoch) for of_epoch in rows])

    def open_(at: int) -> None:
        row = int(np.searchsorted(ends, at, side="right"))
        name = f"{options.order} of epoch {epochs[row]}"
        beside.put(run.config.dataset, int(ids[at]), name, rows[row].tolist())

    sheet.draw(
        {"clean": images},
        tiles,
        "filmstrip",
        scale=picks_sheet.scale_of(images.shape[-1], options.size),
        on_select=lambda row: selection.flip(run.config.dataset, row),
        on_open=open_,
    )
    st.caption(
        f"{options.order}, {len(epochs)} of {run.epoch} epochs. An image under the pointer lights up in every row."
    )
