"""The paper's networks. Both take pixels in [0, 1] and return logits; the first layer normalises.

Because the network normalises, ε stays in pixel units, as in the paper.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import resnet18


class Normalize(nn.Module):
    """Standardise each channel: (x − mean) / sd."""

    mean: Tensor
    sd: Tensor

    def __init__(self, mean: Sequence[float], sd: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("sd", torch.tensor(sd, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Return standardised images of the same shape, (B, C, H, W)."""
        return (x - self.mean) / self.sd


class StdCNN(nn.Sequential):
    """The paper's StdCNN: four valid 3×3 convolutions, two poolings, two dense layers; 23,010 parameters at 28×28.

    Takes (B, in_channels, image_size, image_size) in [0, 1], returns logits (B, num_classes). The paper's final
    softmax is part of the loss here (cross-entropy on logits). The paper's ReLUs before the poolings come after them
    here: a quarter of the work, bit-identical outputs and gradients.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        dropout: float = 0.5,
        mean: Sequence[float] = (0.0,),
        sd: Sequence[float] = (1.0,),
    ) -> None:
        side = ((image_size - 4) // 2 - 4) // 2  # two valid convolutions remove 4 pixels, pooling halves
        super().__init__(
            Normalize(mean, sd),
            nn.Conv2d(in_channels, 10, 3),
            nn.ReLU(inplace=True),
            nn.Conv2d(10, 10, 3),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.Conv2d(10, 20, 3),
            nn.ReLU(inplace=True),
            nn.Conv2d(20, 20, 3),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(20 * side * side, 50),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(50, num_classes),
        )


class ResNet18(nn.Sequential):
    """ResNet18 (He et al. 2016) for small images: 3×3 stem of stride 1 and no max-pool, as is common for CIFAR.

    Takes (B, in_channels, H, W) in [0, 1], returns logits (B, num_classes).
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 10,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        sd: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        network = resnet18(num_classes=num_classes)
        network.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's stem
        network.maxpool = nn.Identity()
        super().__init__(Normalize(mean, sd), network)
