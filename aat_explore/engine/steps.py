"""Step 4 of Algorithm 1: the training steps of one epoch, on clean and perturbed samples."""

from dataclasses import dataclass
from functools import partial
from typing import assert_never

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aat_explore.algorithm.gradients import l2_norms, wide
from aat_explore.config import NETWORKS, RunConfig
from aat_explore.engine.batches import Augmentation, Batch, ImageSet, clean_pixels, epoch_batches
from aat_explore.engine.capture import Captured
from aat_explore.engine.perturb import perturb
from aat_explore.engine.recording import Recorded, Recorder
from aat_explore.engine.streams import global_stream, stream
from aat_explore.errors import AATError


@dataclass(frozen=True)
class Trained:
    """The results of an epoch's training, besides the network.

    `losses` are as in `EpochMetrics`; `recorded` holds the first perturbed images of K; `norms` (T,) float64 are the
    collected gradient norms, arbitrary for samples that were only seen perturbed, or None if not collected.
    """

    losses: dict[str, float | None]
    recorded: Recorded
    norms: Tensor | None


@dataclass(frozen=True)
class Samples:
    """A batch for the network: N images of `count` samples, N > count if some are seen both clean and perturbed.

    `is_drawn` (N,) marks the images of samples in K; `clean_of` (N,) is the row whose clean image it is, T for x′;
    `shares` (N,) are the images' weights in the mean, 1 if None.
    """

    images: Tensor
    labels: Tensor
    is_drawn: Tensor
    clean_of: Tensor
    count: int
    shares: Tensor | None = None


