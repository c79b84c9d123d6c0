"""A filmstrip: which samples some epochs picked, one row an epoch, so that one picture shows how the picks change."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aat_explore.errors import AATError
from aat_explore.views import diagnostics
from aat_explore.views.frames.picks import times
from aat_explore.views.frames.recorded import labels_of
from aat_explore.views.protocols import Array, Dataset, Run

ORDERS = ("most likely", "as drawn", "newly picked", "most often picked")


def epochs_shown(run: Run, at_most: int = 8) -> list[int]:
    """Up to `at_most` of the epochs that drew samples: 1, 2, 3, 5, 8, … and the last; all of them if they are few."""
    drew = [epoch for epoch in range(1, run.epoch + 1) if len(run.drawn(epoch))]
    if len(drew) <= at_most:
        return drew
    spaced = np.geomspace(1, len(drew), at_most)
    # Rounding would show an early epoch twice: each place is at least one after the place before.
    places = [0]
    for place in spaced[1:]:
        places.append(max(places[-1] + 1, round(place) - 1))
    return [drew[min(place, len(drew) - 1)] for place in places]


@dataclass(frozen=True)
class FilmRow:
    """One epoch of a filmstrip: rows of the training split (k,), and a line on each for hovering."""

    epoch: int
    rows: Array
    titles: list[str]


def filmstrip(
    run: Run,
    epochs: Sequence[int],
    per_row: int,
    order: str = "most likely",
    dataset: Dataset | None = None,
    classes: Sequence[str] = (),
) -> list[FilmRow]:
    """For each epoch up to `per_row` of the samples that it drew, of these classes (none: all; they need `dataset`).

    `order`: `most likely` by p of the epoch, largest first; `as drawn`; `newly picked`, by p, those first that the
    epoch before did not draw; `most often picked`, by how many of `epochs` drew them. AATError for another.
    """
    if order not in ORDERS:
        raise AATError(f"order={order} is unknown; choose one of {', '.join(ORDERS)}")
    drawn = [run.drawn(epoch) for epoch in epochs]
    often = np.bincount(np.concatenate(drawn)) if drawn else np.zeros(0, int)
    strip = []
    for epoch, every in zip(epochs, drawn, strict=True):
        p = run.probabilities(epoch)
        rows = _of_classes(run, dataset, every, classes)
        rows = rows[_places(run, epoch, rows, p, order, often)][:per_row]
        strip.append(FilmRow(epoch, rows, _titles(run, epoch, rows, p, often, len(epochs), dataset)))
    return strip


def _of_classes(run: Run, dataset: Dataset | None, rows: Array, classes: Sequence[str]) -> Array:
    if dataset is None or not classes:
        return rows
    wanted = [label for label, name in enumerate(dataset.class_names) if name in classes]
    return rows[np.isin(labels_of(run, dataset, rows), wanted)]


def _places(run: Run, epoch: int, rows: Array, p: Array | None, order: str, often: Array) -> Array:
    """Indices into `rows` in the order asked for."""
    if order == "as drawn":
        return np.arange(len(rows))
    by_p = np.zeros(len(rows)) if p is None else -p[rows].astype(np.float64)
    if order == "newly picked":
        again = np.isin(rows, run.drawn(epoch - 1)) if epoch > 1 else np.zeros(len(rows), bool)
        return np.lexsort((by_p, again))
    if order == "most often picked":
        return np.lexsort((by_p, -often[rows]))
    return np.argsort(by_p, kind="stable")


def _titles(
    run: Run, epoch: int, rows: Array, p: Array | None, often: Array, epochs: int, dataset: Dataset | None
) -> list[str]:
    ranks = None if p is None else diagnostics.ranks(p)[rows]
    labels = None if dataset is None else labels_of(run, dataset, rows)
    lines = []
    for at, row in enumerate(rows.tolist()):
        parts = [f"#{row}"]
        if dataset is not None and labels is not None:
            parts.append(dataset.class_names[labels[at]])
        parts.append(f"epoch {epoch}")
        if p is not None and ranks is not None:
            parts += [times(float(p[row]) * len(p)), f"rank {ranks[at]:,}"]
        lines.append(f"{', '.join(parts)}; picked in {often[row]} of the {epochs} epochs shown")
    return lines
