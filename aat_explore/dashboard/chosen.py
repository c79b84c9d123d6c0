"""The Picks page's view of the selection: its images, and what became of them in this run and in another."""

import streamlit as st

from aat_explore.dashboard import beside, choices, context, downloads, page, picks_sheet, selection, sheet
from aat_explore.datasets import Dataset
from aat_explore.store import Run
from aat_explore.views import frames, names
from aat_explore.views.protocols import Frame

MOST_IMAGES = 500
FATES = {
    "share of epochs": st.column_config.NumberColumn(format="percent"),
    "mean p, × uniform": st.column_config.NumberColumn(format="%.2f", help="Mean over the epochs of p·T"),
    "last p, × uniform": st.column_config.NumberColumn(format="%.2f", help="p·T in the last epoch with p"),
    "last rank": st.column_config.NumberColumn(format="localized", help="1 is the most likely of all T"),
}


def show(run: Run, dataset: Dataset | None, selected: tuple[int, ...], opened: int | None) -> None:
    """Draw the selected samples and their numbers; a click on an image shows it at the side."""
    if not selected:
        st.info(
            "Nothing is selected yet. Select images on the sheet or filmstrip by clicking with Shift (or press s on "
            "one), lasso points on the map, or choose a tag in the sidebar."
        )
        return
    same = [other for other in page.readable_runs() if other.config.dataset == run.config.dataset and other.recorded]
    others = [other for other in same if other.id != run.id]
    other = None
    with st.sidebar:
        size = choices.switch("Size", ("S", "M", "L"), "size", default="M", label_visibility="collapsed")
        compared = bool(others) and choices.toggle("Compare with another run", "compare")
    if compared:
        other = context.choose_run(others, key="with", label="Other run")
    here = _fates(run, dataset, selected)
    _images(run, dataset, here, size, opened)
    table = here
    if other is not None:
        named = names.names({run.id: run.config, other.id: other.config})
        there = _fates(other, dataset, selected)
        first, second = named[run.id], named[other.id]
        table = frames.fates.beside(here, there, (first, second))
        often = (here["times picked"].mean(), there["times picked"].mean())
        st.markdown(
            f"Picked {often[0]:.1f} times on average in **{page.plain(first)}** ({run.epoch} epochs), {often[1]:.1f} "
            f"times in **{page.plain(second)}** ({other.epoch} epochs)."
        )
    columns = [str(column) for column in table]
    config = {column: FATES[number] for column in columns for number in FATES if column.startswith(number)}
    downloads.table(table, alt=f"The {len(selected)} selected samples in the chosen runs", column_config=config)


def _fates(run: Run, dataset: Dataset | None, selected: tuple[int, ...]) -> Frame:
    matrix, drawn = page.held(frames.sample.p_matrix, run), page.held(frames.sample.draw_matrix, run)
    return frames.fates.fates(run, matrix, drawn, selected, dataset)


def _images(run: Run, dataset: Dataset | None, table: Frame, size: str, opened: int | None) -> None:
    if dataset is None:
        return
    ordered = table.sort_values(["times picked", "row"], ascending=[False, True]).head(MOST_IMAGES)
    rows = ordered["row"].tolist()
    images = frames.sample.clean_images(run, dataset, rows)
    titles = [
        f"#{row}, {name}, picked in {times} of {run.epoch} epochs"
        for row, name, times in zip(rows, ordered["class"], ordered["times picked"], strict=True)
    ]
    sheet.draw(
        {"clean": images},
        sheet.Tiles(titles=titles, ids=rows, opened=opened),
        "selection",
        scale=picks_sheet.scale_of(images.shape[-1], size),
        on_select=lambda row: selection.flip(run.config.dataset, row),
        on_open=lambda at: beside.put(run.config.dataset, rows[at], "selection", rows),
    )
    left_out = "" if len(table) <= MOST_IMAGES else f" the first {MOST_IMAGES} of"
    st.caption(f"Showing{left_out} {len(table):,} selected samples, most often picked first. Shift-click unselects.")
