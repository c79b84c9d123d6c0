"""Is it robust? Clean accuracy and accuracy under attack, counted image by image."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from time import perf_counter

import torch
from torch import Tensor, nn

from aat_explore.algorithm.attacks import fgsm, pgd_step, predicted_labels, uniform_start
from aat_explore.algorithm.gradients import attacked, pixels
from aat_explore.config import AttackConfig, EvaluationConfig, ResolvedAttack
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.device import describe, versions
from aat_explore.engine.networks import digest_of_weights, weights_of
from aat_explore.records import Evaluation

WARM_STEPS = 4  # tenth of PGD-40's


def clean_correct(network: nn.Module, data: ImageSet) -> Tensor:
    """Return which images the network classifies correctly, bool (N,)."""
    return _collected(predicted_labels(network, chunk.images) == chunk.labels for _, chunk in data.chunks())


def fgsm_correct(network: nn.Module, data: ImageSet, epsilon: float) -> Tensor:
    """Return which images are classified correctly after FGSM, bool (N,).

    Unlike `robust_correct` this counts an image that was wrong before and is right after: FGSM accuracy above clean
    accuracy is the mark of label leaking.
    """
    return correct_after(network, data, partial(fgsm, epsilon=epsilon))


def correct_after(
    network: nn.Module, data: ImageSet, perturbed: Callable[[nn.Module, Tensor, Tensor], Tensor]
) -> Tensor:
    """Return which images are classified correctly as `perturbed`(network, images, labels) leaves them, bool (N,)."""
    return _collected(
        predicted_labels(network, perturbed(network, pixels(chunk.images), chunk.labels)) == chunk.labels
        for _, chunk in data.chunks()
    )


def robust_correct(
    network: nn.Module, data: ImageSet, attack: ResolvedAttack, *, restarts: int = 1, generator: torch.Generator
) -> Tensor:
    """Return which images PGD never gets misclassified, bool (N,): not clean, nor at any iterate of any restart.

    Every iterate is looked at, not just the last, so this is at most the accuracy on `pgd`'s results; an image is
    attacked no further once it is fooled, which is what makes the test of a weak network cheap.
    """
    survives = clean_correct(network, data)
    for rows, chunk in data.chunks():
        images = pixels(chunk.images)
        _attempt(network, images, chunk.labels, attack, restarts, generator, survives[rows])
    return survives


def robust_curve(
    network: nn.Module, data: ImageSet, attacks: Sequence[ResolvedAttack], *, restarts: int = 1, seed: int
) -> Iterator[Tensor]:
    """Yield for each PGD attack, of growing ε, which images resist it and all before it, bool (N,).

    The balls are nested, so an image fooled at a smaller ε need not be attacked again. The others are first tried from
    where the attack at the smaller ε ended, by `WARM_STEPS` steps as long as the ring between the balls is wide; those
    that resist get the very attack of `robust_correct`, from the same random starts. So robust accuracy falls with ε,
    and it never exceeds that under independent attacks.
    """
    survives, x_adv, reached = clean_correct(network, data), pixels(data.images).clone(), 0.0
    for attack in attacks:
        generator = torch.Generator().manual_seed(seed)
        across = replace(attack, steps=WARM_STEPS, step_size=attack.epsilon - reached)
        for rows, chunk in data.chunks():
            images = pixels(chunk.images)
            if WARM_STEPS:
                _attack(network, images, chunk.labels, across, x_adv[rows], survives[rows])
            x_adv[rows] = _attempt(network, images, chunk.labels, attack, restarts, generator, survives[rows])
        reached = attack.epsilon
        yield survives.clone()


def _attempt(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    attack: ResolvedAttack,
    restarts: int,
    generator: torch.Generator,
    survives: Tensor,
) -> Tensor:
    """Attack what survives from each of the attack's own starts; `survives` and result as in `_attack`."""
    last = images
    for _ in range(restarts):
        start = uniform_start(images, attack.epsilon, generator) if attack.random_start else images
        last = _attack(network, images, labels, attack, start, survives)
    return last


