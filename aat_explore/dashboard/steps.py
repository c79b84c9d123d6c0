"""The list that Previous and Next follow on the Sample page: the one an image was opened from, or one of the run's."""

from collections.abc import Iterable

import numpy as np
import streamlit as st

from aat_explore.dashboard import choices, page, state
from aat_explore.dashboard.sample_panel import Sample
from aat_explore.views import frames
from aat_explore.views.protocols import Array

KEY = "list"


def remember(dataset: str, name: str, rows: Iterable[int]) -> None:
    """Let Previous and Next follow these rows of a data set, in this order, under this name; before `page.open_page`.

    They do as long as the image shown is among them.
    """
    state.LIST.set((dataset, name, tuple(int(row) for row in rows)))
    choices.ask(KEY, name)


def choose_list(sample: Sample) -> str:
    """The list to step through: by default the one that the image was opened from, if it is in it."""
    names = frames.sample.list_names(sample.matrix, sample.drawn, sample.dataset)
    opened = state.LIST.get()
    if opened is not None and opened[0] == sample.run.config.dataset and sample.image in opened[2]:
        names = [opened[1], *(name for name in names if name != opened[1])]
    return choices.choose("Step through", names, KEY)


def show(sample: Sample, name: str, epoch: int) -> None:
    """Buttons to the images before and after it, and its place in the list; in a horizontal container."""
    place = frames.sample.place_in_list(_rows(sample, name, epoch), sample.image)
    _step("Previous", place.before, "Shift+Up", "arrow_upward", "Shift+↑")
    _step("Next", place.after, "Shift+Down", "arrow_downward", "Shift+↓")
    title = f"{name}, epoch {epoch}" if name in frames.sample.LISTS_OF_EPOCH else name
    if not place.total:
        st.caption(f"0 of 0 ({page.plain(title)})", width="content")
    elif place.position is None:
        st.caption(f"not among the {place.total:,} ({page.plain(title)})", width="content")
    else:
        st.caption(f"{place.position:,} of {place.total:,} ({page.plain(title)})", width="content")


def _rows(sample: Sample, name: str, epoch: int) -> Array:
    opened = state.LIST.get()
    if opened is not None and name == opened[1]:
        return np.array(opened[2], dtype=np.int64)
    return frames.sample.listed(name, sample.matrix, sample.drawn, sample.dataset, epoch, sample.image)


def _step(label: str, to: int | None, keys: str, icon: str, hint: str) -> None:
    st.button(
        label,
        disabled=to is None,
        on_click=choices.ask,
        args=("image", to),
        shortcut=keys,
        icon=f":material/{icon}:",
        key=label,
        help=f"{label} image of the list ({hint})",
    )
