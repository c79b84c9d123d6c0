"""Is it robust? Accuracy under an attack over a grid of ε, with a verdict on every image."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aat_explore.algorithm.attacks import pgd
from aat_explore.config import AttackConfig, EvaluationConfig
from aat_explore.engine.autoattack import ATTACKS, AutoAttack
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.counting import (
    clean_correct,
    correct_after,
    fgsm_correct,
    num_outputs,
    robust_correct,
    robust_curve,
    skip_starts,
)
from aat_explore.engine.device import describe, versions
from aat_explore.engine.networks import digest_of_weights, weights_of
from aat_explore.records import Evaluation

Correct = np.ndarray[Any, np.dtype[np.bool_]]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Verdicts:
    """What an attack left of some images in a row: `correct`, bool (attacks, ε, B), and the seconds it took.

    `correct[a, e, i]`: image i is classified correctly at ε number e by itself and after attacks 0 … a.
    """

    correct: Correct
    seconds: float


WEAK_STEPS = 10  # of ε/10 each, so that the ball's edge is reached by the last, and only along one way
WEAKLY: dict[str, str | bool] = {"random_start": False, "counts": "last iterate"}


def describe_attack(config: EvaluationConfig) -> dict[str, str | int | float | bool | None]:
    """Return all that defines the attack besides ε, as an `Evaluation` records it."""
    common: dict[str, str | int | float | bool | None] = {"kind": config.attack, "norm": "linf"}
    nested: dict[str, str] = {"curve": "nested"} if config.curve == "nested" else {}
    match config.attack:
        case "autoattack":
            return common | {"version": "standard"} | nested
        case "fgsm":
            return common | {"loss": "cross-entropy", "counts": "perturbed image"}
        case "weak-pgd":
            return common | {"loss": "cross-entropy", "steps": WEAK_STEPS, "step_size": f"ε/{WEAK_STEPS}"} | WEAKLY
        case "transfer":
            return common | {"loss": "cross-entropy", "from": config.transfer_from, "steps": config.num_steps} | WEAKLY
    return common | {
        "loss": "cross-entropy",
        "steps": config.num_steps,
        "step_size": "2.5 ε/steps" if config.step_size is None else config.step_size,
        "restarts": config.restarts,
        "random_start": config.random_start,
        "counts": "worst iterate",
        **nested,
    }


def names_of_attacks(config: EvaluationConfig) -> tuple[str, ...]:
    """Return the attacks that are tried in turn: AutoAttack's four, or one."""
    return tuple(ATTACKS) if config.attack == "autoattack" else (config.attack.upper(),)


def verdicts(
    network: nn.Module,
    data: ImageSet,
    config: EvaluationConfig,
    epsilons: Sequence[float],
    *,
    skip: int = 0,
    transfer_from: nn.Module | None = None,
    progress: Progress = lambda share: None,
) -> Iterator[Verdicts]:
    """Yield the verdicts on chunk after chunk of the images, at each of the ascending ε, without the first `skip`.

    Each ε is attacked from the same random starts scaled to it; by `config.curve` what a smaller ε found is used or
    not. An image's verdict does not depend on `skip`, which must be a number of whole chunks: so an evaluation that was
    cut off goes on. `transfer_from` is the network that attack "transfer" makes x′ for. `progress` hears the share of
    all the work that is done. Raises AATError if AutoAttack is asked for and pyautoattack is not installed.
    """
    starts = torch.Generator().manual_seed(config.seed)
    tried = _attempt_of(network, data, config, transfer_from)
    for rows, chunk in data.chunks():
        if rows.start < skip:
            skip_starts(chunk, restarts=config.restarts, generator=starts)
            continue
        began, found = perf_counter(), []
        begin = starts.get_state()
        progress(rows.start / len(data))
        for correct in tried(chunk, epsilons, starts):
            found.append(correct.cpu())
            if len(found) < len(epsilons):
                progress((rows.start + len(chunk) * len(found) / len(epsilons)) / len(data))
        starts.set_state(begin)
        skip_starts(chunk, restarts=config.restarts, generator=starts)
        yield Verdicts(torch.stack(found, 1).numpy(), perf_counter() - began)
    progress(1.0)


def correct_at(
    network: nn.Module, data: ImageSet, config: EvaluationConfig, epsilons: Sequence[float]
) -> Iterator[Tensor]:
    """Yield which images stay correct under the configured attack at each ε, bool (N,); clean ones for ε = 0."""
    parts = [part.correct[-1] for part in verdicts(network, data, config, epsilons)]
    yield from torch.from_numpy(np.concatenate(parts, axis=-1))


def evaluate(
    network: nn.Module,
    data: ImageSet,
    config: EvaluationConfig,
    epsilons: tuple[float, ...],
    *,
    epoch: int,
    progress: Progress = lambda share: None,
) -> tuple[Evaluation, Correct]:
    """Attack `data`, images of one split, at each of the ascending ε: the counts, and `Verdicts.correct` of all.

    Accuracy under any attack is an upper bound on robust accuracy. See `verdicts` for the rest.
    """
    parts = list(verdicts(network, data, config, epsilons, progress=progress))
    return summed_up(network, data, config, epsilons, parts, epoch=epoch)


