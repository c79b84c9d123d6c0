"""The Picks page's map: all samples as points on a canvas, the picks of the epoch lit up; a lasso selects.

Altair draws each point as a shape of its own, which at T = 55,000 takes seconds; here the browser gets one block of
bytes and writes pixels. Text is set as text, never as HTML: it comes from files.
"""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from aat_explore.dashboard import beside, choices, page, picks_sheet, selection, sheet, state
from aat_explore.datasets import Dataset
from aat_explore.optional import installed, remedy
from aat_explore.store import Run
from aat_explore.store.embeddings import Embeddings, Method
from aat_explore.views import charts, frames
from aat_explore.views.frames.samples_map import DATA_MAP, EMBEDDINGS, MAP_OF_P, Axis
from aat_explore.views.protocols import UInt8

OF_RUN, OF_SCORES, OF_NETWORK = "Data map", "Scores", "Embedding"
PICKED, CLASS = "picked", "class"
MOST_BESIDE = 40  # images of the selection that fit beside the map
SELECTED = "#e08a00"  # as on sheets
CLASSES = (  # after Petroff 2021, for colour-blind readers, visible on light and dark; red is left to the picks
    "#3f90da", "#ffa90e", "#2a9d5c", "#94a4a2", "#9a4fd0", "#a96b59", "#e76300", "#b9ac70", "#e377c2", "#92dadd",
)  # fmt: skip

HTML = """
<div class="map" role="group" aria-label="Map of samples">
  <div class="bar">
    <button data-act="lasso" aria-pressed="false" title="Select by encircling; also a drag with Shift">Lasso</button>
    <button data-act="in" title="Zoom in (+, or the wheel)" aria-label="Zoom in">+</button>
    <button data-act="out" title="Zoom out (−, or the wheel)" aria-label="Zoom out">−</button>
    <button data-act="all" title="Show all (0, or a double click)">All</button>
    <span class="readout"></span><span class="legend"></span>
  </div>
  <div class="plot">
    <canvas class="points"></canvas>
    <canvas class="over" tabindex="0" role="application" aria-roledescription="map"></canvas>
    <div class="tip" role="status" hidden></div>
  </div>
</div>
"""
CSS = """
.map { display: flex; flex-direction: column; gap: 4px; height: calc(100vh - 168px); min-height: 380px;
       font-family: var(--st-font); font-size: 12px; color: var(--st-text-color); }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 6px; }
.bar button { all: unset; cursor: pointer; padding: 1px 9px; border-radius: 5px;
              border: 1px solid var(--st-border-color); }
.bar button:hover, .bar button:focus-visible { border-color: var(--st-primary-color); }
.bar button:focus-visible, .over:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: -1px; }
.bar button[aria-pressed="true"] { background: var(--st-primary-color); color: white; }
.readout { margin: 0 6px; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: 0 10px; }
.legend i { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 4px; }
.plot { position: relative; flex: 1; min-height: 0; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
.over { cursor: grab; touch-action: none; }
.tip { position: absolute; pointer-events: none; padding: 3px 7px; border-radius: 4px; white-space: pre; z-index: 2;
       background: var(--st-secondary-background-color); border: 1px solid var(--st-border-color); }
"""
JS = "".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("plotting.js", "samples_map.js"))

_map = st.components.v2.component("aat_samples_map", html=HTML, css=CSS, js=JS)


@dataclass(frozen=True)
class Points:
    """What the browser needs of the map: both axes, which samples are picked and selected, and their classes.

    `picked` and `selected` bool (T,); `labels` uint8 (T,) into `classes`, or None; `shown` bool (T,), the rest is left
    out. `key` names run and axes: while it stays the same, points move to their next place. `legend`: label → colour.
    """

    key: str
    epoch: int
    axes: tuple[Axis, Axis]
    picked: NDArray[np.bool_]
    selected: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    labels: UInt8 | None
    classes: Sequence[str]
    colours: Mapping[str, str | Sequence[str]]
    legend: Mapping[str, str]

    def packed(self) -> bytes:
        """As bytes: the length of a JSON head, the head, then x and y, float32, a bit for each flag, and the labels."""
        head: dict[str, Any] = {
            "key": self.key,
            "epoch": self.epoch,
            "count": len(self.picked),
            "axes": [{"title": axis.title, "log": axis.log, "whole": axis.whole} for axis in self.axes],
            "classes": list(self.classes) if self.labels is not None else [],
            "colours": dict(self.colours),
            "legend": list(self.legend.items()),
            "alt": f"Map of training samples, epoch {self.epoch}: {frames.samples_map.facts(self.axes, self.picked)}",
        }
        values = [np.where(self.shown, axis.values, np.float32("nan")).astype("<f4") for axis in self.axes]
        flags = [np.packbits(flag, bitorder="little") for flag in (self.picked, self.selected)]
        arrays = b"".join(array.tobytes() for array in (*values, *flags))
        if self.labels is not None:
            arrays += self.labels.astype(np.uint8).tobytes()
        head["stamp"] = hashlib.sha256(repr(head).encode() + arrays).hexdigest()[:16]
        text = json.dumps(head).encode()
        return struct.pack("<I", len(text)) + text + arrays


