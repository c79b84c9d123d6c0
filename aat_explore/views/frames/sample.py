"""One training image over all epochs: p and rank, when it was drawn, neighbours, its place in the data map."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aat_explore.errors import AATError
from aat_explore.views.frames.recorded import labels_of
from aat_explore.views.protocols import Array, Dataset, Run, UInt8

DRAWN, MOST, NEVER = "drawn in the epoch", "most often drawn", "never drawn"
NEAREST, CLASS = "by p in the epoch", "same class"
LISTS_OF_EPOCH = (DRAWN, NEAREST)


# --- A whole run as matrices -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PMatrix:
    """p of every epoch that has one: row k belongs to epoch `epochs[k]`; E = 0 for n = 0 and n = all."""

    epochs: NDArray[np.int64]  # (E,), ascending
    p: NDArray[np.float32]  # (E, T)


def p_matrix(run: Run) -> PMatrix:
    """p of all epochs of a run, 22 MB at T = 55,000 and 100 epochs; AATError if its epochs differ in T."""
    p_by_epoch = {epoch: p for epoch in range(1, run.epoch + 1) if (p := run.probabilities(epoch)) is not None}
    lengths = sorted({len(p) for p in p_by_epoch.values()})
    if len(lengths) > 1:
        raise AATError(f"run={run.id} has p of {' and of '.join(map(str, lengths))} samples; train it again")
    p = np.empty((len(p_by_epoch), lengths[0] if lengths else 0), dtype=np.float32)
    for k, row in enumerate(p_by_epoch.values()):
        p[k] = row
    return PMatrix(np.array(list(p_by_epoch), dtype=np.int64), p)


def draw_matrix(run: Run) -> NDArray[np.bool_]:
    """Whether epoch e drew sample i, at [e - 1, i]: bool (epochs, T), 5.5 MB at T = 55,000 and 100 epochs.

    T is the length of p, or for n = all the number drawn; shape (epochs, 0) for n = 0, which draws nothing.
    """
    rows_by_epoch = [run.drawn(epoch) for epoch in range(1, run.epoch + 1)]
    p = next((p for epoch in range(1, run.epoch + 1) if (p := run.probabilities(epoch)) is not None), ())
    T = max(len(p), max((int(rows.max()) + 1 for rows in rows_by_epoch if len(rows)), default=0))
    is_drawn = np.zeros((len(rows_by_epoch), T), dtype=np.bool_)
    for row, rows in zip(is_drawn, rows_by_epoch, strict=True):
        row[rows] = True
    return is_drawn


def times_drawn(is_drawn: Array) -> NDArray[np.int64]:
    """Number of epochs that drew each sample: int64 (T,), between 0 and the epochs done; empty for n = 0."""
    counts: NDArray[np.int64] = is_drawn.sum(axis=0, dtype=np.int64)
    return counts


def most_often(is_drawn: Array) -> Array:
    """All rows that were drawn at least once, most often first, ties by row."""
    times = times_drawn(is_drawn)
    return np.argsort(-times, kind="stable")[: np.count_nonzero(times)]


def never(is_drawn: Array) -> Array:
    """The rows that no epoch drew."""
    return np.flatnonzero(times_drawn(is_drawn) == 0)


def num_train(matrix: PMatrix, is_drawn: Array, dataset: Dataset | None) -> int:
    """T by the run's records; for a run that recorded none (n = 0) that of its data set, else 0."""
    recorded = max(matrix.p.shape[1], is_drawn.shape[1])
    return recorded if recorded or dataset is None else len(dataset.train.labels)


def most_drawn(is_drawn: Array) -> int:
    """The row drawn most often, the first of several; 0 if nothing was drawn."""
    return int(times_drawn(is_drawn).argmax()) if is_drawn.size else 0


# --- One sample over the epochs --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampleFacts:
    """Epochs done, the epochs that drew the sample, its mean p over the epochs with p, and 1/T; None without p."""

    epochs: int
    drawn_in: tuple[int, ...]
    mean_p: float | None
    uniform: float | None

    @property
    def times_uniform(self) -> float | None:
        """Mean p as a multiple of uniform p."""
        return None if self.mean_p is None or self.uniform is None else self.mean_p / self.uniform


def sample_facts(matrix: PMatrix, is_drawn: Array, image: int) -> SampleFacts:
    """The facts on record about row `image`; `uniform` is 1/T."""
    has_p = matrix.p.size > 0
    return SampleFacts(
        epochs=len(is_drawn),
        drawn_in=tuple(int(at) + 1 for at in np.flatnonzero(is_drawn[:, image])) if is_drawn.shape[1] else (),
        mean_p=float(matrix.p[:, image].mean(dtype=np.float64)) if has_p else None,
        uniform=1 / matrix.p.shape[1] if has_p else None,
    )


