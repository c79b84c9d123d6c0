"""The Picks page's map: all samples as points on a canvas, the picks of the epoch lit up; a lasso selects."""

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from aat_explore.dashboard import beside, choices, page, picks_sheet, selection, sheet, state
from aat_explore.datasets import Dataset
from aat_explore.optional import installed, remedy
from aat_explore.store import Run
from aat_explore.store.embeddings import Embeddings, Method
from aat_explore.views import frames
from aat_explore.views.canvas.points import (
    CLASS,
    CSS,
    HTML,
    JS,
    OF_NETWORK,
    OF_RUN,
    OF_SCORES,
    PICKED,
    notes,
    points_of,
)
from aat_explore.views.frames.samples_map import DATA_MAP, EMBEDDINGS, MAP_OF_P, Axis

MOST_BESIDE = 40  # images of the selection that fit beside the map

STYLE = """
.map { height: calc(100vh - 168px); min-height: 380px; --map-ink: var(--st-text-color);
       --map-ground: var(--st-background-color); --map-panel: var(--st-secondary-background-color);
       --map-border: var(--st-border-color); --map-accent: var(--st-primary-color); --map-font: var(--st-font); }
"""
SHOW = """
const maps = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".map");
  if (!maps.has(root)) maps.set(root, new SamplesMap(root, setTriggerValue));
  const map = maps.get(root);
  map.tell = setTriggerValue;
  map.update(unpack(data));
}
"""

_map = st.components.v2.component("aat_samples_map", html=HTML, css=STYLE + CSS, js=JS + SHOW)


def show(run: Run, epoch: int, dataset: Dataset | None, classes: Sequence[str], selected: tuple[int, ...]) -> None:
    """Draw the map of these classes (none: all); a click on a point shows its sample at the side."""
    offered = page.remembered(frames.samples_map.offered, run)
    with st.sidebar:
        names = _choose_axes(offered)
        by_class = dataset is not None and choices.switch("Colour", (PICKED, CLASS), "colour") == CLASS
    axes = _axes(run, epoch, dataset, names)
    if axes is None:
        return
    points = points_of(
        run,
        epoch,
        dataset,
        axes,
        key=f"{run.id} {' '.join(names)}",
        selected=selected,
        classes=classes,
        by_class=by_class,
        dark=page.dark(),
    )

    def select() -> None:
        event = state.component("map").get("selected")
        rows = event.get("rows") if isinstance(event, Mapping) else None
        if isinstance(rows, list) and all(isinstance(row, int) and 0 <= row < len(points.picked) for row in rows):
            selection.put(run.config.dataset, rows)

    def open_() -> None:
        clicked = state.component("map").get("clicked")
        if isinstance(clicked, int | float) and 0 <= clicked < len(points.picked):
            beside.put(run.config.dataset, int(clicked))

    _map(data=points.packed(), key="map", on_clicked_change=open_, on_selected_change=select)
    words = [f"Strong colours: picked in epoch {epoch}"] if by_class else []
    words += ["Drag moves, wheel zooms, Shift-drag selects, click shows a sample"]
    if names in EMBEDDINGS.values():
        words.append(f"placed by the network after epoch {run.checkpoints()[-1]}")
    words += notes(names, axes, offered)
    st.caption(" · ".join(words))


def lassoed(run: Run, dataset: Dataset | None, selected: tuple[int, ...], opened: int | None) -> None:
    """Draw the images of the selected samples; a click shows one at the side."""
    if dataset is None or not selected:
        return
    rows = list(selected[:MOST_BESIDE])
    images = frames.sample.clean_images(run, dataset, rows)
    titles = [f"#{row}, {frames.sample.class_of(run, dataset, row)}" for row in rows]
    sheet.draw(
        {"clean": images},
        sheet.Tiles(titles=titles, ids=rows, opened=opened),
        "lassoed",
        scale=picks_sheet.scale_of(images.shape[-1], "S"),
        on_select=lambda row: selection.flip(run.config.dataset, row),
        on_open=lambda at: beside.put(run.config.dataset, rows[at], "selection", selected),
    )
    first = "" if len(rows) == len(selected) else f", the first {len(rows)} shown"
    st.caption(f"{len(selected):,} selected{first}")


# --- Axes ------------------------------------------------------------------------------------------------------------


def _choose_axes(offered: Sequence[str]) -> tuple[str, str]:
    """Ask for what the map shows, as two names of `frames.samples_map.QUANTITIES`."""
    of_run = next((pair for pair in (DATA_MAP, MAP_OF_P) if pair[0] in offered), None)
    kinds = [OF_RUN] if of_run else []
    kinds += [OF_SCORES] if len(offered) > 1 else []
    kind = choices.switch("Axes", (*kinds, OF_NETWORK), "axes")
    if kind == OF_RUN and of_run:
        return of_run
    if kind == OF_NETWORK:
        return EMBEDDINGS["umap" if choices.switch("Method", ("PCA", "UMAP"), "method") == "UMAP" else "pca"]
    words = {name: name.replace("-", " ") for name in offered}
    x = choices.choose("x", offered, "x", names=words)
    return x, choices.choose("y", [name for name in offered if name != x], "y", names=words)


def _axes(run: Run, epoch: int, dataset: Dataset | None, names: tuple[str, str]) -> tuple[Axis, Axis] | None:
    """The axes of these names; None, and a message, if this epoch or this cache does not have them."""
    values: dict[str, frames.samples_map.Floats] = {}
    if method := next((method for method, pair in EMBEDDINGS.items() if names == pair), None):
        if (points := _embedding(run, dataset, method)) is None:
            return None
        values = dict(zip(names, points.T, strict=True))
    else:
        values = frames.samples_map.values_of(run, epoch, names, page.held, page.remembered)
    if lacking := frames.samples_map.lacking(epoch, names, values):
        st.info(lacking)
        return None
    x, y = (frames.samples_map.axis(name, values[name]) for name in names)
    return x, y


def _embedding(run: Run, dataset: Dataset | None, method: Method) -> NDArray[np.float32] | None:
    """The run's embedding; None, and how to make it, if there is none."""
    if not run.checkpoints():
        st.info("This copy of the run has no weights, so its last hidden layer is unknown.")
        return None
    matrix, drawn = page.held(frames.sample.p_matrix, run), page.held(frames.sample.draw_matrix, run)
    points = Embeddings(page.cache_dir()).read(run, frames.sample.num_train(matrix, drawn, dataset), method)
    if points is None:
        st.info("This run has no embedding of its samples yet. This command computes it:")
        st.code(page.command(f"embed {run.id}" + ("" if method == "pca" else f" --method {method}")), language="bash")
        if method == "umap" and not installed("umap"):
            st.caption(f"UMAP needs a library: `{remedy('umap')}`.")
    return points
