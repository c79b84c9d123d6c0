"""From an attack's description to x′: the one place where config meets the pure attack functions."""

import torch
from torch import Tensor, nn

from aat_explore.algorithm.attacks import fgsm, pgd, predicted_labels
from aat_explore.config import ResolvedAttack


def perturb(
    network: nn.Module, images: Tensor, labels: Tensor, attack: ResolvedAttack, generator: torch.Generator
) -> Tensor:
    """Return x′ (B, C, H, W) under a resolved attack; it reads the network in eval mode and leaves it as it was."""
    if attack.label == "predicted":
        labels = predicted_labels(network, images)
    if attack.kind == "fgsm" and not attack.random_start:
        return fgsm(network, images, labels, epsilon=attack.epsilon)
    return pgd(
        network,
        images,
        labels,
        epsilon=attack.epsilon,
        steps=attack.steps,
        step_size=attack.step_size,
        random_start=attack.random_start,
        generator=generator,
    )
