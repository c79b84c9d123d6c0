"""Which images stay correct: clean, after FGSM, and under PGD that attacks each image until it is fooled."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from aat_explore.algorithm.attacks import fgsm, pgd_step, predicted_labels, uniform_start
from aat_explore.algorithm.gradients import attacked, pixels
from aat_explore.attacks import ResolvedAttack
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.device import steps_between_drops

WARM_STEPS = 4  # a tenth of PGD-40's


def num_outputs(network: nn.Module, data: ImageSet) -> int:
    """Return the network's number of classes, from its logits for the first image."""
    with attacked(network), torch.no_grad():
        return int(network(pixels(data.images[:1])).shape[1])


def clean_correct(network: nn.Module, data: ImageSet) -> Tensor:
    """Return which images the network classifies correctly, bool (N,)."""
    return _concatenated(predicted_labels(network, chunk.images) == chunk.labels for _, chunk in data.chunks())


def fgsm_correct(network: nn.Module, data: ImageSet, epsilon: float) -> Tensor:
    """Return which images are classified correctly after FGSM, bool (N,).

    Unlike `robust_correct` this counts an image that is wrong clean and right after FGSM: FGSM accuracy above clean
    accuracy is the sign of label leaking.
    """
    return correct_after(network, data, partial(fgsm, epsilon=epsilon))


def correct_after(
    network: nn.Module, data: ImageSet, perturbed: Callable[[nn.Module, Tensor, Tensor], Tensor]
) -> Tensor:
    """Return which images are classified correctly after `perturbed`(network, images, labels), bool (N,)."""
    return _concatenated(
        predicted_labels(network, perturbed(network, pixels(chunk.images), chunk.labels)) == chunk.labels
        for _, chunk in data.chunks()
    )


def robust_correct(
    network: nn.Module, data: ImageSet, attack: ResolvedAttack, *, restarts: int = 1, generator: torch.Generator
) -> Tensor:
    """Return which images are classified correctly clean and at every PGD iterate of every restart, bool (N,).

    Every iterate counts, not just the last, so this is at most the accuracy on `pgd`'s results. An image is not
    attacked further once it is fooled, which makes the test of a weak network cheap.
    """
    survives = clean_correct(network, data)
    for rows, chunk in data.chunks():
        images = pixels(chunk.images)
        _attempt(network, images, chunk.labels, attack, restarts, generator, survives[rows])
    return survives


def robust_curve(
    network: nn.Module,
    data: ImageSet,
    attacks: Sequence[ResolvedAttack],
    *,
    restarts: int = 1,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Yield for each PGD attack, in order of ascending ε, which images resist it and all before it, bool (N,).

    The balls are nested, so an image fooled at a smaller ε need not be attacked again. The others are first attacked
    from the last iterate at the smaller ε, by `WARM_STEPS` steps as long as the difference of the two ε. Those that
    resist get the same attack as in `robust_correct`, from the same random starts: `generator` is reset for each ε. So
    robust accuracy falls with ε and never exceeds that under independent attacks.
    """
    survives, x_adv, last_epsilon = clean_correct(network, data), pixels(data.images).clone(), 0.0
    start_state = generator.get_state()
    for attack in attacks:
        generator.set_state(start_state)
        warm_up = replace(attack, steps=WARM_STEPS, step_size=attack.epsilon - last_epsilon)
        for rows, chunk in data.chunks():
            images = pixels(chunk.images)
            if WARM_STEPS:
                _attack(network, images, chunk.labels, warm_up, x_adv[rows], survives[rows])
            x_adv[rows] = _attempt(network, images, chunk.labels, attack, restarts, generator, survives[rows])
        last_epsilon = attack.epsilon
        yield survives.clone()


def skip_starts(data: ImageSet, *, restarts: int, generator: torch.Generator) -> None:
    """Advance `generator` past the random starts of all images, as attacking them once would."""
    for _, chunk in data.chunks():
        for _ in range(restarts):
            uniform_start(chunk.images.cpu(), 0.0, generator)


def _attempt(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    attack: ResolvedAttack,
    restarts: int,
    generator: torch.Generator,
    survives: Tensor,
) -> Tensor:
    """Attack the survivors from a start for each restart; `survives` and the result are as in `_attack`."""
    last = images
    for _ in range(restarts):
        start = uniform_start(images, attack.epsilon, generator) if attack.random_start else images
        last = _attack(network, images, labels, attack, start, survives)
    return last


def _attack(
    network: nn.Module, images: Tensor, labels: Tensor, attack: ResolvedAttack, start: Tensor, survives: Tensor
) -> Tensor:
    """Attack the surviving images, clear in `survives` those that some iterate fools, and return the last iterates.

    `start` and the result hold all N images, so no image's attack depends on which others are fooled; the result is
    `start` for images not attacked to the end. Fooled images are dropped every few steps: to know which they are, the
    host waits for the device.
    """
    rows, last, every = survives.nonzero().flatten(), start.clone(), steps_between_drops(images.device)
    x_adv, x, y = start[rows], images[rows], labels[rows]
    resists = torch.ones_like(y, dtype=torch.bool)
    with attacked(network):
        for step in range(attack.steps):
            if step and step % every == 0:
                survives[rows] = resists
                kept = resists.nonzero().flatten()
                x_adv, x, y, rows, resists = x_adv[kept], x[kept], y[kept], rows[kept], resists[kept]
            if len(rows) == 0:
                return last
            x_adv, logits = pgd_step(network, x_adv, x, y, epsilon=attack.epsilon, step_size=attack.step_size)
            resists &= logits.argmax(1) == y
        resists &= predicted_labels(network, x_adv) == y
    survives[rows] = resists
    last[rows] = torch.where(resists[:, None, None, None], x_adv, last[rows])
    return last


def _concatenated(parts: Iterator[Tensor]) -> Tensor:
    return torch.cat([*parts] or [torch.zeros(0, dtype=torch.bool)])
