"""What the browser needs of a map of samples, and what it draws it with."""

import hashlib
import json
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aat_explore.views import charts, frames
from aat_explore.views.frames.samples_map import DATA_MAP, MAP_OF_P, Axis
from aat_explore.views.protocols import Dataset, Run, UInt8

OF_RUN, OF_SCORES, OF_NETWORK = "Data map", "Scores", "Embedding"  # kinds of axes
PICKED, CLASS = "picked", "class"  # what the colour of a point can mean
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
# The layer that shows the map gives it a height, and --map-ink, -ground, -panel, -border, -accent and -font.
CSS = """
.map { display: flex; flex-direction: column; gap: 4px; font-family: var(--map-font); font-size: 12px;
       color: var(--map-ink); }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 6px; }
.bar button { all: unset; cursor: pointer; padding: 1px 9px; border-radius: 5px; border: 1px solid var(--map-border); }
.bar button:hover, .bar button:focus-visible { border-color: var(--map-accent); }
.bar button:focus-visible, .over:focus-visible { outline: 2px solid var(--map-accent); outline-offset: -1px; }
.bar button[aria-pressed="true"] { background: var(--map-accent); color: white; }
.readout { margin: 0 6px; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: 0 10px; }
.legend i { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 4px; }
.plot { position: relative; flex: 1; min-height: 0; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
.over { cursor: grab; touch-action: none; }
.tip { position: absolute; pointer-events: none; padding: 3px 7px; border-radius: 4px; white-space: pre; z-index: 2;
       background: var(--map-panel); border: 1px solid var(--map-border); }
"""
JS = "".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("plotting.js", "samples_map.js"))


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

    @cached_property
    def words(self) -> str:
        """The map in words."""
        facts = frames.samples_map.facts(self.axes, self.picked)
        return f"Map of training samples, epoch {self.epoch}: {facts}"

    @cached_property
    def arrays(self) -> dict[str, bytes]:
        """The samples as bytes: x and y, float32, a bit for each flag, the lowest first, and the labels, uint8."""
        values = [np.where(self.shown, axis.values, np.float32("nan")).astype("<f4") for axis in self.axes]
        return {
            "values": b"".join(of_axis.tobytes() for of_axis in values),
            "picked": np.packbits(self.picked, bitorder="little").tobytes(),
            "selected": np.packbits(self.selected, bitorder="little").tobytes(),
            "labels": b"" if self.labels is None else self.labels.astype(np.uint8).tobytes(),
        }

    @cached_property
    def head(self) -> dict[str, Any]:
        """Everything else, as JSON has it; `stamp` changes with any of it and with the arrays."""
        head: dict[str, Any] = {
            "key": self.key,
            "epoch": self.epoch,
            "count": len(self.picked),
            "axes": [{"title": axis.title, "log": axis.log, "whole": axis.whole} for axis in self.axes],
            "classes": list(self.classes) if self.labels is not None else [],
            "colours": dict(self.colours),
            "legend": list(self.legend.items()),
            "alt": self.words,
        }
        return head | {"stamp": hashlib.sha256(repr(head).encode() + b"".join(self.arrays.values())).hexdigest()[:16]}

    def packed(self) -> bytes:
        """All of it as one block of bytes: the length of the head, the head, and the arrays."""
        text = json.dumps(self.head).encode()
        return struct.pack("<I", len(text)) + text + b"".join(self.arrays.values())


def points_of(
    run: Run,
    epoch: int,
    dataset: Dataset | None,
    axes: tuple[Axis, Axis],
    *,
    key: str,
    selected: Collection[int] = (),
    classes: Collection[str] = (),
    by_class: bool = False,
    dark: bool = False,
) -> Points:
    """The points of an epoch along these axes: its picks lit up, the rows `selected` marked, other `classes` left out.

    `classes`: none for all. `by_class` colours by class and needs `dataset`. AATError if the data set lacks images.
    """
    count = len(axes[0].values)
    picked, chosen = np.zeros(count, bool), np.zeros(count, bool)
    picked[run.drawn(epoch)] = True
    chosen[[row for row in selected if 0 <= row < count]] = True
    every = () if dataset is None else dataset.class_names
    labels = None if dataset is None else frames.recorded.labels_of(run, dataset, np.arange(count))
    shown = np.ones(count, bool)
    if labels is not None and classes:
        shown = np.isin(labels, [label for label, name in enumerate(every) if name in classes])
    groups = charts.style.GROUP_COLOURS[dark]
    colours: dict[str, str | list[str]] = {"all": groups["all"], "picked": groups["drawn"], "selected": SELECTED}
    legend = {f"picked in epoch {epoch}": groups["drawn"]}
    if by_class:
        of_class = [CLASSES[label % len(CLASSES)] for label in range(len(every))]
        colours["classes"] = of_class
        legend = {name: of_class[label] for label, name in enumerate(every) if not classes or name in classes}
    else:
        legend["others"] = groups["all"]
    if chosen.any():
        legend["selected"] = SELECTED
    return Points(key, epoch, axes, picked, chosen, shown, labels, every, colours, legend)


def notes(names: tuple[str, str], axes: tuple[Axis, Axis], offered: Collection[str]) -> list[str]:
    """What a reader of these axes should know; `offered` are the names that the run has."""
    notes = []
    if names == DATA_MAP:
        notes.append("probabilities over all scored epochs")
    if names == MAP_OF_P and not set(DATA_MAP) <= set(offered):
        notes.append("by p, because this run recorded no losses for a data map")
    if any(axis.whole for axis in axes):
        notes.append("samples of a count are spread around it")
    if zeros := frames.samples_map.nowhere(axes):
        notes.append(f"{zeros:,} of {len(axes[0].values):,} are 0 on a log axis and have no place on it")
    return notes
