"""The recorded perturbed images of an epoch: x′, and the losses and predictions of the network that it was made for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aat_explore.algorithm.gradients import attacked, wide
from aat_explore.engine.device import chunk_size


@dataclass(frozen=True)
class Recorded:
    """The first m perturbed images of K: uint8 (m, C, H, W), float32 (m, 2), int32 (m, 2), as in `EpochRecord`."""

    x_adv: np.ndarray[Any, Any]
    losses: np.ndarray[Any, Any]
    classes: np.ndarray[Any, Any]


class Recorder:
    """Keeps the first m perturbed images of an epoch on the device, as they are made.

    Losses and predictions of x and x′ are taken in eval mode when x′ is made: before the epoch's training, or on the
    fly in the batch, then of the augmented images. That is 2m images more to classify, and changes nothing else. The
    tensors stay in place from epoch to epoch, as a captured step requires.
    """

    def __init__(self, capacity: int, shape: torch.Size, device: torch.device) -> None:
        self._x_adv = torch.zeros((capacity, *shape), device=device)
        self._losses = torch.zeros((capacity, 2), device=device)
        self._classes = torch.zeros((capacity, 2), dtype=torch.int32, device=device)
        self._count = 0

    def begin(self, num_drawn: int) -> None:
        """Begin an epoch with |K| = `num_drawn`."""
        self._count = min(len(self._x_adv), num_drawn)

    def __len__(self) -> int:
        return self._count

    def keep(
        self, network: nn.Module, slots: Tensor, x_adv: Tensor, inputs: tuple[Tensor, Tensor], labels: Tensor
    ) -> None:
        """Keep x′ (k, C, H, W) of the samples at places `slots` (k,) in K; `inputs` are x and x′ as classified."""
        self._x_adv[slots] = x_adv
        size = chunk_size(x_adv.device)
        with attacked(network), torch.no_grad():
            for column, images in enumerate(inputs):
                for start in range(0, len(slots), size):
                    part = slice(start, start + size)
                    logits = wide(network(images[part]))
                    losses = F.cross_entropy(logits, labels[part].to(logits.device), reduction="none")
                    self._losses[slots[part], column] = losses.to(self._losses)
                    self._classes[slots[part], column] = logits.argmax(1).to(self._classes)

    def recorded(self) -> Recorded:
        """Return the recorded images, rounded to 1/255, with losses and classes."""
        m = self._count
        return Recorded(
            (self._x_adv[:m] * 255).round().byte().cpu().numpy(),
            self._losses[:m].clone().cpu().numpy(),
            self._classes[:m].clone().cpu().numpy(),
        )
