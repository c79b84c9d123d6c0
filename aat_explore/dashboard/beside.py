"""The Picks page's sample at the side: the one whose tile or point was clicked, shown without leaving the page."""

from collections.abc import Iterable

import streamlit as st

from aat_explore.dashboard import choices, page, sample_panel, steps
from aat_explore.datasets import Dataset
from aat_explore.store import Run

KEY = "beside"


def put(dataset: str, row: int, name: str = "", rows: Iterable[int] = ()) -> None:
    """Show this row of a data set at the side, and on Sample and Attack lab when they are opened; for a callback.

    There, Previous and Next follow `rows`, called `name`.
    """
    choices.ask(KEY, f"{dataset}:{row}")
    choices.ask("image", row)
    if name:
        steps.remember(dataset, name, rows)


def row_of(run: Run, dataset: Dataset | None) -> int | None:
    """The row at the side; None if there is none, or if it is another data set's."""
    text = choices.param(KEY)
    if text is None:
        return None
    name, _, row = text.rpartition(":")
    if name and name != run.config.dataset:
        return None
    if not row.isdecimal() or len(row) > 9 or int(row) >= sample_panel.load(run, dataset, 0).num_train:
        st.warning(
            f"The link shows {page.plain(text[:60])} at the side, which is no training image of this run.",
            icon=choices.LINK_OFF,
        )
        choices.set_param(KEY, None)
        return None
    return int(row)


def show(run: Run, dataset: Dataset | None, epoch: int, row: int) -> None:
    """Draw the sample in this epoch, with a button to close it."""
    with st.container(key="beside", gap="xxsmall"):
        sample_panel.panel(run, dataset, epoch, row, on_close=_close)


def _close() -> None:
    choices.set_param(KEY, None)
