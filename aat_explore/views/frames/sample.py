"""One training image over all epochs: its p and rank, when it was drawn, what was recorded, its neighbours and place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aat_explore.errors import AATError
from aat_explore.views import diagnostics
from aat_explore.views.protocols import Array, Dataset, Run, UInt8

LISTS = ("drawn in the epoch", "most often drawn", "nearest in p", "same class")


# --- A whole run as matrices -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PMatrix:
    """p of every epoch that has one: row k is epoch `epochs[k]`; E = 0 rows for n = 0 and n = all."""

    epochs: NDArray[np.int64]  # (E,), ascending
    p: NDArray[np.float32]  # (E, T)


def p_matrix(run: Run) -> PMatrix:
    """p of all epochs of a run, 22 MB at T = 55,000 and 100 epochs; AATError if its epochs differ in T."""
    found = {epoch: p for epoch in range(1, run.epoch + 1) if (p := run.probabilities(epoch)) is not None}
    lengths = sorted({len(p) for p in found.values()})
    if len(lengths) > 1:
        raise AATError(f"run={run.id} has p of {' and of '.join(map(str, lengths))} samples; train it again")
    p = np.empty((len(found), lengths[0] if lengths else 0), dtype=np.float32)
    for k, row in enumerate(found.values()):
        p[k] = row
    return PMatrix(np.array(list(found), dtype=np.int64), p)


def drawn_matrix(run: Run) -> NDArray[np.bool_]:
    """Whether epoch e drew sample i, at [e - 1, i]: bool (epochs, T), 5.5 MB at T = 55,000 and 100 epochs.

    T is the length of p, or for n = all the number drawn; (epochs, 0) for n = 0, which names no sample.
    """
    drawn = [run.drawn(epoch) for epoch in range(1, run.epoch + 1)]
    p = next((p for e in range(1, run.epoch + 1) if len(drawn[e - 1]) and (p := run.probabilities(e)) is not None), ())
    T = max(len(p), max((int(rows.max()) + 1 for rows in drawn if len(rows)), default=0))
    matrix = np.zeros((len(drawn), T), dtype=np.bool_)
    for row, rows in zip(matrix, drawn, strict=True):
        row[rows] = True
    return matrix


def times_drawn(run: Run) -> NDArray[np.int64]:
    """In how many epochs each sample was drawn: int64 (T,), between 0 and the epochs done; empty for n = 0."""
    counts: NDArray[np.int64] = drawn_matrix(run).sum(axis=0, dtype=np.int64)
    return counts
