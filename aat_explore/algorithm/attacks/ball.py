"""What all attacks share: the ℓ∞ ball of radius ε around an image, and the box [0, 1] of its pixels."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aat_explore.algorithm.gradients import Images, attacked, pixels
from aat_explore.errors import AATError

Pixels = Float[Tensor, "B C H W"]
Labels = Int64[Tensor, " B"]


def move(images: Images, signs: Tensor, epsilon: float) -> Pixels:
    """Return clip(x + ε·sign), for signs (B, C, H, W) in {−1, 0, 1} of any dtype: one step stays in the ball."""
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


def predicted_labels(network: nn.Module, images: Images) -> Labels:
    """Return the predicted labels (B,): attacking these instead of the true ones avoids label leaking."""
    with attacked(network), torch.no_grad():
        labels: Tensor = network(pixels(images)).argmax(1)
    return labels


def check_epsilon(epsilon: float) -> None:
    """Raise AATError unless ε is in [0, 1], the range of a pixel."""
    if not 0 <= epsilon <= 1:
        raise AATError(
            f"epsilon={epsilon} is outside [0, 1], the range of a pixel; divide by 255 if it is in grey levels"
        )


def check_steps(steps: int, attack: str) -> None:
    """Raise AATError unless `attack` takes at least one step."""
    if steps < 1:
        raise AATError(f"steps={steps} is less than 1; {attack} needs at least one step")
