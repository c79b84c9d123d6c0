"""The attacks A of Algorithm 1: FGSM and PGD in the ℓ∞ ball, clipped to the range of a pixel.

Both leave the model as they found it and return x′ with ‖x′ − x‖∞ ≤ ε (to 1e-6) and pixels in [0, 1].
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aat_explore.algorithm.gradients import Images, attacked, input_gradient, pixels
from aat_explore.errors import AATError

Pixels = Float[Tensor, "B C H W"]
Labels = Int64[Tensor, " B"]


def fgsm(model: nn.Module, images: Pixels, labels: Labels, *, epsilon: float) -> Pixels:
    """Return x′ = clip(x + ε·sign(∇ₓJ(θ, x, y))) (paper, FGSM), float32 (B, C, H, W) in [0, 1].

    `images` (B, C, H, W) in [0, 1], `epsilon` in the same units. A sample whose gradient is zero is not moved.
    """
    check_epsilon(epsilon)
    with attacked(model):
        gradient, _ = input_gradient(model, images, labels)
    return move(images, gradient.sign(), epsilon)


def pgd(
    model: nn.Module,
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

    Π projects to the ε-ball around x and to [0, 1]; α = `step_size`, or 2.5 ε/steps. The start is uniform in the ball
    (drawn on the generator's device) or x itself: `pgd` with one step of ε from x is `fgsm`. Raises AATError for
    epsilon < 0 or steps < 1.
    """
    check_epsilon(epsilon)
    if steps < 1:
        raise AATError(f"steps={steps} is less than 1; PGD needs at least one step")
    step_size = 2.5 * epsilon / steps if step_size is None else step_size
    x_adv = uniform_start(images, epsilon, generator) if random_start else images
    with attacked(model):
        for _ in range(steps):
            x_adv, _ = pgd_step(model, x_adv, images, labels, epsilon=epsilon, step_size=step_size)
    return x_adv


def pgd_step(
    model: nn.Module, x_adv: Pixels, images: Pixels, labels: Labels, *, epsilon: float, step_size: float
) -> tuple[Pixels, Float[Tensor, "B K"]]:
    """Return the next PGD iterate and the logits at the present one; the model must be `attacked`."""
    gradient, logits = input_gradient(model, x_adv, labels)
    moved = pixels(x_adv) + step_size * gradient.sign()
    return project(moved, pixels(images), epsilon), logits


def move(images: Images, signs: Tensor, epsilon: float) -> Pixels:
    """Return clip(x + ε·sign), for signs (B, C, H, W) in {−1, 0, 1} of any dtype; for one step no projection is due."""
    x = pixels(images)
    return (x + epsilon * signs.to(x.dtype)).clamp_(0, 1)


def project(x_adv: Pixels, images: Pixels, epsilon: float) -> Pixels:
    """Return the nearest point to x′ in the ε-ball around x and in [0, 1]."""
    return torch.maximum(torch.minimum(x_adv, images + epsilon), images - epsilon).clamp_(0, 1)


def uniform_start(images: Images, epsilon: float, generator: torch.Generator | None = None) -> Pixels:
    """Return a point uniform in the ε-ball around each image, clipped to [0, 1]."""
    x = pixels(images)
    device = x.device if generator is None else generator.device
    noise = torch.rand(x.shape, dtype=x.dtype, device=device, generator=generator).to(x.device)
    return (x + epsilon * (2 * noise - 1)).clamp_(0, 1)


def predicted_labels(model: nn.Module, images: Images) -> Labels:
    """Return the model's own labels (B,): attacking these instead of the true ones avoids label leaking."""
    with attacked(model), torch.no_grad():
        labels: Tensor = model(pixels(images)).argmax(1)
    return labels


def check_epsilon(epsilon: float) -> None:
    """Raise AATError unless ε is a distance between pixels of [0, 1]."""
    if not 0 <= epsilon <= 1:
        raise AATError(
            f"epsilon={epsilon} is outside [0, 1], the range of a pixel; divide by 255 if it counts grey levels"
        )
