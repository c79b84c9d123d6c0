"""MI-FGSM: FGSM iterated with momentum (Dong et al. 2018)."""

import torch
from torch import nn

from aat_explore.algorithm.attacks.ball import Labels, Pixels, check_epsilon, check_steps, project
from aat_explore.algorithm.gradients import attacked, input_gradient, pixels, wide
from aat_explore.errors import AATError


def mi_fgsm(
    network: nn.Module,
    images: Pixels,
    labels: Labels,
    *,
    epsilon: float,
    steps: int = 10,
    step_size: float | None = None,
    decay: float = 1.0,
) -> Pixels:
    """Return the last of `steps` iterates x′ ← Π(x′ + α·sign(g)), g ← μg + ∇ₓJ/‖∇ₓJ‖₁ (Dong et al. 2018, equation 6).

    `images` and the result are float32 (B, C, H, W) in [0, 1]; x′ starts at x and g at 0; μ = `decay`; α =
    `step_size` (default ε/steps). A gradient of zero adds nothing to g. Raises AATError for epsilon outside [0, 1],
    steps < 1 or decay < 0.
    """
    check_epsilon(epsilon)
    check_steps(steps, "MI-FGSM")
    if decay < 0:
        raise AATError(f"decay={decay} is negative; use 1, or 0 for no momentum")
    step_size = epsilon / steps if step_size is None else step_size
    x = pixels(images)
    x_adv, momentum = x, torch.zeros_like(x)
    with attacked(network):
        for _ in range(steps):
            gradient, _ = input_gradient(network, x_adv, labels)
            # In float32 the sum over the pixels of a well-fitted sample may underflow.
            norms = wide(gradient).abs().sum((1, 2, 3), keepdim=True)
            direction = torch.where(norms > 0, wide(gradient) / norms, 0.0)
            momentum = decay * momentum + direction.to(momentum)
            x_adv = project(x_adv + step_size * momentum.sign(), x, epsilon)
    return x_adv
