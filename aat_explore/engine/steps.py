"""Step 4 of Algorithm 1: the training steps of one epoch, on clean and perturbed samples."""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aat_explore.algorithm.gradients import l2_norms, wide
from aat_explore.config import NETWORKS, RunConfig
from aat_explore.engine.batches import Augmentation, Batch, ImageSet, Size, clean_pixels, num_batches, schedule
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
    """One epoch's optimiser steps, each of three parts that are captured on CUDA: perturb, record, update.

    All three read and write tensors that stay in place from epoch to epoch. They find their batch in the epoch's table
    on the device, so that the host passes only sizes and waits for nothing.
    """

    def __init__(
        self,
        config: RunConfig,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        training: ImageSet,
        generator: torch.Generator,
    ) -> None:
        """Prepare the passes of a run; x′ made in the batches has its random starts from `generator`."""
        self.config, self.network, self.optimizer, self.training = config, network, optimizer, training
        self.generator, self.device = generator, training.images.device
        precision = torch.float32 if self.device.type == "mps" else torch.float64
        num_train, shape, device = len(training), training.images.shape[1:], self.device
        self._sums = torch.zeros(2, dtype=precision, device=device)  # losses of K, of the rest
        self._norms = torch.zeros(num_train + 1, dtype=precision, device=device)  # of clean rows; last, a bin for x′
        self._no_row = torch.tensor(num_train, device=device)
        most_drawn = num_train if config.num_perturbed == "all" else config.num_perturbed
        self._table = torch.zeros(
            num_batches(num_train + most_drawn, config.batch_size),
            7 if config.augment else 4,
            config.batch_size,
            dtype=torch.int64,
            device=device,
        )
        self._number = torch.zeros((), dtype=torch.int64, device=device)  # of the next batch
        self._images = torch.zeros(config.batch_size, *shape, device=device)  # of the batch, clean
        self._perturbed = torch.zeros(config.batch_size, *shape, device=device)  # of its picks
        self._x_adv = torch.zeros(0, *shape, device=device)  # of K, made at the epoch's start
        self._recorder = Recorder(config.num_recorded, shape, device)
        # A captured step would freeze what a custom network or attack decides in Python, so that is not captured.
        steps = device if config.model in NETWORKS else None
        attacks = None if config.resolved_attack.spec.custom else steps
        self._perturb = Captured(self._perturb_batch, attacks, [generator])
        self._record = Captured(self._record_batch, steps)
        self._update = Captured(self._update_on_batch, steps)

    def run(self, epoch: int, drawn: Tensor, x_adv: Tensor | None, *, collect: bool = False) -> Trained:
        """Train on the epoch's samples, with x′ of the samples `drawn`, int64 (|K|,) on the CPU.

        `x_adv` float32 (|K|, C, H, W) on the device; without it the samples of K are perturbed in their batch, by the
        current network. Raises AATError if the loss is not finite.
        """
        config, num_train = self.config, len(self.training)
        self._recorder.begin(len(drawn))
        self._sums.zero_()
        if x_adv is not None:
            self._store(x_adv)
            self._record_first(drawn, x_adv)
        num_samples = num_train + (len(drawn) if config.drawn_samples == "add" else 0)
        batches = schedule(
            num_train,
            drawn,
            config.batch_size,
            treatment=config.drawn_samples,
            generator=stream(config.seed, "shuffle", epoch),
            num_recorded=len(self._recorder) if x_adv is None else 0,
            augmentation=self._augmentation(num_samples, epoch),
        )
        self._table[: len(batches.table)].copy_(batches.table)
        self._number.zero_()
        self.network.train()
        with global_stream(config.seed, "dropout", epoch, self.device):
            for size in batches.sizes:
                self._perturb(size.samples, size.drawn)
                if size.recorded:
                    self._record(size.recorded)
                self._update(size.samples, size.drawn, collect)
        losses = self._losses(num_samples, len(drawn), epoch)
        return Trained(losses, self._recorder.recorded(), wide(self._norms[:-1]).clone() if collect else None)

    def _augmentation(self, num_samples: int, epoch: int) -> Augmentation | None:
        if not self.config.augment:
            return None
        return Augmentation.random(num_samples, stream(self.config.seed, "augmentation", epoch))

    def _store(self, x_adv: Tensor) -> None:
        if self.device.type != "cuda":  # nothing is captured there, so the address may change
            self._x_adv = x_adv
            return
        if len(self._x_adv) < len(x_adv):
            self._x_adv = torch.zeros_like(x_adv)
            self._perturb.forget()
        self._x_adv[: len(x_adv)] = x_adv

    def _batch(self, samples: int, drawn: int, recorded: int = 0) -> Batch:
        columns = self._table.index_select(0, self._number.view(1))[0]
        return Batch.of(columns, Size(samples, drawn, recorded))

    def _perturb_batch(self, samples: int, drawn: int) -> None:
        """Assemble the batch's clean images, augmented, and x′ of its picks."""
        batch = self._batch(samples, drawn)
        images = clean_pixels(self.training, batch.rows)
        if batch.augmentation:
            images = batch.augmentation(images)
        self._images[:samples] = images
        if not drawn:
            return
        match self.config.perturbing_network:
            case "epoch-start":
                perturbed = self._x_adv[batch.slots[batch.positions]]
                if batch.augmentation:
                    perturbed = batch.augmentation[batch.positions](perturbed)
            case "on-the-fly":
                labels = self.training.labels[batch.rows[batch.positions]]
                clean, attack = images[batch.positions], self.config.resolved_attack
                precision = self.config.attack_precision
                perturbed = perturb(self.network, clean, labels, attack, self.generator, precision=precision)
            case _:
                assert_never(self.config.perturbing_network)
        self._perturbed[:drawn] = perturbed

    def _update_on_batch(self, samples: int, drawn: int, collect: bool) -> None:
        """Take one optimiser step on the batch's images and x′, and go on to the next batch."""
        batch, images, perturbed = self._batch(samples, drawn), self._images[:samples], self._perturbed[:drawn]
        rows, positions, is_drawn = batch.rows, batch.positions, batch.slots >= 0
        labels = self.training.labels[rows]
        match self.config.drawn_samples:
            case "half":  # (clean + adv)/2 for each drawn sample, as one batch of B + k
                shares = torch.cat(
                    [torch.where(is_drawn, 0.5, 1.0), torch.full_like(positions, 0.5, dtype=torch.float32)]
                )
                self._step(
                    Samples(
                        torch.cat([images, perturbed]),
                        torch.cat([labels, labels[positions]]),
                        torch.cat([is_drawn, is_drawn[positions]]),
                        torch.cat([rows, self._no_row.expand(drawn)]),
                        samples,
                        shares,
                    ),
                    collect=collect,
                )
            case "replace" | "add":
                images = images.index_copy(0, positions, perturbed)
                clean_of = torch.where(is_drawn, self._no_row, rows)
                self._step(Samples(images, labels, is_drawn, clean_of, samples), collect=collect)
            case _:
                assert_never(self.config.drawn_samples)
        self._number += 1

    def _step(self, samples: Samples, *, collect: bool) -> None:
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

    def _record_first(self, drawn: Tensor, x_adv: Tensor) -> None:
        """Record x′ (|K|, C, H, W) of the first samples of K, made once an epoch by the epoch-start network."""
        count = len(self._recorder)
        rows, first = drawn[:count].to(self.device), x_adv[:count]
        slots = torch.arange(count, device=self.device)
        inputs = (clean_pixels(self.training, rows), first)
        self._recorder.keep(self.network, slots, first, inputs, self.training.labels[rows])

    def _record_batch(self, recorded: int) -> None:
        """Record x′ of the first samples of K; the δ of an augmented image is moved back onto the original."""
        batch = self._batch(self.config.batch_size, self.config.batch_size, recorded)
        positions = batch.positions[batch.recorded]
        rows, clean, x_adv = batch.rows[positions], self._images[positions], self._perturbed[batch.recorded]
        inputs = (clean, x_adv)
        if batch.augmentation:
            x_adv = clean_pixels(self.training, rows) + batch.augmentation[positions].undo(x_adv - clean)
        self._recorder.keep(self.network, batch.slots[positions], x_adv, inputs, self.training.labels[rows])

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