def _attack(
    network: nn.Module, images: Tensor, labels: Tensor, attack: ResolvedAttack, start: Tensor, survives: Tensor
) -> Tensor:
    """Attack the images that survive so far, clear in `survives` those that some iterate fools, and return the last.

    `start` and the result are for all N images, so that no image's attack depends on another's fate; the result is
    `start` for images not attacked to the end.
    """
    rows, last = survives.nonzero().flatten(), start.clone()
    x_adv, x, y = start[rows], images[rows], labels[rows]
    with attacked(network):
        for _ in range(attack.steps):
            if len(rows) == 0:
                return last
            following, logits = pgd_step(network, x_adv, x, y, epsilon=attack.epsilon, step_size=attack.step_size)
            resists = logits.argmax(1) == y
            survives[rows[~resists]] = False
            x_adv, x, y, rows = following[resists], x[resists], y[resists], rows[resists]
        resists = predicted_labels(network, x_adv) == y
        survives[rows[~resists]] = False
    last[rows[resists]] = x_adv[resists]
    return last


def describe_attack(config: EvaluationConfig) -> dict[str, str | int | float | bool | None]:
    """Return all that defines the attack besides ε, as an `Evaluation` records it."""
    common: dict[str, str | int | float | bool | None] = {
        "kind": config.attack,
        "norm": "linf",
        "loss": "cross-entropy",
    }
    if config.attack == "fgsm":
        return common | {"counts": "perturbed image"}
    return common | {
        "steps": config.num_steps,
        "step_size": "2.5 ε/steps" if config.step_size is None else config.step_size,
        "restarts": config.restarts,
        "random_start": config.random_start,
        "counts": "worst iterate",
        **({"curve": "nested"} if config.curve == "nested" else {}),
    }


def correct_at(
    network: nn.Module, data: ImageSet, config: EvaluationConfig, epsilons: Sequence[float]
) -> Iterator[Tensor]:
    """Yield which images stay correct under the configured attack at each ε, bool (N,); clean ones for ε = 0."""
    positive = [epsilon for epsilon in epsilons if epsilon > 0]
    if len(positive) < len(epsilons):
        yield clean_correct(network, data)
    if config.attack == "fgsm":
        yield from (fgsm_correct(network, data, epsilon) for epsilon in positive)
        return
    attacks = [
        AttackConfig(
            kind="pgd", steps=config.num_steps, step_size=config.step_size, random_start=config.random_start
        ).resolve(epsilon)
        for epsilon in positive
    ]
    if config.curve == "nested":
        yield from robust_curve(network, data, attacks, restarts=config.restarts, seed=config.seed)
        return
    for attack in attacks:
        generator = torch.Generator().manual_seed(config.seed)
        yield robust_correct(network, data, attack, restarts=config.restarts, generator=generator)


def _collected(parts: Iterator[Tensor]) -> Tensor:
    return torch.cat([*parts] or [torch.zeros(0, dtype=torch.bool)])


def evaluate(
    network: nn.Module,
    data: ImageSet,
    config: EvaluationConfig,
    epsilons: tuple[float, ...],
    *,
    epoch: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Attack `data`, images of one split, at each of the ascending ε and return the counts of those that stay correct.

    Each ε is attacked with the same random starts scaled to it; by `config.curve` what a smaller ε found is used or
    not. Accuracy under any attack is an upper bound on robust accuracy. `progress` hears (ε done, of all).
    """
    started = perf_counter()
    counts: list[int] = []
    progress(0, len(epsilons))
    for correct in correct_at(network, data, config, epsilons):
        counts.append(int(correct.sum()))
        progress(len(counts), len(epsilons))
    return Evaluation(
        epoch=epoch,
        split=config.split,
        num_images=len(data),
        attack=describe_attack(config),
        epsilons=epsilons,
        num_correct=tuple(counts),
        seed=config.seed,
        seconds=perf_counter() - started,
        model_digest=digest_of_weights(weights_of(network)),
        device=describe(data.images.device),
        num_threads=torch.get_num_threads(),
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
