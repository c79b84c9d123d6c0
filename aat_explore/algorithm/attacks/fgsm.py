"""FGSM: one step of size ε along the sign of the gradient (Goodfellow, Shlens, Szegedy 2015)."""

import torch
from torch import nn

from aat_explore.algorithm.attacks.ball import Labels, Pixels, check_epsilon, move
from aat_explore.algorithm.attacks.pgd import pgd
from aat_explore.algorithm.gradients import attacked, input_gradient


def fgsm(
    network: nn.Module,
    images: Pixels,
    labels: Labels,
    *,
    epsilon: float,
    random_start: bool = False,
    step_size: float | None = None,
    generator: torch.Generator | None = None,
) -> Pixels:
    """Return x′ = clip(x + ε·sign(∇ₓJ(θ, x, y))) (paper, FGSM), float32 (B, C, H, W) in [0, 1].

    `images` (B, C, H, W) in [0, 1], `epsilon` in the same units. A sample whose gradient is zero does not move. With
    `random_start` it is one PGD step of `step_size` (default 1.25 ε) from a point uniform in the ball (Wong, Rice,
    Kolter 2020). Raises AATError for epsilon outside [0, 1].
    """
    if random_start:
        step_size = 1.25 * epsilon if step_size is None else step_size
        return pgd(network, images, labels, epsilon=epsilon, steps=1, step_size=step_size, generator=generator)
    check_epsilon(epsilon)
    with attacked(network):
        gradient, _ = input_gradient(network, images, labels)
    return move(images, gradient.sign(), epsilon)
