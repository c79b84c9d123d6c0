"""A custom network, score and attack to read and copy: all that AAT asks of each.

aat train --model aat_explore.examples:SmallCNN --score aat_explore.examples:entropy
aat train --attack aat_explore.examples:margin_pgd --attack.options steps 7 --perturbing-network on-the-fly
"""

import torch
from torch import Tensor, nn


class SmallCNN(nn.Sequential):
    """Four strided convolutions: standardised images (B, in_channels, H, W) to logits (B, num_classes).

    Any `nn.Module` will do. It receives whichever of in_channels, image_size, num_classes and dropout it names.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        def block(before: int, after: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.ReLU())

        blocks = (block(in_channels, 16), block(16, 32), block(32, 32), block(32, 32))
        super().__init__(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, num_classes))


def entropy(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the entropy −Σₖ qₖ log qₖ of each q = softmax(z), (B,), which picks what the network is unsure of.

    The network is in eval mode and images (B, C, H, W) are in [0, 1]; scores must be finite and >= 0.
    """
    with torch.no_grad():
        log_q: Tensor = network(images).log_softmax(1)
    return -(log_q.exp() * log_q).sum(1)


def margin_pgd(
    network: nn.Module, images: Tensor, labels: Tensor, *, epsilon: float, generator: torch.Generator, steps: int = 7
) -> Tensor:
    """Return the last PGD iterate x′ (B, C, H, W) that raises the margin max_{k≠y} z_k − z_y instead of the loss.

    The network is in eval mode and images are in [0, 1]. x′ must be in [0, 1] too, with ‖x′ − x‖∞ ≤ ε, and the same for
    the same generator state. Keyword arguments are epsilon, generator and whatever `attack.options` names.
    """
    noise = torch.rand(images.shape, generator=generator).to(images)
    x_adv = (images + epsilon * (2 * noise - 1)).clamp(0, 1)
    for _ in range(steps):
        x = x_adv.detach().requires_grad_()
        logits = network(x)
        is_true = torch.nn.functional.one_hot(labels, logits.shape[1]).bool()
        margins = logits.masked_fill(is_true, -torch.inf).amax(1) - logits[is_true]
        (gradient,) = torch.autograd.grad(margins.sum(), x)
        stepped = x_adv + 2.5 * epsilon / steps * gradient.sign()
        x_adv = stepped.clamp(images - epsilon, images + epsilon).clamp(0, 1)
    return x_adv.detach()
