"""The sampler over all epochs of a run: how uneven p is, how far K moves, whom it never finds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aat_explore.views import diagnostics
from aat_explore.views.frames.sample import SampleMap, drawn_matrix, p_matrix, times_drawn
from aat_explore.views.protocols import Array, Dataset, Run
from aat_explore.views.recipes import norm_name

UNEVENNESS = ("effective sample size", "entropy, nats", "Gini", "top 1 % hold")


def run_name(run: Run) -> str:
    """A run in a legend: its norm, n, seed and the digest that tells it from others."""
    config = run.config
    return f"{norm_name(config.norm_power)}, n = {config.num_perturbed}, seed {config.seed} ({run.id[-4:]})"


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


def overlaps(run: Run, at_most: int = 60) -> pd.DataFrame:
    """Jaccard index |K ∩ K′| / |K ∪ K′| of each two epochs that drew: epoch, other, overlap; thinned evenly beyond."""
    drawn = drawn_matrix(run)
    epochs = np.flatnonzero(drawn.any(axis=1))
    if len(epochs) > at_most:
        epochs = epochs[np.linspace(0, len(epochs) - 1, at_most).round().astype(int)]
    kept = drawn[epochs].astype(np.float32)  # sums of ones are whole up to 2^24
    both, sizes = kept @ kept.T, kept.sum(axis=1)
    share = both / (sizes[:, None] + sizes[None, :] - both)
    one, other = np.meshgrid(epochs + 1, epochs + 1, indexing="ij")
    return pd.DataFrame({"epoch": one.ravel(), "other": other.ravel(), "overlap": share.ravel().round(4)})


def chance_overlap(run: Run) -> float | None:
    """Jaccard index to expect of two uniform draws: n/T · n/T of T in both; None if no epoch drew."""
    drawn = drawn_matrix(run)
    sizes = drawn.sum(axis=1)
    if not len(sizes) or not sizes.max():
        return None
    share = float(sizes[sizes > 0].mean() / drawn.shape[1])
    return float(share / (2 - share))


def mix_over_epochs(run: Run, dataset: Dataset) -> pd.DataFrame:
    """Share of each class among the drawn, by epoch: epoch, class, share, ratio (to its share of all T)."""
    labels, names = np.asarray(dataset.train.labels), dataset.class_names
    drawn = drawn_matrix(run)
    of_all = np.bincount(labels, minlength=len(names)) / len(labels)
    rows = []
    for epoch in np.flatnonzero(drawn.any(axis=1)):
        counts = np.bincount(labels[drawn[epoch]], minlength=len(names))
        shares = counts / counts.sum()
        rows += [
            (epoch + 1, name, share, share / whole) for name, share, whole in zip(names, shares, of_all, strict=True)
        ]
    return pd.DataFrame(rows, columns=["epoch", "class", "share", "ratio"])


def draw_counts(run: Run) -> pd.DataFrame:
    """How many samples were drawn so many times: times, samples, expected (of uniform draws of the same sizes).

    The expectation is T times the Poisson-binomial distribution of one chance n/T an epoch, by convolution.
    """
    drawn = drawn_matrix(run)
    T, chance = drawn.shape[1], np.ones(1)
    for size in drawn.sum(axis=1):
        chance = np.convolve(chance, [1 - size / T, size / T])
    samples = np.bincount(drawn.sum(axis=0), minlength=len(chance))
    frame = pd.DataFrame({"times": np.arange(len(chance)), "samples": samples, "expected": T * chance})
    last = int(np.flatnonzero((samples > 0) | (frame["expected"] >= 0.5))[-1])
    return frame.head(last + 1)


def most_often(run: Run) -> Array:
    """All rows that were drawn, the most often drawn first, ties by row."""
    times = times_drawn(run)
    return np.argsort(-times, kind="stable")[: int((times > 0).sum())]


def never(run: Run) -> Array:
    """The rows that no epoch drew."""
    return np.flatnonzero(times_drawn(run) == 0)


def map_cells(found: SampleMap, times: Array, columns: int = 48, rows: int = 32) -> pd.DataFrame:
    """The data map in cells: mean_low, mean_high, variability_low, variability_high, samples, times (mean)."""
    there = found.mean > 0
    mean, spread = np.log10(found.mean[there].astype(np.float64)), found.variability[there].astype(np.float64)
    x, y = (np.linspace(a.min() - 1e-6, a.max() + 1e-6, k + 1) for a, k in ((mean, columns), (spread, rows)))
    samples = np.histogram2d(mean, spread, (x, y))[0]
    total = np.histogram2d(mean, spread, (x, y), weights=times[there])[0]
    i, j = np.nonzero(samples)
    return pd.DataFrame(
        {
            "mean_low": 10 ** x[i],
            "mean_high": 10 ** x[i + 1],
            "variability_low": y[j],
            "variability_high": y[j + 1],
            "samples": samples[i, j].astype(int),
            "times": total[i, j] / samples[i, j],
        }
    )


def inside(found: SampleMap, mean: Sequence[float], variability: Sequence[float]) -> Array:
    """Rows whose place in the data map is within two ranges, ends included, by mean p, the largest first."""
    m, v = found.mean, found.variability
    rows = np.flatnonzero((m >= mean[0]) & (m <= mean[1]) & (v >= variability[0]) & (v <= variability[1]))
    return rows[np.argsort(-m[rows], kind="stable")]


def times_captions(run: Run, rows: Array) -> list[str]:
    """Under a picture: its row, and in how many epochs it was drawn."""
    times = times_drawn(run)
    return [f"#{row}\ndrawn {times[row]}×" for row in rows]
