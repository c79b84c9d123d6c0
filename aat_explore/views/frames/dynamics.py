"""The sampler over all epochs of a run: how uneven p is, how far K moves, whom it never finds.

`drawn` is the run's `drawn_matrix`, bool (epochs, T): made once, for reading 100 epochs takes 75 ms.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aat_explore.views import diagnostics
from aat_explore.views.frames.recorded import labels_of
from aat_explore.views.frames.sample import SampleMap, map_edges, p_matrix, times_drawn
from aat_explore.views.protocols import Array, Dataset, Run
from aat_explore.views.recipes import norm_name

UNEVENNESS = ("effective sample size", "entropy, nats", "Gini", "top 1 % hold")


def run_name(run: Run) -> str:
    """A run in a legend: its norm or other score, n, seed and the digest that tells it from others."""
    config = run.config
    return (
        f"{norm_name(config.norm_power, config.score)}, n = {config.num_perturbed}, seed {config.seed} ({run.id[-4:]})"
    )


def draws(run: Run) -> bool:
    """Whether any epoch drew a sample."""
    return bool((run.metrics()["num_drawn"] > 0).any())


def unevenness(run: Run) -> pd.DataFrame:
    """Statistics of p in every epoch that has one: run (name), epoch, measure, value, uniform (of a uniform p)."""
    matrix, rows = p_matrix(run), []
    for epoch, p in zip(matrix.epochs, matrix.p, strict=True):
        T = len(p)
        found = (
            (diagnostics.effective_sample_size(p), T),
            (diagnostics.entropy(p), np.log(T)),
            (diagnostics.gini(p), 0),
            (diagnostics.top_mass(p), np.ceil(0.01 * T) / T),
        )
        rows += [(epoch, measure, *values) for measure, values in zip(UNEVENNESS, found, strict=True)]
    return pd.DataFrame(rows, columns=["epoch", "measure", "value", "uniform"]).assign(run=run_name(run))


def overlaps(drawn: Array, at_most: int = 60) -> pd.DataFrame:
    """Jaccard index |K ∩ K′| / |K ∪ K′| of each two epochs that drew: epoch, other, overlap; thinned evenly beyond."""
    epochs = np.flatnonzero(drawn.any(axis=1))
    if len(epochs) > at_most:
        epochs = epochs[np.linspace(0, len(epochs) - 1, at_most).round().astype(int)]
    kept = drawn[epochs].astype(np.float32)  # sums of ones are whole up to 2^24
    both, sizes = kept @ kept.T, kept.sum(axis=1)
    share = both / (sizes[:, None] + sizes[None, :] - both)
    one, other = np.meshgrid(epochs + 1, epochs + 1, indexing="ij")
    return pd.DataFrame({"epoch": one.ravel(), "other": other.ravel(), "overlap": share.ravel().round(4)})


def chance_overlap(drawn: Array) -> float | None:
    """Jaccard index to expect of two uniform draws of the mean size of those drawn; None if no epoch drew."""
    sizes = drawn.sum(axis=1)
    if not len(sizes) or not sizes.max():
        return None
    size = sizes[sizes > 0].mean()
    return float(diagnostics.jaccard_by_chance(size, size, drawn.shape[1]))


def mix_over_epochs(run: Run, drawn: Array, dataset: Dataset) -> pd.DataFrame:
    """Share of each class among the drawn, by epoch: epoch, class, share, ratio (to its share of all T).

    AATError if the data set has not all of the drawn images.
    """
    names = dataset.class_names
    of_all = np.bincount(dataset.train.labels, minlength=len(names)) / len(dataset.train.labels)
    rows = []
    for epoch in np.flatnonzero(drawn.any(axis=1)):
        counts = np.bincount(labels_of(run, dataset, np.flatnonzero(drawn[epoch])), minlength=len(names))
        shares = counts / counts.sum()
        rows += [
            (epoch + 1, name, share, share / whole) for name, share, whole in zip(names, shares, of_all, strict=True)
        ]
    return pd.DataFrame(rows, columns=["epoch", "class", "share", "ratio"])


def draw_counts(drawn: Array) -> pd.DataFrame:
    """How many samples were drawn so many times: times, samples, expected (of uniform draws of the same sizes).

    The expectation is T times the Poisson-binomial distribution of one chance n/T an epoch, by convolution.
    """
    T, chance = drawn.shape[1], np.ones(1)
    for size in drawn.sum(axis=1):
        chance = np.convolve(chance, [1 - size / T, size / T])
    samples = np.bincount(times_drawn(drawn), minlength=len(chance))
    frame = pd.DataFrame({"times": np.arange(len(chance)), "samples": samples, "expected": T * chance})
    last = int(np.flatnonzero((samples > 0) | (frame["expected"] >= 0.5))[-1])
    return frame.head(last + 1)


def map_cells(found: SampleMap, times: Array, columns: int = 48, rows: int = 32) -> pd.DataFrame:
    """The data map in cells: mean_low, mean_high, variability_low, variability_high, samples, times (mean)."""
    there = found.mean > 0
    mean, spread = np.log10(found.mean[there].astype(np.float64)), found.variability[there].astype(np.float64)
    x, y = (np.linspace(a.min() - 1e-6, a.max() + 1e-6, k + 1) for a, k in ((mean, columns), (spread, rows)))
    samples = np.histogram2d(mean, spread, (x, y))[0]
    total = np.histogram2d(mean, spread, (x, y), weights=times[there])[0]
    i, j = np.nonzero(samples)
    return map_edges(x, y, i, j).assign(samples=samples[i, j].astype(int), times=total[i, j] / samples[i, j])


def inside(found: SampleMap, mean: Sequence[float], variability: Sequence[float]) -> Array:
    """Rows whose place in the data map is within two ranges, ends included, by mean p, the largest first."""
    m, v = found.mean, found.variability
    rows = np.flatnonzero((m >= mean[0]) & (m <= mean[1]) & (v >= variability[0]) & (v <= variability[1]))
    return rows[np.argsort(-m[rows], kind="stable")]


def times_captions(times: Array, rows: Array) -> list[str]:
    """Under a picture: its row, and in how many epochs it was drawn (`times_drawn`)."""
    return [f"#{row}\ndrawn {times[row]}×" for row in rows]
