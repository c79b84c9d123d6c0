"""What became of a set of samples in a run: how often they were picked, and how likely they were."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aat_explore.errors import AATError
from aat_explore.views.frames.recorded import labels_of
from aat_explore.views.frames.sample import PMatrix, times_drawn
from aat_explore.views.protocols import Array, Dataset, Run

NUMBERS = ("times picked", "share of epochs", "mean p, × uniform", "last p, × uniform", "last rank")


def fates(
    run: Run, matrix: PMatrix, is_drawn: Array, rows: Sequence[int] | Array, dataset: Dataset | None = None
) -> pd.DataFrame:
    """One row per sample: row, class, times picked, share of epochs, first and last epoch picked, p and rank.

    p is given as a multiple of uniform p = 1/T: its mean over the epochs with p, and that of the last of them. Missing
    are the class without `dataset`, the epochs of samples never picked, and p in runs that have none. `matrix` and
    `is_drawn` are the run's `frames.sample.p_matrix` and `draw_matrix`. AATError if a row is not one of the T samples.
    """
    wanted = np.asarray(rows, dtype=np.int64)
    T = max(matrix.p.shape[1], is_drawn.shape[1])
    if T and len(wanted) and int(wanted.max()) >= T:
        raise AATError(f"row={wanted.max()} is not one of the {T} samples of run={run.id}; select others")
    drawn = is_drawn[:, wanted] if is_drawn.shape[1] else np.zeros((len(is_drawn), len(wanted)), bool)
    picked = drawn.any(axis=0)
    epochs = len(is_drawn)
    frame = pd.DataFrame({"row": wanted})
    if dataset is None:
        frame["class"] = None
    else:
        frame["class"] = np.array(dataset.class_names)[labels_of(run, dataset, wanted)]
    frame["times picked"] = times_drawn(drawn)
    frame["share of epochs"] = frame["times picked"] / max(1, epochs)
    first, last = drawn.argmax(axis=0) + 1, epochs - drawn[::-1].argmax(axis=0)
    for name, epoch in (("first picked", first), ("last picked", last)):
        frame[name] = pd.array(np.where(picked, epoch, 0), dtype="Int64")
        frame.loc[~picked, name] = pd.NA
    p = matrix.p[:, wanted].astype(np.float64) * T if matrix.p.size else np.full((1, len(wanted)), np.nan)
    frame["mean p, × uniform"], frame["last p, × uniform"] = p.mean(axis=0), p[-1]
    frame["last rank"] = pd.array(_ranks(matrix, wanted), dtype="Int64")
    return frame


def beside(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str]) -> pd.DataFrame:
    """Two runs' `fates` of the same samples in one frame: row, class, then each number of both, by the runs' names."""
    frame = first[["row", "class"]].copy()
    for number in NUMBERS:
        for name, of_run in zip(names, (first, second), strict=True):
            frame[f"{number}: {name}"] = of_run[number].to_numpy()
    return frame


def _ranks(matrix: PMatrix, rows: Array) -> list[int | None]:
    """Rank of p among all T in the last epoch with p, 1 the most likely, ties by row; None without p."""
    if not matrix.p.size:
        return [None] * len(rows)
    places = np.empty(matrix.p.shape[1], dtype=np.int64)
    places[np.argsort(-matrix.p[-1], kind="stable")] = np.arange(1, matrix.p.shape[1] + 1)
    ranks: list[int | None] = places[rows].tolist()
    return ranks
