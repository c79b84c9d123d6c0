"""All training samples as points: what an axis of the map can be, and the values of each sample along it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from aat_explore.scores import PAPERS_SCORE
from aat_explore.views.frames.sample import SampleMap, draw_matrix, sample_map
from aat_explore.views.protocols import Array, Run

Floats = NDArray[np.float32]
Args = ParamSpec("Args")
Result = TypeVar("Result")
CUSTOM = "score"  # name of the scores that a custom function gives


@dataclass(frozen=True)
class Quantity:
    """One number a sample: its title with unit; whether it spans decades, which a log axis shows, or counts."""

    title: str
    spans_decades: bool = False
    counts: bool = False


P, TIMES = "p", "times picked"
DATA_MAP = ("variability", "confidence")  # x and y, as in the paper
MAP_OF_P = ("mean p", "variability of p")
LEAST_NETWORKS = 2  # that a deviation needs
EMBEDDINGS: dict[Literal["pca", "umap"], tuple[str, str]] = {
    "pca": ("first component", "second component"), "umap": ("first UMAP axis", "second UMAP axis"),
}  # fmt: skip
OF_SCORES = {
    PAPERS_SCORE: Quantity("gradient norm ‖∇ₓJ‖₂", True),
    "loss": Quantity("loss J, nats", True),
    "margin": Quantity("margin σ(max z_k − z_y), ½ on the decision boundary", True),
    "entropy": Quantity("entropy of the prediction, nats", True),
    CUSTOM: Quantity("custom score", True),
}
QUANTITIES = {
    P: Quantity("p, × uniform", True),
    TIMES: Quantity("times picked so far", counts=True),
    **OF_SCORES,
    "confidence": Quantity("confidence: mean probability of the true class"),
    "variability": Quantity("variability: standard deviation of the true class's probability"),
    "mean p": Quantity("mean of p over the epochs, × uniform", True),
    "variability of p": Quantity("variability of p over the epochs: sd / mean"),
    "first component": Quantity("first principal component of the last hidden layer"),
    "second component": Quantity("second principal component of the last hidden layer"),
    "first UMAP axis": Quantity("UMAP of the last hidden layer, first axis"),
    "second UMAP axis": Quantity("UMAP of the last hidden layer, second axis"),
}


# --- Values ----------------------------------------------------------------------------------------------------------


def of_epoch(run: Run, epoch: int, names: Collection[str] = tuple(QUANTITIES)) -> dict[str, Floats]:
    """What an epoch knows of each sample, by those of `names` that it has: p·T, and its scores, float32 (T,) each.

    Scores are those that the last scoring pass recorded and, if it is not among them, the one that p was computed from.
    Empty in an epoch without p (n = 0, n = all, warm-up).
    """
    p = run.probabilities(epoch)
    values = {} if p is None else {P: (p.astype(np.float64) * len(p)).astype(np.float32)}
    values |= {name: scores for name, scores in _recorded(run, epoch).items() if name in OF_SCORES}
    name = run.config.canonical().score
    name = name if name in OF_SCORES else CUSTOM
    if p is not None and name not in values and (scores := score_from_p(run, epoch, p)) is not None:
        values[name] = scores
    return {name: of_samples for name, of_samples in values.items() if name in names}


def _recorded(run: Run, epoch: int) -> dict[str, Array]:
    """The scores that the p of this epoch stems from: with `score_every` > 1, those of an epoch before."""
    for scored in range(epoch, max(0, epoch - run.config.score_every), -1):
        if scores := run.scores(scored):
            return scores
    return {}


def score_from_p(run: Run, epoch: int, p: Array) -> Floats | None:
    """The scores g′ that p was computed from, float32 (T,): g′ᵢ = Σg′ · pᵢ^(1/k) / Σⱼ pⱼ^(1/k) inverts pᵢ ∝ g′ᵢᵏ.

    It is exact but for the rounding of p to float32, and where p is below the smallest normal float32, 1e-38, which
    counts as 0. None where p does not tell: for k = 0, and without the sum of the scores.
    """
    power, total = run.config.norm_power, run.rows()[epoch - 1].sum_scores
    if not power or total is None:
        return None
    roots = np.where(p >= np.finfo(np.float32).tiny, p, 0).astype(np.float64) ** (1 / power)
    scores: Floats = (total * roots / roots.sum()).astype(np.float32)
    return scores


def data_map(run: Run) -> dict[str, Floats] | None:
    """Return mean (confidence) and standard deviation (variability) of the true class's probability, float32 (T,) each.

    Swayamdipta et al. 2020, section 2: over the networks after each epoch. Those score the samples at the start of the
    next epoch, so the probability is exp(−J) of the loss J recorded there; the untrained network's, of epoch 1, is left
    out. None with fewer than two such epochs.
    """
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    for epoch in range(2, run.epoch + 1):
        if (loss := run.scores(epoch).get("loss")) is None:
            continue
        probability = np.exp(-loss.astype(np.float64))
        count += 1
        off = probability - mean
        mean = mean + off / count
        squares = squares + off * (probability - mean)
    if count < LEAST_NETWORKS:
        return None
    x, y = DATA_MAP
    return {y: np.asarray(mean, np.float32), x: np.asarray(np.sqrt(squares / count), np.float32)}


def has_data_map(run: Run) -> bool:
    """Whether `data_map` has something to show; reads no more of the run than it needs."""
    with_loss = (epoch for epoch in range(run.epoch, 1, -1) if "loss" in run.scores(epoch))
    return sum(1 for _ in islice(with_loss, LEAST_NETWORKS)) == LEAST_NETWORKS


def map_of_p(of_run: SampleMap) -> dict[str, Floats]:
    """The coordinates of `frames.sample.sample_map`, by names of `QUANTITIES`: mean of p, times T, and sd / mean."""
    mean = of_run.mean.astype(np.float64) * len(of_run.mean)
    return dict(zip(MAP_OF_P, (mean.astype(np.float32), of_run.variability), strict=True))


def times_so_far(is_drawn: Array, epoch: int) -> Floats:
    """How many of the epochs 1 to `epoch` drew each sample, float32 (T,); `is_drawn` is `frames.sample.draw_matrix`."""
    times: Floats = is_drawn[:epoch].sum(axis=0, dtype=np.uint16).astype(np.float32)
    return times


def offered(run: Run) -> tuple[str, ...]:
    """Names of `QUANTITIES` that a run has, by its last epoch; those of the embedding are not the run's."""
    names = {TIMES, *of_epoch(run, run.epoch)}
    if P in names:
        names |= set(MAP_OF_P)
    if has_data_map(run):
        names |= set(DATA_MAP)
    return tuple(name for name in QUANTITIES if name in names)


