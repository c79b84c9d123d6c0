"""What a training will cost, before it starts: passes over the data, and seconds from what runs like it took."""

from collections.abc import Sequence
from dataclasses import dataclass

from aat_explore.config import RunConfig
from aat_explore.views.frames.runs import COST_PHASES
from aat_explore.views.protocols import Run

TRAINING = 3  # forward, backward to the input, backward to the weights
GRADIENT = 2  # forward, backward to the input


@dataclass(frozen=True)
class Cost:
    """What an epoch costs: `passes` over T, `seconds` with validation (None: nothing measured), and `source`."""

    passes: float
    seconds: float | None
    total_seconds: float | None
    source: str


def passes(config: RunConfig, num_train: int) -> float:
    """Passes over T that an epoch after the warm-up takes; forward, input-backward, weight-backward count one each.

    3 + 2/score_every (scoring at the epoch's start) + 2 k |K|/T (k gradients for each picked sample), where FGSM from
    the clean image with fresh scores reuses their gradient (k = 0); a kept clean copy is another 3 |K|/T.
    """
    if config.num_perturbed == 0:
        return TRAINING
    share = 1.0 if config.num_perturbed == "all" else min(1.0, config.num_perturbed / num_train)
    scoring = GRADIENT / config.score_every if config.samples and config.scoring == "epoch-start" else 0.0
    kept = TRAINING * share if config.drawn_samples != "replace" else 0.0
    return TRAINING + scoring + GRADIENT * _gradients(config) * share + kept


def _gradients(config: RunConfig) -> float:
    """Gradients to the input for each picked sample, on average over epochs."""
    attack = config.resolved_attack
    reusable = (
        attack.kind == "fgsm"
        and not attack.random_start
        and attack.label == "true"
        and config.samples
        and config.scoring == "epoch-start"
        and config.perturbing_network == "epoch-start"
    )
    return 1 - 1 / config.score_every if reusable else attack.steps


def total_passes(config: RunConfig, num_train: int) -> float:
    """Passes over T of all epochs, those of the warm-up being standard training."""
    return config.warmup_epochs * TRAINING + (config.epochs - config.warmup_epochs) * passes(config, num_train)


def cost(config: RunConfig, num_train: int, runs: Sequence[Run]) -> Cost:
    """Estimate from measured epochs of runs with the same data set, network and precision, by their passes.

    Of several machines the one with most such runs counts. Each run gives its median seconds a pass; theirs is the
    median. Runs are weighed alike, whatever their n, so the estimate is rough: batch size and threads matter too.
    """
    needed = passes(config, num_train)
    measured: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for run in runs:
        like = (run.config.dataset, run.config.model, run.config.precision)
        if like == (config.dataset, config.model, config.precision):
            machine, seconds, validation = _pace(run)
            measured.setdefault(machine, []).append((seconds / passes(run.config, num_train), validation))
    if not measured:
        return Cost(needed, None, None, "no measurement yet")
    machine, paces = max(measured.items(), key=lambda item: len(item[1]))
    a_pass, validation = _median([pace[0] for pace in paces]), _median([pace[1] for pace in paces])
    total = a_pass * total_passes(config, num_train) + config.epochs * validation
    source = (
        f"{len(paces)} cached {'run' if len(paces) == 1 else 'runs'} of {config.model} on {config.dataset}, "
        f"{machine[0]}, {machine[1]} {'thread' if machine[1] == 1 else 'threads'}: {a_pass:.3g} s a pass, "
        f"{validation:.3g} s an epoch for validation"
    )
    return Cost(needed, a_pass * needed + validation, total, source)


def _pace(run: Run) -> tuple[tuple[str, int], float, float]:
    """Machine, median seconds of an epoch after the warm-up (if there is one), and of its validation and recording."""
    metrics = run.metrics()
    trained = metrics[metrics["epoch"] > run.config.warmup_epochs]
    rows = trained if len(trained) else metrics
    last = rows.iloc[-1]
    validation = rows[["seconds_validate", "seconds_record"]].sum(axis=1).median()
    machine = (str(last["device"]), int(last["num_threads"]))
    return machine, float(rows[list(COST_PHASES)].sum(axis=1).median()), float(validation)


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
