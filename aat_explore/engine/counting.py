"""Which images stay correct: clean, after FGSM, and under PGD that tries until it has fooled."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from aat_explore.algorithm.attacks import fgsm, pgd_step, predicted_labels, uniform_start
from aat_explore.algorithm.gradients import attacked, pixels
from aat_explore.attacks import ResolvedAttack
from aat_explore.engine.batches import ImageSet

WARM_STEPS = 4  # tenth of PGD-40's


def num_outputs(network: nn.Module, data: ImageSet) -> int:
    """Return how many classes the network tells apart, by its logits of the first image."""
    with attacked(network), torch.no_grad():
        return int(network(pixels(data.images[:1])).shape[1])


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
    network: nn.Module,
    data: ImageSet,
    attacks: Sequence[ResolvedAttack],
    *,
    restarts: int = 1,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Yield for each PGD attack, of growing ε, which images resist it and all before it, bool (N,).

    The balls are nested, so an image fooled at a smaller ε need not be attacked again. The others are first tried from
    where the attack at the smaller ε ended, by `WARM_STEPS` steps as long as the ring between the balls is wide; those
    that resist get the very attack of `robust_correct`, from the same random starts: `generator` begins anew with each
    ε. So robust accuracy falls with ε, and it never exceeds that under independent attacks.
    """
    survives, x_adv, reached = clean_correct(network, data), pixels(data.images).clone(), 0.0
    begin = generator.get_state()
    for attack in attacks:
        generator.set_state(begin)
        across = replace(attack, steps=WARM_STEPS, step_size=attack.epsilon - reached)
        for rows, chunk in data.chunks():
            images = pixels(chunk.images)
            if WARM_STEPS:
                _attack(network, images, chunk.labels, across, x_adv[rows], survives[rows])
            x_adv[rows] = _attempt(network, images, chunk.labels, attack, restarts, generator, survives[rows])
        reached = attack.epsilon
        yield survives.clone()


def skip_starts(data: ImageSet, *, restarts: int, generator: torch.Generator) -> None:
    """Draw and forget the random starts of all images, as attacking them once would have."""
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


def _collected(parts: Iterator[Tensor]) -> Tensor:
    return torch.cat([*parts] or [torch.zeros(0, dtype=torch.bool)])
