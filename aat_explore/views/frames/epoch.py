"""One epoch of one run: what was picked, from which p, of which classes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aat_explore.errors import AATError
from aat_explore.views import diagnostics
from aat_explore.views.protocols import Array, Dataset, Run


@dataclass(frozen=True)
class DrawStatistics:
    """How uneven p was in one epoch and how far K moved; `overlap` is None in the first epoch that drew."""

    num_drawn: int
    num_train: int
    effective_sample_size: float
    gini: float
    top_mass: float
    overlap: float | None


def draw_statistics(run: Run, epoch: int) -> DrawStatistics | None:
    """Statistics of an epoch's p and K; None if nothing was drawn from a distribution (n = 0, all, warm-up)."""
    p, drawn = run.probabilities(epoch), run.drawn(epoch)
    if p is None:
        return None
    before = run.drawn(epoch - 1) if epoch > 1 else np.arange(0)
    return DrawStatistics(
        num_drawn=len(drawn),
        num_train=len(p),
        effective_sample_size=diagnostics.effective_sample_size(p),
        gini=diagnostics.gini(p),
        top_mass=diagnostics.top_mass(p),
        overlap=diagnostics.jaccard(drawn, before) if len(before) else None,
    )


def picked(run: Run, epoch: int, dataset: Dataset | None = None, order: str = "as drawn") -> pd.DataFrame:
    """The recorded images of an epoch: position (row of `x_adv`), image (row i), p, rank of p, label, class.

    `order`: `as drawn`, `by p` (largest first) or `by class`. p and rank are missing where n = all; label and class
    without `dataset`. AATError if an image is not in it.
    """
    image = run.drawn(epoch)[: len(run.x_adv(epoch))]
    p = run.probabilities(epoch)
    frame = pd.DataFrame({"position": np.arange(len(image)), "image": image})
    frame["p"] = np.nan if p is None else p[image].astype(np.float64)
    frame["rank"] = pd.array([pd.NA] * len(image) if p is None else diagnostics.ranks(p)[image], dtype="Int64")
    label = None if dataset is None else _labels(run, dataset, image)
    frame["label"] = pd.array([pd.NA] * len(image) if label is None else label, dtype="Int64")
    frame["class"] = None if dataset is None or label is None else np.array(dataset.class_names)[label]
    keys = {"as drawn": ["position"], "by p": ["rank", "position"], "by class": ["label", "position"]}
    if order not in keys:
        raise AATError(f"order={order} is unknown; choose one of {', '.join(keys)}")
    return frame.sort_values(keys[order], ignore_index=True)


def _labels(run: Run, dataset: Dataset, rows: Array) -> NDArray[np.uint8]:
    T = len(dataset.train.labels)
    if len(rows) and int(rows.max()) >= T:
        raise AATError(f"image={rows.max()} of run={run.id} is not in {dataset.name}, which has {T} training images")
    return dataset.train.labels[rows]


def p_histogram(run: Run, epoch: int, bins: int = 40) -> pd.DataFrame | None:
    """Histogram of p, all T and drawn: p_low, p_high, group, count, share of its group; uniform is 1/T.

    None if there is no p; samples with p = 0 are in no bin.
    """
    p, drawn = run.probabilities(epoch), run.drawn(epoch)
    if p is None:
        return None
    binned = diagnostics.histogram(p, drawn, bins)
    parts = []
    for group, counts, total in (("all", binned.counts_all, len(p)), ("drawn", binned.counts_drawn, len(drawn))):
        part = pd.DataFrame({"p_low": binned.edges[:-1], "p_high": binned.edges[1:], "group": group, "count": counts})
        parts.append(part.assign(share=part["count"] / max(1, total), uniform=1 / len(p)))
    return pd.concat(parts, ignore_index=True)


def class_mix(run: Run, epoch: int, dataset: Dataset) -> pd.DataFrame:
    """Classes of all T samples and of the drawn: label, class, group, count, share of its group (sums to 1)."""
    names = dataset.class_names
    parts = []
    for group, labels in (("all", dataset.train.labels), ("drawn", _labels(run, dataset, run.drawn(epoch)))):
        counts = np.bincount(labels, minlength=len(names))
        part = pd.DataFrame({"label": range(len(names)), "class": names, "group": group, "count": counts})
        parts.append(part.assign(share=counts / max(1, len(labels))))
    return pd.concat(parts, ignore_index=True)
