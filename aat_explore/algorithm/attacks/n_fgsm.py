"""N-FGSM: one step from noise larger than the ball, without projection (de Jorge et al. 2022)."""

import torch
from torch import nn

from aat_explore.algorithm.attacks.ball import Labels, Pixels, check_epsilon, move, uniform_start
from aat_explore.algorithm.gradients import attacked, input_gradient
from aat_explore.errors import AATError


def n_fgsm(
    network: nn.Module,
    images: Pixels,
    labels: Labels,
    *,
    epsilon: float,
    k: float = 2.0,
    step_size: float | None = None,
    generator: torch.Generator | None = None,
) -> Pixels:
    """Return x′ = clip(x + η + α·sign(∇ₓJ(θ, x + η, y))), η ~ U(−kε, kε) (de Jorge et al. 2022, equation 2).

    `images` and the result are float32 (B, C, H, W) in [0, 1]; x + η is clipped to [0, 1] too. α = `step_size` (default
    ε). x′ is *not* projected to the ε-ball: ‖x′ − x‖∞ ≤ kε + α. k = 0 gives FGSM. The noise is drawn on the
    generator's device. Raises AATError for epsilon outside [0, 1] or k < 0.
    """
    check_epsilon(epsilon)
    if k < 0:
        raise AATError(f"k={k} is negative; the noise of N-FGSM is uniform in ±kε, use 0 or more")
    start = uniform_start(images, k * epsilon, generator)
    with attacked(network):
        gradient, _ = input_gradient(network, start, labels)
    return move(start, gradient.sign(), epsilon if step_size is None else step_size)
