"""The training set on the device, and an epoch's batches: shuffling, x′ for x, augmentation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self, assert_never

import numpy as np
import torch
from torch import Tensor

from aat_explore.algorithm.gradients import pixels
from aat_explore.engine.device import chunk_size


@dataclass(frozen=True)
class ImageSet:
    """Images uint8 (N, C, H, W) and labels int64 (N,) on one device; row i is sample i."""

    images: Tensor
    labels: Tensor

    @classmethod
    def from_numpy(cls, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], device: torch.device) -> Self:
        """Copy a split to the device as uint8, a quarter of float32's memory."""
        labels_ = torch.from_numpy(labels.astype(np.int64))
        return cls(torch.from_numpy(np.array(images)).to(device), labels_.to(device))

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "ImageSet":
        """Return the first `count` samples."""
        return ImageSet(self.images[:count], self.labels[:count])

    def chunks(self) -> Iterator[tuple[slice, "ImageSet"]]:
        """Yield (rows, their samples) in chunks of the device's `chunk_size`."""
        size = chunk_size(self.images.device)
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield rows, ImageSet(self.images[rows], self.labels[rows])

    def channel_statistics(self) -> tuple[list[float], list[float]]:
        """Return mean and standard deviation of each channel in [0, 1], exact from the 256-bin histogram."""
        values = torch.arange(256, dtype=torch.float64) / 255
        means, sds = [], []
        for channel in range(self.images.shape[1]):
            counts = torch.bincount(self.images[:, channel].flatten().cpu(), minlength=256).double()
            mean = float((counts * values).sum() / counts.sum())
            variance = float((counts * (values - mean) ** 2).sum() / counts.sum())
            means.append(mean)
            sds.append(max(variance**0.5, 1e-3))  # a constant channel must not divide by zero
        return means, sds


class Size(NamedTuple):
    """How many samples a batch holds, how many of them are perturbed, and how many of these are recorded."""

    samples: int
    drawn: int
    recorded: int


@dataclass(frozen=True)
class Schedule:
    """The batches of one epoch: a table int64 (batches, 4 or 7, B) on the CPU, and the size of each batch.

    The columns of a batch are those of `Batch`, padded to B. The device holds the whole table during the epoch, so that
    a step finds its batch there, and only the sizes are needed on the host.
    """

    table: Tensor
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Batch:
    """What one optimiser step trains on, before perturbation.

    `rows` (B,) are training rows and `slots` (B,) their places in K, −1 for a sample that stays clean. `positions` (k,)
    are the positions in the batch of the samples to perturb, and `recorded` (r,) says which of these, counted from 0,
    are recorded. `augmentation` is that of the B samples, None for none.
    """

    rows: Tensor
    slots: Tensor
    positions: Tensor
    recorded: Tensor
    augmentation: "Augmentation | None"

    @classmethod
    def of(cls, columns: Tensor, size: Size) -> Self:
        """Return the batch in the `columns` (4 or 7, B) of a schedule's table."""
        rows, slots, positions, recorded, *moves = columns.unbind()
        augmentation = Augmentation(moves[0], moves[1], moves[2] != 0)[: size.samples] if moves else None
        return cls(
            rows[: size.samples],
            slots[: size.samples],
            positions[: size.drawn],
            recorded[: size.recorded],
            augmentation,
        )


