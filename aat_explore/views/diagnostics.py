"""How uneven a sampling distribution p is, and what was drawn from it: numpy in, numbers out.

p is float (T,), non-negative, row i for training image i; it need not be normalised.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aat_explore.errors import AATError

Array = NDArray[Any]


def _shares(p: Array) -> NDArray[np.float64]:
    """p in float64 and summing to 1; AATError if it is empty, negative, not finite or all zero."""
    shares: NDArray[np.float64] = np.asarray(p, dtype=np.float64)
    total = shares.sum()
    if shares.ndim != 1 or not np.isfinite(total) or total <= 0 or shares.min() < 0:
        raise AATError(
            f"p of shape {shares.shape} is not a distribution; it must be (T,), finite, non-negative, not all 0"
        )
    shares = shares / total
    return shares


def effective_sample_size(p: Array) -> float:
    """1 / Σp²: how many equally likely samples would be as concentrated; between 1 and T."""
    return float(1 / np.square(_shares(p)).sum())


def entropy(p: Array) -> float:
    """-Σ p ln p in nats; between 0 (all mass on one sample) and ln T (uniform)."""
    positive = _shares(p)
    positive = positive[positive > 0]
    return max(0.0, -float(np.sum(positive * np.log(positive))))


def gini(p: Array) -> float:
    """Gini coefficient of p: 0 if uniform, (T - 1)/T if all mass is on one sample."""
    ordered = np.sort(_shares(p))
    T = len(ordered)
    rank = np.arange(1, T + 1)
    return max(0.0, float(np.sum((2 * rank - T - 1) * ordered)) / T)


def top_mass(p: Array, share: float = 0.01) -> float:
    """Probability held by the ⌈share·T⌉ most likely samples, in [0, 1]."""
    shares = _shares(p)
    top = max(1, int(np.ceil(share * len(shares))))
    return float(np.partition(shares, len(shares) - top)[-top:].sum())


def ranks(p: Array) -> NDArray[np.int64]:
    """Rank of each sample by p, int64 (T,): 1 is the most likely; ties go by row."""
    order = np.argsort(-np.asarray(p, dtype=np.float64), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return rank


def jaccard(drawn: Array, other: Array) -> float:
    """|K ∩ K′| / |K ∪ K′| of two sets of rows, in [0, 1]; 1 if both are empty."""
    union = len(np.union1d(drawn, other))
    return len(np.intersect1d(drawn, other)) / union if union else 1.0


def jaccard_by_chance(size: Any, other: Any, T: int) -> Any:
    """Jaccard index of two independent uniform draws of these sizes, with |K ∩ K′| at its mean |K| |K′| / T."""
    both = size * other / max(1, T)
    return both / np.maximum(1, size + other - both)


@dataclass(frozen=True)
class Histogram:
    """Counts in equal bins of log10 p: `edges` (bins + 1,) are values of p; samples with p = 0 are in `zeros` only.

    The first bin also holds the lowest 0.5%, because p of well-fitted samples goes down to 1e-30.
    """

    edges: NDArray[np.float64]
    counts_all: NDArray[np.int64]
    counts_drawn: NDArray[np.int64]
    zeros: int


def histogram(p: Array, drawn: Array, bins: int = 40, within: tuple[float, float] | None = None) -> Histogram:
    """Bin p of all T samples and of the drawn rows in the same bins; counts_all.sum() + zeros = T.

    `within`: a range of log10 p that the bins cover at least.
    """
    shares = _shares(p)
    positive = shares > 0
    exponents = np.log10(shares, where=positive, out=np.full(len(shares), -np.inf))
    low, high = np.quantile(exponents[positive], [0.005, 1.0])
    if within is not None:
        low, high = min(low, within[0]), max(high, within[1])
    if high - low < 1e-6:  # uniform p: one value still needs a bin with a width
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    counts_all = np.histogram(np.clip(exponents[positive], low, high), edges)[0]
    of_drawn = exponents[drawn]
    counts_drawn = np.histogram(np.clip(of_drawn[np.isfinite(of_drawn)], low, high), edges)[0]
    return Histogram(10**edges, counts_all, counts_drawn, int(len(shares) - positive.sum()))