def summed_up(
    network: nn.Module,
    data: ImageSet,
    config: EvaluationConfig,
    epsilons: tuple[float, ...],
    parts: Sequence[Verdicts],
    *,
    epoch: int,
) -> tuple[Evaluation, Correct]:
    """Return the evaluation that all chunks' verdicts come to, and the verdicts as one array."""
    correct = np.concatenate([part.correct for part in parts], axis=-1)
    assert correct.shape[-1] == len(data)
    made = Evaluation(
        epoch=epoch,
        split=config.split,
        num_images=len(data),
        attack=describe_attack(config),
        epsilons=epsilons,
        num_correct=tuple(int(count) for count in correct[-1].sum(axis=-1)),
        attacks=names_of_attacks(config),
        seed=config.seed,
        seconds=sum(part.seconds for part in parts),
        model_digest=digest_of_weights(weights_of(network)),
        device=describe(data.images.device),
        num_threads=torch.get_num_threads(),
        versions=versions() | (AutoAttack.version() if config.attack == "autoattack" else {}),
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
    return made, correct


def _attempt_of(
    network: nn.Module, data: ImageSet, config: EvaluationConfig, transfer_from: nn.Module | None
) -> Callable[[ImageSet, Sequence[float], torch.Generator], Iterator[Tensor]]:
    """Return a function from a chunk, the ascending ε and a generator to (attacks, B) at each ε."""
    match config.attack:
        case "weak-pgd":
            return lambda chunk, epsilons, starts: _weakly(
                network, chunk, epsilons, network, WEAK_STEPS, 1 / WEAK_STEPS
            )
        case "transfer":
            assert transfer_from is not None
            source, steps = transfer_from, config.num_steps
            return lambda chunk, epsilons, starts: _weakly(network, chunk, epsilons, source, steps, 2.5 / steps)
        case "fgsm":
            return lambda chunk, epsilons, starts: _fgsm(network, chunk, epsilons)
        case "autoattack":
            ensemble = AutoAttack(seed=config.seed, num_classes=num_outputs(network, data))
            nested = config.curve == "nested"
            return lambda chunk, epsilons, starts: _autoattack(network, chunk, epsilons, ensemble, nested)
    return lambda chunk, epsilons, starts: _pgd(network, chunk, epsilons, config, starts)


def _fgsm(network: nn.Module, chunk: ImageSet, epsilons: Sequence[float]) -> Iterator[Tensor]:
    for epsilon in epsilons:
        yield (fgsm_correct(network, chunk, epsilon) if epsilon > 0 else clean_correct(network, chunk))[None]


def _weakly(
    network: nn.Module, chunk: ImageSet, epsilons: Sequence[float], source: nn.Module, steps: int, step: float
) -> Iterator[Tensor]:
    """Last iterates of PGD from the image itself, on `source`, by steps of `step`·ε; right before and after counts."""
    clean = clean_correct(network, chunk)
    for epsilon in epsilons:
        options = {"epsilon": epsilon, "steps": steps, "step_size": step * epsilon, "random_start": False}

        def perturbed(_: nn.Module, images: Tensor, labels: Tensor, options: Any = options) -> Tensor:
            return pgd(source, images, labels, **options)

        yield (clean & correct_after(network, chunk, perturbed) if epsilon > 0 else clean)[None]


def _autoattack(
    network: nn.Module, chunk: ImageSet, epsilons: Sequence[float], ensemble: AutoAttack, nested: bool
) -> Iterator[Tensor]:
    clean = survives = clean_correct(network, chunk)
    for epsilon in epsilons:
        left = torch.stack([clean] * len(ATTACKS))
        if epsilon > 0:
            left = ensemble.leaves(network, chunk, epsilon, survives)
        if nested:
            survives = left[-1]
        yield left


def _pgd(
    network: nn.Module, chunk: ImageSet, epsilons: Sequence[float], config: EvaluationConfig, starts: torch.Generator
) -> Iterator[Tensor]:
    positive = [epsilon for epsilon in epsilons if epsilon > 0]
    if len(positive) < len(epsilons):
        yield clean_correct(network, chunk)[None]
    attacks = [
        AttackConfig(
            kind="pgd", steps=config.num_steps, step_size=config.step_size, random_start=config.random_start
        ).resolve(epsilon)
        for epsilon in positive
    ]
    if config.curve == "nested":
        for correct in robust_curve(network, chunk, attacks, restarts=config.restarts, generator=starts):
            yield correct[None]
        return
    begin = starts.get_state()
    for attack in attacks:
        starts.set_state(begin)
        yield robust_correct(network, chunk, attack, restarts=config.restarts, generator=starts)[None]