@dataclass(frozen=True)
class Moment:
    """A sample in one epoch: whether the epoch drew it, and its p, p·T, and rank among T; None without p."""

    epoch: int
    is_drawn: bool
    p: float | None = None
    times_uniform: float | None = None
    rank: int | None = None


def moment(matrix: PMatrix, is_drawn: Array, epoch: int, image: int) -> Moment:
    """The facts on record about row `image` in one epoch."""
    drew = bool(is_drawn.shape[1] and is_drawn[epoch - 1, image])
    p = p_of(matrix, epoch)
    if p is None:
        return Moment(epoch, drew)
    return Moment(epoch, drew, float(p[image]), float(p[image]) * len(p), int(rank_history(p[None], image)[0]))


def rank_history(p: Array, image: int) -> NDArray[np.int64]:
    """Rank of one sample in each row of p (E, T): 1 is the most likely, ties go by row, as in `diagnostics.ranks`.

    Counting takes 5 ms for 100 epochs of 55,000 samples; sorting took 0.5 s.
    """
    p_of_image = p[:, image, None]
    before = (p > p_of_image).sum(axis=1) + (p[:, :image] == p_of_image).sum(axis=1)
    ranks: NDArray[np.int64] = before.astype(np.int64) + 1
    return ranks


def sample_history(matrix: PMatrix, is_drawn: Array, image: int, name: str) -> pd.DataFrame:
    """A row per epoch with p: sample (`name`), image, epoch, p, times uniform (p·T), rank, drawn, uniform (1/T), T."""
    return pd.DataFrame(
        {
            "sample": name,
            "image": image,
            "epoch": matrix.epochs,
            "p": matrix.p[:, image].astype(np.float64),
            "times uniform": matrix.p[:, image].astype(np.float64) * matrix.p.shape[1],
            "rank": rank_history(matrix.p, image),
            "drawn": is_drawn[matrix.epochs - 1, image],
            "uniform": 1 / matrix.p.shape[1],
            "T": matrix.p.shape[1],
        }
    )