class Recall(Protocol):
    """Calls a function, or gives what an earlier call with the same arguments returned."""

    def __call__(  # noqa: D102
        self, compute: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs
    ) -> Result: ...


def called(compute: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """The `Recall` that recalls nothing."""
    return compute(*args, **kwargs)


def values_of(run: Run, epoch: int, names: Collection[str], held: Recall, remembered: Recall) -> dict[str, Floats]:
    """The values of each sample, float32 (T,), by those of `names` that the run has at this epoch.

    What takes the whole run to compute is asked for through `held`, what takes one epoch through `remembered`. An
    embedding is not the run's.
    """
    values: dict[str, Floats] = {}
    if set(names) & set(DATA_MAP) and (of_network := held(data_map, run)) is not None:
        values |= of_network
    if set(names) & set(MAP_OF_P) and (of_p := held(sample_map, run)) is not None:
        values |= map_of_p(of_p)
    if TIMES in names:
        values[TIMES] = times_so_far(held(draw_matrix, run), epoch)
    if not set(names) <= set(values):
        values |= remembered(of_epoch, run, epoch, tuple(names))
    return values


def lacking(epoch: int, names: Collection[str], values: Collection[str]) -> str | None:
    """Say which of `names` an epoch lacks; None if `values` has them all."""
    lacked = [name for name in names if name not in values]
    if not lacked:
        return None
    return f"Epoch {epoch} has no {' and no '.join(lacked)} (warm-up, or not recorded); choose another epoch."


# --- Axes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """One axis of the map: title with unit, the samples' values, float32 (T,), and whether it is logarithmic.

    `nowhere`: how many values are 0 and so have no place on a log axis. The values of a `whole` axis are counts.
    """

    title: str
    values: Floats
    log: bool
    nowhere: int
    whole: bool = False


def axis(name: str, values: Floats) -> Axis:
    """The axis of one of `QUANTITIES`: logarithmic if it spans decades and more than half of the values are not 0."""
    quantity = QUANTITIES[name]
    zeros = int((values <= 0).sum())
    log = quantity.spans_decades and 2 * zeros < len(values)
    title = f"{quantity.title} (log scale)" if log else quantity.title
    return Axis(title, values, log, zeros if log else 0, quantity.counts)


def nowhere(axes: tuple[Axis, Axis]) -> int:
    """How many samples have no place on the map, because they are 0 on a log axis."""
    is_nowhere = [axis.values <= 0 if axis.log else np.zeros(len(axis.values), bool) for axis in axes]
    return int((is_nowhere[0] | is_nowhere[1]).sum())


def facts(axes: tuple[Axis, Axis], picked: NDArray[np.bool_]) -> str:
    """The map in words: how many samples and picks, and along each axis the median of the picked and of the rest."""
    parts = [f"{len(picked):,} samples, {int(picked.sum()):,} of them picked."]
    for along, axis in zip(("x", "y"), axes, strict=True):
        groups: Mapping[str, Floats] = {"picked": axis.values[picked], "others": axis.values[~picked]}
        medians = [f"{np.median(values):.3g} {who}" for who, values in groups.items() if len(values)]
        parts.append(f"{along}: {axis.title}, median {', '.join(medians)}.")
    return " ".join(parts)
