"""The sampler over all epochs of a run: how uneven p is, how much K changes, which samples are never drawn.

`is_drawn` is the run's `sample.draw_matrix`, bool (epochs, T): made once, because reading 100 epochs takes 75 ms.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aat_explore.views import diagnostics
from aat_explore.views.frames.recorded import labels_of
from aat_explore.views.frames.sample import SampleMap, map_edges, p_matrix, times_drawn
from aat_explore.views.protocols import Array, Dataset, Run

ESS, ENTROPY, GINI, TOP = "effective sample size", "entropy", "Gini coefficient", "mass of the top 1%"
UNEVENNESS = (ESS, ENTROPY, GINI, TOP)


def has_draws(run: Run) -> bool:
    """Whether any epoch drew a sample."""
    return bool((run.metrics()["num_drawn"] > 0).any())


def unevenness(run: Run, name: str = "") -> pd.DataFrame:
    """Statistics of p in every epoch with p: epoch, measure, value, uniform (its value for uniform p), run (`name`).

    The measures are `UNEVENNESS`: a number of samples, nats, and two shares.
    """
    matrix, rows = p_matrix(run), []
    for epoch, p in zip(matrix.epochs, matrix.p, strict=True):
        T = len(p)
        statistics = (
            (diagnostics.effective_sample_size(p), T),
            (diagnostics.entropy(p), np.log(T)),
            (diagnostics.gini(p), 0),
            (diagnostics.top_mass(p), np.ceil(0.01 * T) / T),
        )
        rows += [(epoch, measure, *values) for measure, values in zip(UNEVENNESS, statistics, strict=True)]
    return pd.DataFrame(rows, columns=["epoch", "measure", "value", "uniform"]).assign(run=name)


def overlap_with_previous(is_drawn: Array, name: str = "") -> pd.DataFrame:
    """Jaccard index of the sets that each epoch and the one before drew: epoch, overlap, chance, run (`name`).

    `chance` is that of two uniform draws of these sizes; epochs without a draw, or after one, are left out.
    """
    sizes = is_drawn.sum(axis=1)
    both = (is_drawn[1:] & is_drawn[:-1]).sum(axis=1)
    of_all = pd.DataFrame(
        {
            "epoch": np.arange(2, len(is_drawn) + 1),
            "overlap": both / np.maximum(1, sizes[1:] + sizes[:-1] - both),
            "chance": diagnostics.jaccard_by_chance(sizes[1:], sizes[:-1], max(1, is_drawn.shape[1])),
            "run": name,
        }
    )
    drew: pd.DataFrame = of_all[(sizes[1:] > 0) & (sizes[:-1] > 0)].reset_index(drop=True)
    return drew


def overlaps(is_drawn: Array, at_most: int = 60) -> pd.DataFrame:
    """Jaccard index |K ∩ K′| / |K ∪ K′| of each pair of epochs that drew: epoch, other, overlap.

    More than `at_most` epochs are thinned evenly.
    """
    epochs = np.flatnonzero(is_drawn.any(axis=1))
    if len(epochs) > at_most:
        epochs = epochs[np.linspace(0, len(epochs) - 1, at_most).round().astype(int)]
    draws = is_drawn[epochs].astype(np.float32)  # sums of ones are whole up to 2^24
    both, sizes = draws @ draws.T, draws.sum(axis=1)
    share = both / (sizes[:, None] + sizes[None, :] - both)
    epoch, other = np.meshgrid(epochs + 1, epochs + 1, indexing="ij")
    return pd.DataFrame({"epoch": epoch.ravel(), "other": other.ravel(), "overlap": share.ravel().round(4)})


def mix_over_epochs(run: Run, is_drawn: Array, dataset: Dataset) -> pd.DataFrame:
    """Share of each class among the drawn, per epoch: epoch, class, share, ratio (to its share of all T).

    AATError if the data set lacks some of the drawn images.
    """
    names = dataset.class_names
    of_all = np.bincount(dataset.train.labels, minlength=len(names)) / len(dataset.train.labels)
    rows = []
    for epoch in np.flatnonzero(is_drawn.any(axis=1)):
        counts = np.bincount(labels_of(run, dataset, np.flatnonzero(is_drawn[epoch])), minlength=len(names))
        shares = counts / counts.sum()
        rows += [
            (epoch + 1, name, share, share / whole) for name, share, whole in zip(names, shares, of_all, strict=True)
        ]
    return pd.DataFrame(rows, columns=["epoch", "class", "share", "ratio"])


def times_drawn_histogram(is_drawn: Array, name: str = "") -> pd.DataFrame:
    """Number of samples by times drawn: times, samples, expected (for uniform draws of the same sizes), run (`name`).

    The expectation is T times the Poisson-binomial distribution with probability n/T in each epoch, by convolution.
    """
    T, chance = is_drawn.shape[1], np.ones(1)
    for size in is_drawn.sum(axis=1):
        chance = np.convolve(chance, [1 - size / T, size / T])
    samples = np.bincount(times_drawn(is_drawn), minlength=len(chance))
    frame = pd.DataFrame({"times": np.arange(len(chance)), "samples": samples, "expected": T * chance, "run": name})
    last = int(np.flatnonzero((samples > 0) | (frame["expected"] >= 0.5))[-1])
    return frame.head(last + 1)


def map_cells(data_map: SampleMap, times: Array, columns: int = 48, rows: int = 32) -> pd.DataFrame:
    """The data map in cells: mean_low, mean_high, variability_low, variability_high, samples, times (mean), uniform."""
    is_positive = data_map.mean > 0
    mean, spread = (
        np.log10(data_map.mean[is_positive].astype(np.float64)),
        data_map.variability[is_positive].astype(np.float64),
    )
    x, y = (np.linspace(a.min() - 1e-6, a.max() + 1e-6, k + 1) for a, k in ((mean, columns), (spread, rows)))
    samples = np.histogram2d(mean, spread, (x, y))[0]
    total = np.histogram2d(mean, spread, (x, y), weights=times[is_positive])[0]
    i, j = np.nonzero(samples)
    return map_edges(x, y, i, j).assign(
        samples=samples[i, j].astype(int), times=total[i, j] / samples[i, j], uniform=1 / len(data_map.mean)
    )


def inside(data_map: SampleMap, mean: Sequence[float], variability: Sequence[float]) -> Array:
    """Rows whose place in the data map is within both ranges, ends included, by mean p, largest first."""
    m, v = data_map.mean, data_map.variability
    rows = np.flatnonzero((m >= mean[0]) & (m <= mean[1]) & (v >= variability[0]) & (v <= variability[1]))
    return rows[np.argsort(-m[rows], kind="stable")]


def times_captions(times: Array, rows: Array) -> list[str]:
    """Captions of images: row, and the number of epochs that drew it (`times_drawn`)."""
    return [f"#{row}\ndrawn {times[row]}×" for row in rows]