def together(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several samples' histories as one frame."""
    return pd.concat(parts, ignore_index=True)


# --- Pixels and classes ----------------------------------------------------------------------------------------------


def clean_images(run: Run, dataset: Dataset, rows: Sequence[int] | Array) -> UInt8:
    """The clean images of these rows, uint8 (k, C, H, W); AATError if the data set has fewer images."""
    wanted = np.asarray(rows, dtype=np.int64)
    labels_of(run, dataset, wanted)
    return dataset.train.images(wanted)


def class_of(run: Run, dataset: Dataset, image: int) -> str:
    """Name of the image's class; AATError if the data set has fewer images."""
    return dataset.class_names[int(labels_of(run, dataset, np.array([image]))[0])]


# --- Lists to step through -------------------------------------------------------------------------------------------


def list_names(matrix: PMatrix, is_drawn: Array, dataset: Dataset | None) -> list[str]:
    """Names of the lists available for a run; empty for n = 0 without its images."""
    names = [MOST, NEVER, DRAWN, NEAREST] if matrix.p.size else [DRAWN] if is_drawn.any() else []
    return names + ([CLASS] if dataset is not None else [])


def listed(name: str, matrix: PMatrix, is_drawn: Array, dataset: Dataset | None, epoch: int, image: int) -> Array:
    """The rows of one of `list_names`, int64, in order; empty if the epoch drew nothing or has no p.

    Most often drawn: those drawn at least once, most often first. By p: all T, largest first, so that the next row is
    the one just below in p. The others: by row. Raises AATError for an unknown list.
    """
    empty: Array = np.arange(0)
    if name == DRAWN:
        return np.flatnonzero(is_drawn[epoch - 1]) if is_drawn.shape[1] else empty
    if name == MOST:
        return most_often(is_drawn)
    if name == NEVER:
        return never(is_drawn)
    if name == NEAREST:
        return _by_p(matrix, epoch)
    if name == CLASS:
        return empty if dataset is None else np.flatnonzero(dataset.train.labels == dataset.train.labels[image])
    raise AATError(f"list={name} is unknown; choose one of {', '.join((MOST, NEVER, DRAWN, NEAREST, CLASS))}")


def p_of(matrix: PMatrix, epoch: int) -> Array | None:
    """p of one epoch, float32 (T,); None if the epoch has none."""
    at = np.flatnonzero(matrix.epochs == epoch)
    return matrix.p[at[0]] if len(at) else None


def _by_p(matrix: PMatrix, epoch: int) -> Array:
    """All rows by p, largest first, ties by row."""
    p = p_of(matrix, epoch)
    return np.arange(0) if p is None else np.argsort(-p, kind="stable")


@dataclass(frozen=True)
class PlaceInList:
    """A sample's place in a list: `position` from 1 (None: not in the list), and the rows before and after it."""

    position: int | None
    total: int
    before: int | None
    after: int | None


def place_in_list(rows: Array, image: int) -> PlaceInList:
    """The sample's place; for a sample outside the list, `after` is the first row."""
    at = np.flatnonzero(rows == image)
    if not len(at):
        return PlaceInList(None, len(rows), None, int(rows[0]) if len(rows) else None)
    k = int(at[0])
    after = int(rows[k + 1]) if k + 1 < len(rows) else None
    return PlaceInList(k + 1, len(rows), int(rows[k - 1]) if k else None, after)


def neighbours(matrix: PMatrix, is_drawn: Array, epoch: int, image: int, count: int = 12) -> pd.DataFrame | None:
    """The `count` samples nearest in rank of p, half above and half below: image, rank, p, drawn; None without p.

    At either end of the ranking the other side supplies more.
    """
    order, p = _by_p(matrix, epoch), p_of(matrix, epoch)
    if p is None:
        return None
    at = int(np.flatnonzero(order == image)[0])
    first = max(0, min(at - count // 2, len(order) - count - 1))
    positions = np.arange(first, min(len(order), first + count + 1))
    positions = positions[positions != at]
    rows = order[positions]
    return pd.DataFrame(
        {"image": rows, "rank": positions + 1, "p": p[rows].astype(np.float64), "drawn": is_drawn[epoch - 1, rows]}
    )


def neighbour_titles(samples: pd.DataFrame, run: Run, dataset: Dataset) -> list[str]:
    """One-line titles of `neighbours`, with their classes."""
    rows = zip(samples["image"], samples["rank"], samples["p"], strict=True)
    return [f"Image {image}, {class_of(run, dataset, image)}, rank {rank:,}, p {p:.3g}" for image, rank, p in rows]


# --- The data map ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampleMap:
    """Mean of p over the epochs and its variability, sd / mean, float32 (T,) each, and all T binned by the two.

    `grid`: one row per non-empty cell: mean_low, mean_high, variability_low, variability_high, count, uniform (1/T).
    The `zeros` samples with p = 0 in every epoch have no place on a log axis and are in no cell.
    """

    mean: NDArray[np.float32]
    variability: NDArray[np.float32]
    grid: pd.DataFrame
    zeros: int

    @property
    def shown(self) -> int:
        """Number of samples in the grid."""
        return len(self.mean) - self.zeros


def sample_map(run: Run, columns: int = 60, rows: int = 36) -> SampleMap | None:
    """Mean of p against sd / mean, after Swayamdipta et al. 2020, binned; None without p.

    sd / mean is 0 for constant p and √(E - 1) for p > 0 in a single one of E epochs. The sd of log p would be infinite
    for p = 0, and dominated by epochs with p near 1e-20, where nothing is drawn. The first column of cells also holds
    the lowest 0.5%.
    """
    p = p_matrix(run).p
    if not p.size:
        return None
    mean = p.mean(axis=0, dtype=np.float64)
    sd = np.sqrt(np.maximum(0, np.einsum("et,et->t", p, p, dtype=np.float64) / len(p) - mean**2))
    positive = mean > 0
    variability = np.divide(sd, mean, out=np.zeros_like(sd), where=positive)
    exponents = np.log10(mean[positive])
    low, high = np.quantile(exponents, [0.005, 1.0])
    if high - low < 1e-6:  # uniform p: one value still needs a bin with a width
        low, high = low - 0.5, high + 0.5
    top = max(0.1, float(variability.max()))
    x, y = np.linspace(low, high, columns + 1), np.linspace(0, top, rows + 1)
    counts = np.histogram2d(np.clip(exponents, low, high), variability[positive], (x, y))[0]
    i, j = np.nonzero(counts)
    grid = map_edges(x, y, i, j).assign(count=counts[i, j].astype(np.int64), uniform=1 / len(mean))
    return SampleMap(
        mean.astype(np.float32), variability.astype(np.float32), grid, int(len(mean) - np.count_nonzero(positive))
    )


def map_edges(exponents: Array, variability: Array, i: Array, j: Array) -> pd.DataFrame:
    """Edges of the cells (i, j) of the data map: mean_low, mean_high, variability_low, variability_high."""
    return pd.DataFrame(
        {
            "mean_low": 10 ** exponents[i],
            "mean_high": 10 ** exponents[i + 1],
            "variability_low": variability[j],
            "variability_high": variability[j + 1],
        }
    )


def sample_places(data_map: SampleMap, images: Sequence[int], names: Sequence[str]) -> pd.DataFrame:
    """Places in the data map: sample (name), image, mean, variability, times_uniform; none if p is always 0."""
    rows = np.asarray(images, dtype=np.int64)
    frame = pd.DataFrame({"sample": list(names), "image": rows})
    frame["mean"], frame["variability"] = data_map.mean[rows], data_map.variability[rows]
    frame["times_uniform"] = frame["mean"] * len(data_map.mean)
    return frame[frame["mean"] > 0].reset_index(drop=True)
