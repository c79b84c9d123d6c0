"""An own network and an own score, to be read and copied: all that AAT asks of either.

aat train --model aat_explore.examples:SmallCNN --score aat_explore.examples:entropy
"""

import torch
from torch import Tensor, nn


class SmallCNN(nn.Sequential):
    """Four strided convolutions: images (B, in_channels, H, W), standardised already, to logits (B, num_classes).

    Any `nn.Module` will do. It is given those of in_channels, image_size, num_classes and dropout that it names.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        def block(before: int, after: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.ReLU())

        blocks = (block(in_channels, 16), block(16, 32), block(32, 32), block(32, 32))
        super().__init__(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, num_classes))


def entropy(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the entropy −Σₖ qₖ log qₖ of each q = softmax(z), (B,): what the network is unsure of is picked.

    The network is in eval mode and images (B, C, H, W) are in [0, 1]; scores must be finite and >= 0.
    """
    with torch.no_grad():
        log_q: Tensor = network(images).log_softmax(1)
    return -(log_q.exp() * log_q).sum(1)