class TrainingPass:
    """One epoch's optimiser steps. Batches are assembled on the device, from tables sent there once an epoch."""

    def __init__(
        self, config: RunConfig, network: nn.Module, optimizer: torch.optim.Optimizer, training: ImageSet
    ) -> None:
        self.config, self.network, self.optimizer, self.training = config, network, optimizer, training
        self.device = training.images.device
        precision = torch.float32 if self.device.type == "mps" else torch.float64
        # Steps add to tensors that stay in place: a captured step needs the same addresses in every epoch.
        self._sums = torch.zeros(2, dtype=precision, device=self.device)  # losses of K, of the rest
        self._norms = torch.zeros(
            len(training) + 1, dtype=precision, device=self.device
        )  # of clean rows; the last is a bin for x′
        self._no_row = torch.tensor(len(training), device=self.device)
        self._x_adv = torch.zeros(0, *training.images.shape[1:], device=self.device)
        self._steps = {
            (mixed, collect): Captured(partial(self._step, mixed=mixed, collect=collect))
            for mixed in (False, True)
            for collect in (False, True)
        }

    def run(
        self,
        epoch: int,
        drawn: Tensor,
        x_adv: Tensor | None,
        generator: torch.Generator,
        *,
        collect: bool = False,
    ) -> Trained:
        """Train on the epoch's samples, with x′ of the samples `drawn`, int64 (|K|,) on the CPU.

        `x_adv` float32 (|K|, C, H, W) on the device; without it the samples of K are perturbed in their batch, by the
        current network, with random starts from `generator`. Raises AATError if the loss is not finite.
        """
        config, num_train = self.config, len(self.training)
        recorder = Recorder(min(config.num_recorded, len(drawn)), self.training.images.shape[1:], self.device)
        if x_adv is not None:
            self._store(x_adv)
            self._record_first(drawn, x_adv, recorder)
        self._sums.zero_()
        num_samples = num_train + (len(drawn) if config.drawn_samples == "add" else 0)
        augmentations = stream(config.seed, "augmentation", epoch)
        moves = Augmentation.random(num_samples, augmentations, self.device) if config.augment else None
        batches = epoch_batches(
            num_train,
            drawn,
            config.batch_size,
            treatment=config.drawn_samples,
            generator=stream(config.seed, "shuffle", epoch),
            device=self.device,
        )
        self.network.train()
        with global_stream(config.seed, "dropout", epoch, self.device):
            for number, batch in enumerate(batches):
                start = number * config.batch_size
                augmentation = moves[start : start + len(batch.rows)] if moves else None
                if x_adv is not None and config.drawn_samples != "half":
                    tables = (augmentation.top, augmentation.left, augmentation.flip) if augmentation else ()
                    step = self._steps[len(drawn) > 0, collect]
                    # A captured step would freeze what a custom network decides in Python, so that is not captured.
                    can_capture = len(batch.rows) == config.batch_size and config.model in NETWORKS
                    (step if can_capture else step.function)(batch.rows, batch.slots, *tables)
                else:
                    self._uneven_step(batch, augmentation, x_adv, generator, recorder, collect=collect)
        losses = self._losses(num_samples, len(drawn), epoch)
        return Trained(losses, recorder.recorded(), wide(self._norms[:-1]).clone() if collect else None)

    def _store(self, x_adv: Tensor) -> None:
        if self.device.type != "cuda":  # nothing is captured there, so the address may change
            self._x_adv = x_adv
            return
        if len(self._x_adv) < len(x_adv):
            self._x_adv = torch.zeros_like(x_adv)
            for step in self._steps.values():
                step.forget()
        self._x_adv[: len(x_adv)] = x_adv

    def _step(self, rows: Tensor, slots: Tensor, *augmentation: Tensor, mixed: bool, collect: bool) -> None:
        """Take one step, with x′ in place of x where K is not empty (`mixed`). All shapes are fixed."""
        images, is_drawn = clean_pixels(self.training, rows), slots >= 0
        if mixed:
            images = torch.where(is_drawn[:, None, None, None], self._x_adv[slots.clamp(min=0)], images)
        if augmentation:
            images = Augmentation(*augmentation)(images)
        clean_of = torch.where(is_drawn, self._no_row, rows)
        self._update(Samples(images, self.training.labels[rows], is_drawn, clean_of, len(rows)), collect=collect)

    def _uneven_step(
        self,
        batch: Batch,
        augmentation: Augmentation | None,
        x_adv: Tensor | None,
        generator: torch.Generator,
        recorder: Recorder,
        *,
        collect: bool,
    ) -> None:
        """Take one step whose shapes depend on the number of perturbed samples: on the fly, and "half"."""
        rows, positions, is_drawn = batch.rows, batch.positions.to(self.device), batch.slots >= 0
        images, labels = clean_pixels(self.training, rows), self.training.labels[rows]
        if augmentation:
            images = augmentation(images)
        perturbed = images[positions]
        if x_adv is not None:
            perturbed = x_adv[batch.slots[positions]]
            perturbed = augmentation[positions](perturbed) if augmentation else perturbed
        elif len(positions):
            clean, attack = perturbed, self.config.resolved_attack
            perturbed = perturb(self.network, clean, labels[positions], attack, generator)
            self._record(batch, perturbed, clean, augmentation, recorder)
        match self.config.drawn_samples:
            case "half":  # (clean + adv)/2 for each drawn sample, as one batch of B + k
                samples = Samples(
                    torch.cat([images, perturbed]),
                    torch.cat([labels, labels[positions]]),
                    torch.cat([is_drawn, is_drawn[positions]]),
                    torch.cat([rows, self._no_row.expand(len(positions))]),
                    len(rows),
                    torch.cat([torch.where(is_drawn, 0.5, 1.0), torch.full(positions.shape, 0.5, device=self.device)]),
                )
            case "replace" | "add":
                images = images.index_copy(0, positions, perturbed)
                samples = Samples(images, labels, is_drawn, torch.where(is_drawn, self._no_row, rows), len(rows))
            case _:
                assert_never(self.config.drawn_samples)
        self._update(samples, collect=collect)

    def _update(self, samples: Samples, *, collect: bool) -> None:
        """Take one optimiser step on the mean loss, add up the losses, and `collect` the norms of clean images."""
        images = samples.images.requires_grad_(collect)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            logits = self.network(images)
        losses = F.cross_entropy(logits.float(), samples.labels, reduction="none")
        if samples.shares is not None:
            losses = losses * samples.shares
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.sum() / samples.count)
        self.optimizer.step()
        if images.grad is not None:  # of the mean loss: undo its 1/B and the image's share
            norms = l2_norms(images.grad) * samples.count
            norms = norms if samples.shares is None else norms / samples.shares.to(norms.device)
            self._norms.index_copy_(0, samples.clean_of, norms.to(self._norms))
        losses = losses.detach().to(self._sums.dtype)
        drawn_loss = torch.where(samples.is_drawn, losses, 0.0).sum()
        self._sums += torch.stack([drawn_loss, losses.sum() - drawn_loss])

    def _record_first(self, drawn: Tensor, x_adv: Tensor, recorder: Recorder) -> None:
        """Record x′ (|K|, C, H, W) of the first samples of K, made once an epoch by the epoch-start network."""
        rows, first = drawn[: len(recorder)].to(self.device), x_adv[: len(recorder)]
        slots = torch.arange(len(recorder), device=self.device)
        inputs = (clean_pixels(self.training, rows), first)
        recorder.keep(self.network, slots, first, inputs, self.training.labels[rows])

    def _record(
        self, batch: Batch, perturbed: Tensor, images: Tensor, augmentation: Augmentation | None, recorder: Recorder
    ) -> None:
        """Record x′ of the first samples of K; the δ of an augmented image is moved back onto the original."""
        positions = batch.positions.to(self.device)
        slots = batch.slots[positions]
        first = (slots < len(recorder)).nonzero().flatten()
        if len(first) == 0:
            return
        positions, slots, x_adv, clean = positions[first], slots[first], perturbed[first], images[first]
        rows, inputs = batch.rows[positions], (clean, x_adv)
        if augmentation:
            x_adv = clean_pixels(self.training, rows) + augmentation[positions].undo(x_adv - clean)
        recorder.keep(self.network, slots, x_adv, inputs, self.training.labels[rows])

    def _losses(self, num_samples: int, num_drawn: int, epoch: int) -> dict[str, float | None]:
        drawn_loss, rest_loss = self._sums.tolist()
        num_rest = num_samples - num_drawn
        loss = (drawn_loss + rest_loss) / num_samples
        if not np.isfinite(loss):
            raise AATError(
                f"loss={loss} in epoch {epoch} of run={self.config.run_id}: training diverged; "
                f"lower lr={self.config.lr:g}"
            )
        return {
            "loss": loss,
            "loss_drawn": drawn_loss / num_drawn if num_drawn else None,
            "loss_rest": rest_loss / num_rest if num_rest else None,
        }
