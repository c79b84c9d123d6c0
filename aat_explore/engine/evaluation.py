"""Is it robust? Clean accuracy and accuracy under attack, counted image by image."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
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

CHUNK = 500  # images attacked together


def clean_correct(network: nn.Module, data: ImageSet) -> Tensor:
    """Return which images the network classifies correctly, bool (N,)."""
    return torch.cat([predicted_labels(network, chunk.images) == chunk.labels for chunk in data.chunks(1000)])


def fgsm_correct(network: nn.Module, data: ImageSet, epsilon: float) -> Tensor:
    """Return which images are classified correctly after FGSM, bool (N,).

    Unlike `robust_correct` this counts an image that was wrong before and is right after: FGSM accuracy above clean
    accuracy is the mark of label leaking.
    """
    moved = (
        predicted_labels(network, fgsm(network, pixels(chunk.images), chunk.labels, epsilon=epsilon)) == chunk.labels
        for chunk in data.chunks(CHUNK)
    )
    return torch.cat(list(moved))


def robust_correct(
    network: nn.Module, data: ImageSet, attack: ResolvedAttack, *, restarts: int = 1, generator: torch.Generator
) -> Tensor:
    """Return which images PGD never gets misclassified, bool (N,): not clean, nor at any iterate of any restart.

    Every iterate is looked at, not just the last, so this is at most the accuracy on `pgd`'s results; an image is
    attacked no further once it is fooled, which is what makes the test of a weak network cheap.
    """
    return torch.cat(
        [_survivors(network, chunk, attack, restarts, generator) for chunk in data.chunks(CHUNK)]
        or [torch.zeros(0, dtype=torch.bool)]
    )


def _survivors(
    network: nn.Module, data: ImageSet, attack: ResolvedAttack, restarts: int, generator: torch.Generator
) -> Tensor:
    survives = predicted_labels(network, data.images) == data.labels
    for _ in range(restarts):
        rows = survives.nonzero().flatten()
        fooled = torch.ones_like(rows, dtype=torch.bool)
        images, labels = pixels(data.images[rows]), data.labels[rows]
        active = torch.arange(len(rows), device=rows.device)
        start = uniform_start(images, attack.epsilon, generator) if attack.random_start else images
        for still_correct in _iterate(network, start, images, labels, attack):
            active = active[still_correct]
        fooled[active] = False
        survives[rows[fooled]] = False
    return survives


def _iterate(
    network: nn.Module, x_adv: Tensor, images: Tensor, labels: Tensor, attack: ResolvedAttack
) -> Iterator[Tensor]:
    """Yield, for each iterate, which of those still attacked are classified correctly; the others are dropped."""
    with attacked(network):
        for _ in range(attack.steps):
            if len(labels) == 0:
                return
            following, logits = pgd_step(
                network, x_adv, images, labels, epsilon=attack.epsilon, step_size=attack.step_size
            )
            still_correct = logits.argmax(1) == labels
            yield still_correct
            x_adv, images, labels = following[still_correct], images[still_correct], labels[still_correct]
        with torch.no_grad():
            yield network(x_adv).argmax(1) == labels


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
    }


def attack_at(network: nn.Module, data: ImageSet, config: EvaluationConfig, epsilon: float) -> Tensor:
    """Return which images stay correct under the configured attack at one ε, bool (N,); clean ones for ε = 0."""
    if epsilon == 0:
        return clean_correct(network, data)
    if config.attack == "fgsm":
        return fgsm_correct(network, data, epsilon)
    attack = AttackConfig(
        kind="pgd", steps=config.num_steps, step_size=config.step_size, random_start=config.random_start
    ).resolve(epsilon)
    generator = torch.Generator().manual_seed(config.seed)
    return robust_correct(network, data, attack, restarts=config.restarts, generator=generator)


def evaluate(
    network: nn.Module,
    data: ImageSet,
    config: EvaluationConfig,
    epsilons: tuple[float, ...],
    *,
    epoch: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Attack `data`, images of one split, at each ε and return the counts of those that stay correct.

    Each ε is attacked independently, with the same random starts scaled to it. Accuracy under any attack is an upper
    bound on robust accuracy. `progress` hears (ε done, of all).
    """
    started = perf_counter()
    counts = []
    for done, epsilon in enumerate(epsilons):
        progress(done, len(epsilons))
        counts.append(int(attack_at(network, data, config, epsilon).sum()))
    progress(len(epsilons), len(epsilons))
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