def show(run: Run, epoch: int, dataset: Dataset | None, classes: Sequence[str], selected: tuple[int, ...]) -> None:
    """Draw the map of these classes (none: all); a click on a point shows its sample at the side."""
    offered = page.remembered(frames.samples_map.offered, run)
    with st.sidebar:
        names = _choose_axes(offered)
        by_class = dataset is not None and choices.switch("Colour", (PICKED, CLASS), "colour") == CLASS
    axes = _axes(run, epoch, dataset, names)
    if axes is None:
        return
    points = _points(run, epoch, dataset, classes, selected, axes, " ".join(names), by_class)

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
    notes = [f"Strong colours: picked in epoch {epoch}"] if by_class else []
    notes += ["Drag moves, wheel zooms, Shift-drag selects, click shows a sample"]
    if names == DATA_MAP:
        notes.append("probabilities over all scored epochs")
    if names == MAP_OF_P and not set(DATA_MAP) <= set(offered):
        notes.append("by p, because this run recorded no losses for a data map")
    if names in EMBEDDINGS.values():
        notes.append(f"placed by the network after epoch {run.checkpoints()[-1]}")
    if any(axis.whole for axis in axes):
        notes.append("samples of a count are spread around it")
    if zeros := frames.samples_map.nowhere(axes):
        notes.append(f"{zeros:,} of {len(points.picked):,} are 0 on a log axis and have no place on it")
    st.caption(" · ".join(notes))


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
    if set(names) & set(DATA_MAP) and (data_map := page.held(frames.samples_map.data_map, run)) is not None:
        values |= data_map
    if set(names) & set(MAP_OF_P) and (of_p := page.held(frames.sample.sample_map, run)) is not None:
        values |= frames.samples_map.map_of_p(of_p)
    if frames.samples_map.TIMES in names:
        drawn = page.held(frames.sample.draw_matrix, run)
        values[frames.samples_map.TIMES] = frames.samples_map.times_so_far(drawn, epoch)
    if not set(names) <= set(values):
        values |= page.remembered(frames.samples_map.of_epoch, run, epoch, names)
    if lacking := [name for name in names if name not in values]:
        st.info(f"Epoch {epoch} has no {' and no '.join(lacking)} (warm-up, or not recorded); choose another epoch.")
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


# --- Points ----------------------------------------------------------------------------------------------------------


def _points(
    run: Run,
    epoch: int,
    dataset: Dataset | None,
    classes: Sequence[str],
    selected: tuple[int, ...],
    axes: tuple[Axis, Axis],
    names: str,
    by_class: bool,
) -> Points:
    count = len(axes[0].values)
    picked, chosen = np.zeros(count, bool), np.zeros(count, bool)
    picked[run.drawn(epoch)] = True
    chosen[[row for row in selected if row < count]] = True
    every = () if dataset is None else dataset.class_names
    labels = None if dataset is None else frames.recorded.labels_of(run, dataset, np.arange(count))
    shown = np.ones(count, bool)
    if labels is not None and classes:
        shown = np.isin(labels, [label for label, name in enumerate(every) if name in classes])
    groups = charts.style.GROUP_COLOURS[page.dark()]
    colours: dict[str, str | list[str]] = {"all": groups["all"], "picked": groups["drawn"], "selected": SELECTED}
    legend = {f"picked in epoch {epoch}": groups["drawn"]}
    if by_class:
        legend = {}
        of_class = [CLASSES[label % len(CLASSES)] for label in range(len(every))]
        colours["classes"] = of_class
        legend |= {name: of_class[label] for label, name in enumerate(every) if not classes or name in classes}
    else:
        legend["others"] = groups["all"]
    if chosen.any():
        legend["selected"] = SELECTED
    return Points(
        key=f"{run.id} {names}",
        epoch=epoch,
        axes=axes,
        picked=picked,
        selected=chosen,
        shown=shown,
        labels=labels,
        classes=every,
        colours=colours,
        legend=legend,
    )
