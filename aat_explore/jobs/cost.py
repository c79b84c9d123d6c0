"""What a training will cost, before it starts: passes over the data, and seconds by the times of similar runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from aat_explore.config import RunConfig
from aat_explore.records import COST_PHASES
from aat_explore.scores import SCORES
from aat_explore.store import Run

TRAINING = 3  # forward, backward to the input, backward to the weights
GRADIENT = 2  # forward, backward to the input


@dataclass(frozen=True)
class Cost:
    """Cost of an epoch in `passes` over T and in `seconds` with validation, of all epochs in `total_seconds`.

    Seconds are None if nothing comparable was measured; `source` names the measurement behind the estimate.
    """

    passes: float
    seconds: float | None
    total_seconds: float | None
    source: str


@dataclass(frozen=True)
class Pace:
    """A run's median seconds per epoch: from scoring to training, and for validation and recording."""

    config: RunConfig
    device: str
    num_threads: int
    seconds: float
    seconds_validate: float


def passes(config: RunConfig, num_train: int) -> float:
    """Passes over T that an epoch after the warm-up takes; forward, input-backward, weight-backward count one each.

    3 + s/score_every (scoring at the epoch's start by a score of s passes, see `SCORES`: 2 for gradient norms) +
    2 k |K|/T (k gradients for each picked sample), where FGSM from the clean image with fresh gradient norms reuses
    their gradient (k = 0); a kept clean copy is another 3 |K|/T.
    """
    if config.num_perturbed == 0:
        return TRAINING
    share = 1.0 if config.num_perturbed == "all" else min(1.0, config.num_perturbed / num_train)
    scoring = _scoring(config) if config.samples else 0.0
    return TRAINING + scoring + GRADIENT * _gradients(config) * share + _kept(config) * share


def _scoring(config: RunConfig) -> float:
    """Passes that the scores of an epoch take, on average over epochs."""
    match config.scoring:
        case "epoch-start":  # a custom score is assumed to need a gradient
            score = SCORES.get(config.canonical().score)
            return (score.passes if score else GRADIENT) / config.score_every
        case "carry-over":
            return 0.0
        case _:
            assert_never(config.scoring)


def _kept(config: RunConfig) -> float:
    """Passes for the clean copies of picked samples, if these are trained on too."""
    match config.drawn_samples:
        case "replace":
            return 0.0
        case "add" | "half":
            return TRAINING
        case _:
            assert_never(config.drawn_samples)


def _gradients(config: RunConfig) -> float:
    """Gradients to the input for each picked sample, on average over epochs."""
    if not config.reuses_scoring_gradient:
        return config.resolved_attack.gradients
    match config.scoring:
        case "epoch-start":
            return 1 - 1 / config.score_every
        case "carry-over":
            return config.resolved_attack.gradients
        case _:
            assert_never(config.scoring)


def total_passes(config: RunConfig, num_train: int) -> float:
    """Passes over T of all epochs, those of the warm-up being standard training."""
    return config.warmup_epochs * TRAINING + (config.epochs - config.warmup_epochs) * passes(config, num_train)


def cost(config: RunConfig, num_train: int, paces: Sequence[Pace]) -> Cost:
    """Estimate from measured epochs of runs with the same data set, network and precision, by their passes.

    Of several machines, the one with most such runs counts. The estimate uses their median seconds per pass, whatever
    their n; it is rough, because batch size and the machine's load matter too.
    """
    needed = passes(config, num_train)
    measured: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for pace in paces:
        like = (pace.config.dataset, pace.config.model, pace.config.precision)
        if like == (config.dataset, config.model, config.precision):
            a_pass = pace.seconds / passes(pace.config, num_train)
            measured.setdefault((pace.device, pace.num_threads), []).append((a_pass, pace.seconds_validate))
    if not measured:
        return Cost(needed, None, None, "no measurement yet")
    (device, threads), samples = max(measured.items(), key=lambda item: len(item[1]))
    a_pass, validation = (float(part) for part in np.median(samples, axis=0))
    total = a_pass * total_passes(config, num_train) + config.epochs * validation
    source = (
        f"{len(samples)} cached {'run' if len(samples) == 1 else 'runs'} of {config.model} on {config.dataset} "
        f"({device}, {threads} {'thread' if threads == 1 else 'threads'}): {a_pass:.3g} s a pass, "
        f"{validation:.3g} s an epoch for validation"
    )
    return Cost(needed, a_pass * needed + validation, total, source)


def pace(run: Run) -> Pace:
    """Times of a run's epochs, after its warm-up if there are any; raises if its metrics are damaged."""
    metrics = run.metrics()
    trained = metrics[metrics["epoch"] > run.config.warmup_epochs]
    config = run.config if len(trained) else run.config.model_copy(update={"num_perturbed": 0})
    rows = trained if len(trained) else metrics
    last = rows.iloc[-1]
    return Pace(
        config=config,
        device=str(last["device"]),
        num_threads=int(last["num_threads"]),
        seconds=float(rows[list(COST_PHASES)].sum(axis=1).median()),
        seconds_validate=float(rows[["seconds_validate", "seconds_record"]].sum(axis=1).median()),
    )
