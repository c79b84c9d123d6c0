"""What is kept of an epoch's perturbed images, for looking at: x′, and what the network that made it said of it."""

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

    The network is asked about x and x′ when x′ is made, in eval mode: before the epoch's training, or on the fly in the
    batch, of the augmented images if they are. That is 2m images more to look at, and changes nothing else.
    """

    def __init__(self, count: int, shape: torch.Size, device: torch.device) -> None:
        self._x_adv = torch.zeros((count, *shape), device=device)
        self._losses = torch.zeros((count, 2), device=device)
        self._classes = torch.zeros((count, 2), dtype=torch.int32, device=device)

    def __len__(self) -> int:
        return len(self._x_adv)

    def keep(
        self, network: nn.Module, places: Tensor, x_adv: Tensor, seen: tuple[Tensor, Tensor], labels: Tensor
    ) -> None:
        """Keep x′ (k, C, H, W) of the samples at `places` (k,) in K; `seen` are x and x′ as the network sees them."""
        self._x_adv[places] = x_adv
        size = chunk_size(x_adv.device)
        with attacked(network), torch.no_grad():
            for column, images in enumerate(seen):
                for start in range(0, len(places), size):
                    here = slice(start, start + size)
                    logits = wide(network(images[here]))
                    losses = F.cross_entropy(logits, labels[here].to(logits.device), reduction="none")
                    self._losses[places[here], column] = losses.to(self._losses)
                    self._classes[places[here], column] = logits.argmax(1).to(self._classes)

    def recorded(self) -> Recorded:
        """Return what was kept; x′ rounded to 1/255."""
        return Recorded(
            (self._x_adv * 255).round().byte().cpu().numpy(),
            self._losses.cpu().numpy(),
            self._classes.cpu().numpy(),
        )
