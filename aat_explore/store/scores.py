"""How the scores of all samples are stored: one array a score and epoch, float16 where that ranks them alike."""

import re
from typing import Any

import numpy as np

from aat_explore.errors import AATError

Array = np.ndarray[Any, Any]
NAME = re.compile(r"[a-z0-9-]+")
SCORE = re.compile(rf"epochs/([0-9]{{4}})/score-({NAME.pattern})\.npy")
ALIKE = 1e-4  # by how much Spearman's ρ of the rounded scores and the scores may fall short of 1


def score_file(epoch: int, name: str) -> str:
    """The file of one score of an epoch."""
    return f"epochs/{epoch:04d}/score-{name}.npy"


def is_sound(scores: Array) -> bool:
    """Whether an array is one finite number >= 0 of a float type for each sample."""
    return scores.dtype.kind == "f" and scores.ndim == 1 and bool((np.isfinite(scores) & (scores >= 0)).all())


def compact(name: str, scores: Array) -> Array:
    """Return scores (T,) as float16 if `ranks_alike`, otherwise as float32; AATError for a name or scores unfit."""
    if not NAME.fullmatch(name):
        raise AATError(f"scores[{name!r}] is not a name for a file; use lower-case letters, digits and hyphens")
    with np.errstate(over="ignore"):
        single = scores.astype(np.float32)
    if not is_sound(single):
        raise AATError(f"scores[{name!r}] is not one finite number >= 0 a sample, float32 (T,); correct or omit it")
    return single.astype(np.float16) if ranks_alike(single) else single


def ranks_alike(scores: Array) -> bool:
    """Whether scores (T,), rounded to float16, rank the samples alike: none vanishes or overflows, and ρ >= 1 − 10⁻⁴.

    ρ is Spearman's, of the scores before and after. Rounding swaps no two scores; it only makes ties, in which each
    sample's rank is the mean of the ranks before. So the ranks' covariance is the variance of those after, and ρ² is
    the ratio of the two variances.
    """
    ordered = np.sort(scores)
    with np.errstate(over="ignore"):
        rounded = ordered.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all() or ((rounded == 0) & (ordered > 0)).any():
        return False
    return bool(_ranks(rounded).var() >= (1 - ALIKE) ** 2 * _ranks(ordered).var())


def _ranks(ordered: Array) -> Array:
    """The ranks of sorted values >= 0, from 0; those of ties at their mean."""
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    counts = np.diff(first, append=len(ordered))
    return np.repeat(first + (counts - 1) / 2, counts)