def num_batches(num_samples: int, batch_size: int) -> int:
    """Return how many batches `num_samples` samples make; the last may be shorter."""
    return -(-num_samples // batch_size)


def schedule(
    num_train: int,
    drawn: Tensor,
    batch_size: int,
    *,
    treatment: Literal["replace", "add", "half"],
    generator: torch.Generator,
    num_recorded: int = 0,
    augmentation: "Augmentation | None" = None,
) -> Schedule:
    """Shuffle an epoch's samples and cut them into batches; the last may be shorter.

    Of the T samples those in K = `drawn` are perturbed (Algorithm 1, step 4), and the first `num_recorded` of them
    recorded; treatment "add" makes T + |K| samples, the T clean ones and the perturbed copies. `augmentation` holds the
    moves of all these samples, in the order in which they are trained on.
    """
    match treatment:
        case "add":
            rows = torch.cat([torch.arange(num_train), drawn])
            slots = torch.cat([torch.full((num_train,), -1), torch.arange(len(drawn))])
        case "replace" | "half":
            rows = torch.arange(num_train)
            slots = torch.full((num_train,), -1)
            slots[drawn] = torch.arange(len(drawn))
        case _:
            assert_never(treatment)
    order = torch.randperm(len(rows), generator=generator)
    rows, slots = _cut(rows[order], batch_size, padding=0), _cut(slots[order], batch_size, padding=-1)
    positions = _first(slots >= 0)
    slots_drawn = slots.gather(1, positions)
    is_recorded = (slots_drawn >= 0) & (slots_drawn < num_recorded)
    columns = [rows, slots, positions, _first(is_recorded)]
    if augmentation:
        moves = (augmentation.top, augmentation.left, augmentation.flip)
        columns += [_cut(move.to(torch.int64), batch_size, padding=0) for move in moves]
    samples = [min(batch_size, len(order) - start) for start in range(0, len(order), batch_size)]
    counts = zip(samples, (slots >= 0).sum(1).tolist(), is_recorded.sum(1).tolist(), strict=True)
    return Schedule(torch.stack(columns, 1), tuple(Size(*count) for count in counts))


def _cut(values: Tensor, batch_size: int, *, padding: int) -> Tensor:
    """Return values (N,) as (batches, B), the last row padded."""
    rows = num_batches(len(values), batch_size)
    return torch.nn.functional.pad(values, (0, rows * batch_size - len(values)), value=padding).view(rows, batch_size)


def _first(chosen: Tensor) -> Tensor:
    """Return the positions of each row of (batches, B), those chosen first, both in their order."""
    return torch.sort((~chosen).to(torch.uint8), dim=1, stable=True).indices


@dataclass(frozen=True)
class Augmentation:
    """A random crop (from 4 pixels of zero padding) and horizontal flip for each sample, as tables (B,) on a device."""

    top: Tensor
    left: Tensor
    flip: Tensor

    PADDING = 4

    @classmethod
    def random(cls, count: int, generator: torch.Generator) -> Self:
        """Draw the crops and flips of `count` samples, on the CPU."""
        offsets = torch.randint(0, 2 * cls.PADDING + 1, (2, count), generator=generator)
        return cls(offsets[0], offsets[1], torch.rand(count, generator=generator) < 0.5)

    def __getitem__(self, positions: Tensor | slice) -> "Augmentation":
        return Augmentation(self.top[positions], self.left[positions], self.flip[positions])

    def __call__(self, images: Tensor) -> Tensor:
        """Return the cropped and flipped images, same shape: one gather."""
        padded = torch.nn.functional.pad(images, (self.PADDING,) * 4)
        return padded.flatten(2).gather(2, self._sources(images)).view_as(images)

    def undo(self, augmented: Tensor) -> Tensor:
        """Return the pixels of augmented images at their original places; 0 where they were cropped away."""
        batch, channels, height, width = augmented.shape
        pad = self.PADDING
        padded = augmented.new_zeros(batch, channels, (height + 2 * pad) * (width + 2 * pad))
        padded.scatter_(2, self._sources(augmented), augmented.flatten(2))
        return padded.view(batch, channels, height + 2 * pad, width + 2 * pad)[..., pad:-pad, pad:-pad]

    def _sources(self, images: Tensor) -> Tensor:
        """Return the source of each augmented pixel, an index into the flattened padded image: int64 (B, C, H·W)."""
        _, channels, height, width = images.shape
        x = torch.arange(width, device=self.left.device)
        columns = torch.where(self.flip[:, None], width - 1 - x, x) + self.left[:, None]
        rows = torch.arange(height, device=self.top.device) + self.top[:, None]
        index = rows[:, :, None] * (width + 2 * self.PADDING) + columns[:, None, :]
        return index.flatten(1)[:, None, :].expand(-1, channels, -1)


def clean_pixels(data: ImageSet, rows: Tensor) -> Tensor:
    """Return the images of some rows in [0, 1], float32."""
    return pixels(data.images[rows.to(data.images.device)])
