"""PGD: steps along the sign of the gradient, each projected to the ball (Madry et al. 2018)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aat_explore.algorithm.attacks.ball import Labels, Pixels, check_epsilon, check_steps, project, uniform_start
from aat_explore.algorithm.gradients import attacked, input_gradient, pixels


def pgd(
    network: nn.Module,
    images: Pixels,
    labels: Labels,
    *,
    epsilon: float,
    steps: int,
    step_size: float | None = None,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Pixels:
    """Return the last of `steps` iterates x′ ← Π(x′ + α·sign(∇ₓJ(θ, x′, y))) (Madry et al. 2018, section 2.1).

    Π projects to the ε-ball around x and to [0, 1]; α = `step_size` (default 2.5 ε/steps). The start is uniform in the
    ball (drawn on the generator's device) or x itself; one step of ε from x is `fgsm`. Raises AATError for epsilon
    outside [0, 1] or steps < 1.
    """
    check_epsilon(epsilon)
    check_steps(steps, "PGD")
    step_size = 2.5 * epsilon / steps if step_size is None else step_size
    x_adv = uniform_start(images, epsilon, generator) if random_start else images
    with attacked(network):
        for _ in range(steps):
            x_adv, _ = pgd_step(network, x_adv, images, labels, epsilon=epsilon, step_size=step_size)
    return x_adv


def pgd_step(
    network: nn.Module, x_adv: Pixels, images: Pixels, labels: Labels, *, epsilon: float, step_size: float
) -> tuple[Pixels, Float[Tensor, "B K"]]:
    """Return the next PGD iterate and the logits at the current one; the network must be `attacked`."""
    gradient, logits = input_gradient(network, x_adv, labels)
    moved = pixels(x_adv) + step_size * gradient.sign()
    return project(moved, pixels(images), epsilon), logits
