"""Networks for the tests of the algorithm: fresh, trained until they are confident, and closed-form ones."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aat_explore import datasets
from aat_explore.algorithm import ResNet18, StdCNN
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.first_layer import with_fast_first_layer


@cache
def mini(count: int = 2000) -> tuple[Tensor, Tensor]:
    """Images float32 in [0, 1] and labels of fashion-mini's first training samples."""
    split = datasets.load("fashion-mini").train
    images = torch.from_numpy(split.images(slice(0, count)).copy()).float() / 255
    return images, torch.from_numpy(split.labels[:count].astype("int64"))


def mini_set(start: int, stop: int) -> ImageSet:
    """The same samples as the engine holds them: uint8 images and labels."""
    images, labels = mini()
    return ImageSet((images[start:stop] * 255).round().byte(), labels[start:stop])


def fresh(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return with_fast_first_layer(StdCNN()) if name == "StdCNN" else ResNet18(in_channels=1, mean=[0.5], sd=[0.25])


def confident(name: str) -> nn.Module:
    """Trained on few samples until it is certain of them.

    ResNet18 takes 45 epochs: up to the 31st the median certainty of the eval mode, whose batch norm lags behind, jumps
    between 0.997 and 0.9997. From the 42nd on it stays above 0.99975, with one thread and with two.
    """
    return fitted(name, 400, 80) if name == "StdCNN" else fitted(name, 100, 45)


@cache
def fitted(name: str, count: int, epochs: int) -> nn.Module:
    """Trained on the first samples of fashion-mini, without dropout, which would keep it from certainty."""
    images, labels = (part[:count] for part in mini())
    network = fresh(name).train()
    if name == "StdCNN":
        network[-2].p = 0.0
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(epochs):
            for rows in torch.randperm(count).split(50):
                optimizer.zero_grad()
                F.cross_entropy(network(images[rows]), labels[rows]).backward()
                optimizer.step()
    return network.eval()


class Linear(nn.Module):
    """Logits W·x with W (K, D): ∇ₓJ = Wᵀ(softmax − onehot) in closed form."""

    def __init__(self, num_classes: int = 4, pixels: int = 9, scale: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.W = nn.Parameter(scale * torch.randn(num_classes, pixels, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.W.T
