"""Algorithm 1 of the paper, epoch by epoch: score, draw, perturb, train; then validate and record."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aat_explore.algorithm.attacks import move
from aat_explore.algorithm.gradients import check_finite, input_gradients, l2_norms
from aat_explore.algorithm.sampling import draw, probabilities
from aat_explore.config import AttackConfig, RunConfig
from aat_explore.engine.batches import Augmentation, Batch, ImageSet, clean_pixels, epoch_batches
from aat_explore.engine.device import Stopwatch, describe
from aat_explore.engine.evaluation import clean_correct, fgsm_correct, robust_correct
from aat_explore.engine.networks import build_network, load_state, load_weights, state_of, weights_of
from aat_explore.engine.perturb import perturb
from aat_explore.engine.streams import global_stream, stream
from aat_explore.errors import AATError
from aat_explore.records import Arrays, EpochMetrics, EpochRecord

SCORING_BATCH = 500
PERTURBING_BATCH = 500


@dataclass(frozen=True)
class Resume:
    """Where a cut-off run goes on: its last committed epoch, and the arrays of that epoch's checkpoint."""

    epoch: int
    weights: Arrays
    training_state: Arrays


@dataclass(frozen=True)
class Picks:
    """Steps 1 to 3 of an epoch: the distribution (T,) if one was drawn from, K (|K|,) on the CPU, and the shortfall.

    `signs` int8 (T, C, H, W) are those of the gradients that scoring computed, where FGSM can reuse them.
    """

    probabilities: Tensor | None
    drawn: Tensor
    shortfall: int = 0
    sum_gradient_norms: float | None = None
    signs: Tensor | None = None


def train(
    config: RunConfig, training: ImageSet, validation: ImageSet, *, num_classes: int, resume: Resume | None = None
) -> Iterator[EpochRecord]:
    """Yield one `EpochRecord` after each epoch of Algorithm 1, on the device where `training` lives.

    Raises AATError if n exceeds T, if the loss or a gradient stops being finite, or if every gradient is zero.
    """
    trainer = Trainer(config, training, validation, num_classes, resume)
    for epoch in range(1 + (resume.epoch if resume else 0), config.epochs + 1):
        yield trainer.run_epoch(epoch)


def check_num_perturbed(config: RunConfig, num_train: int) -> None:
    """Raise AATError if a run asks for more samples than there are."""
    n = config.num_perturbed
    if n != "all" and n > num_train:
        raise AATError(f'num_perturbed={n} exceeds num_train={num_train}; use "all" for full adversarial training')


class Trainer:
    """The network, its optimiser and the gradient norms last scored: all that lives from one epoch to the next."""

    def __init__(
        self, config: RunConfig, training: ImageSet, validation: ImageSet, num_classes: int, resume: Resume | None
    ) -> None:
        check_num_perturbed(config, len(training))
        self.config, self.training, self.validation = config, training, validation
        self.device = training.images.device
        self.attack = config.resolved_attack
        channels, height, width = training.images.shape[1:]
        mean, sd = training.channel_statistics() if config.normalize else (None, None)
        network = build_network(config, (channels, height, width), num_classes, mean=mean, sd=sd)
        self.network = network.to(self.device)
        self.optimizer = self._make_optimizer()
        self.norms: Tensor | None = None
        if resume:
            load_weights(self.network, resume.weights)
            load_state(self.optimizer, resume.training_state)
            if "gradient_norms" in resume.training_state:
                norms = torch.from_numpy(np.array(resume.training_state["gradient_norms"]))
                self.norms = norms if self.device.type == "mps" else norms.to(self.device)  # where `score` leaves them

    def _make_optimizer(self) -> torch.optim.Optimizer:
        config, parameters = self.config, self.network.parameters()
        fused = self.device.type in ("cpu", "cuda")
        if config.optimizer == "adam":
            return torch.optim.Adam(parameters, lr=config.lr, weight_decay=config.weight_decay, fused=fused)
        return torch.optim.SGD(
            parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=fused
        )

    def learning_rate(self, epoch: int) -> float:
        """The learning rate of an epoch: divided by 10 after each milestone's share of the epochs."""
        passed = len([share for share in self.config.lr_milestones if epoch - 1 >= share * self.config.epochs])
        return self.config.lr * 0.1**passed

    def run_epoch(self, epoch: int) -> EpochRecord:
        """Run one epoch, counted from 1, and return its record."""
        watch, lr = Stopwatch(self.device), self.learning_rate(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        picks = self.pick(epoch, watch)
        attack_stream = stream(self.config.seed, "attack", epoch)
        x_adv = None if self.config.perturbing_network == "on-the-fly" else self.perturb_drawn(picks, attack_stream)
        watch.lap("perturb")
        losses, sheet = self.train_epoch(epoch, picks.drawn, x_adv, attack_stream)
        watch.lap("train")
        validated = self.validate(epoch)
        watch.lap("validate")
        weights, training_state = weights_of(self.network), state_of(self.optimizer)
        if self.norms is not None and self.config.score_every > 1:
            training_state["gradient_norms"] = self.norms.cpu().numpy()
        p = None if picks.probabilities is None else picks.probabilities.float().cpu().numpy()
        drawn = picks.drawn.numpy().astype(np.int32)
        watch.lap("record")
        metrics = EpochMetrics(
            epoch=epoch,
            lr=lr,
            **losses,
            **validated,
            num_drawn=len(drawn),
            shortfall=picks.shortfall,
            sum_gradient_norms=picks.sum_gradient_norms,
            **{
                name: watch.seconds.get(name.removeprefix("seconds_"), 0.0)
                for name in EpochMetrics.model_fields
                if name.startswith("seconds_")
            },
            device=describe(self.device),
            num_threads=torch.get_num_threads(),
        )
        return EpochRecord(metrics, p, drawn, sheet, weights, training_state)

    def pick(self, epoch: int, watch: Stopwatch) -> Picks:
        """Steps 1 to 3: score the samples, and draw K; all samples for n = all, none for n = 0 and in warm-up."""
        config, num_train = self.config, len(self.training)
        if config.num_perturbed == 0 or epoch <= config.warmup_epochs:
            return Picks(None, torch.arange(0))
        if config.num_perturbed == "all":
            return Picks(None, torch.arange(num_train))
        signs = None
        if self.norms is None or (epoch - config.warmup_epochs - 1) % config.score_every == 0:
            self.norms, signs = self.score()
        watch.lap("scoring")
        p = probabilities(self.norms, norm_power=config.norm_power)
        generator = stream(config.seed, "draw", epoch)
        drawn = draw(p, config.num_perturbed, generator=generator, replacement=config.replacement).cpu()
        shortfall = config.num_perturbed - len(drawn)
        if config.replacement:  # a sample drawn twice is perturbed once
            first_seen = np.sort(np.unique(drawn.numpy(), return_index=True)[1])
            drawn = drawn[torch.from_numpy(first_seen)]
        watch.lap("draw")
        return Picks(p, drawn, shortfall, float(self.norms.sum()), signs)

    def score(self) -> tuple[Tensor, Tensor | None]:
        """Return the gradient norms (T,) float64 and, if FGSM can reuse them, the gradients' signs as int8.

        The signs take a quarter of the gradients' memory (43 MB for MNIST, 123 MB for CIFAR10) and make perturbing
        free; recomputing them for K alone would cost another 2n/T passes.
        """
        attack, images = self.attack, self.training.images
        reusable = attack.kind == "fgsm" and not attack.random_start and attack.label == "true"
        keep = reusable and self.config.perturbing_network == "epoch-start"
        signs = torch.empty(images.shape, dtype=torch.int8, device=self.device) if keep else None
        norms = []
        for rows, gradient in input_gradients(self.network, images, self.training.labels, batch_size=SCORING_BATCH):
            norms.append(l2_norms(gradient))
            if signs is not None:
                signs[rows] = gradient.sign()
        scored = torch.cat(norms)
        check_finite(scored)
        return scored, signs

    def perturb_drawn(self, picks: Picks, generator: torch.Generator) -> Tensor:
        """Step 3: x′ of the samples in K under the epoch-start network, float32 (|K|, C, H, W)."""
        x_adv = torch.empty((len(picks.drawn), *self.training.images.shape[1:]), device=self.device)
        for start in range(0, len(picks.drawn), PERTURBING_BATCH):
            rows = picks.drawn[start : start + PERTURBING_BATCH].to(self.device)
            images = clean_pixels(self.training, rows)
            if picks.signs is not None:
                moved = move(images, picks.signs[rows], self.attack.epsilon)
            else:
                moved = perturb(self.network, images, self.training.labels[rows], self.attack, generator)
            x_adv[start : start + len(rows)] = moved
        return x_adv

    def train_epoch(
        self, epoch: int, drawn: Tensor, x_adv: Tensor | None, generator: torch.Generator
    ) -> tuple[dict[str, float | None], np.ndarray[Any, Any]]:
        """Step 4: train on the epoch's samples; return the mean losses and the recorded sheet of x′.

        Without `x_adv` the samples of K are perturbed in their batch, by the network as it is then.
        """
        config = self.config
        num_recorded = min(config.num_recorded, len(drawn))
        sheet = torch.zeros((num_recorded, *self.training.images.shape[1:]), device=self.device)
        precision = torch.float32 if self.device.type == "mps" else torch.float64
        sums = torch.zeros(2, dtype=precision, device=self.device)  # losses of the drawn, of the rest
        num_drawn = num_rest = 0
        augmentations = stream(config.seed, "augmentation", epoch)
        batches = epoch_batches(
            len(self.training),
            drawn,
            config.batch_size,
            treatment=config.drawn_samples,
            generator=stream(config.seed, "shuffle", epoch),
        )
        self.network.train()
        with global_stream(config.seed, "dropout", epoch, self.device):
            for batch in batches:
                augmentation = Augmentation.random(len(batch.rows), augmentations) if config.augment else None
                sums += self.step(batch, x_adv, augmentation, generator, sheet)
                num_drawn += len(batch.drawn)
                num_rest += len(batch.rows) - len(batch.drawn)
        if x_adv is not None:
            sheet = x_adv[:num_recorded]
        drawn_loss, rest_loss = sums.tolist()
        loss = (drawn_loss + rest_loss) / (num_drawn + num_rest)
        if not np.isfinite(loss):
            raise AATError(
                f"loss={loss} in epoch {epoch} of run={config.run_id}: training diverged; lower lr={config.lr:g}"
            )
        losses = {
            "loss": loss,
            "loss_drawn": drawn_loss / num_drawn if num_drawn else None,
            "loss_rest": rest_loss / num_rest if num_rest else None,
        }
        return losses, (sheet * 255).round().byte().cpu().numpy()

    def step(
        self,
        batch: Batch,
        x_adv: Tensor | None,
        augmentation: Augmentation | None,
        generator: torch.Generator,
        sheet: Tensor,
    ) -> Tensor:
        """Take one optimiser step; return the summed losses of the drawn and of the other samples, (2,)."""
        rows = batch.rows.to(self.device)
        images, labels = clean_pixels(self.training, rows), self.training.labels[rows]
        if augmentation:
            images = augmentation(images)
        perturbed, where = None, batch.drawn.to(self.device)
        if len(where):
            if x_adv is None:
                perturbed = perturb(self.network, images[where], labels[where], self.attack, generator)
                self._record(batch, perturbed, images[where], augmentation, sheet)
            else:
                perturbed = x_adv[batch.slots.to(self.device)]
                perturbed = augmentation[batch.drawn](perturbed) if augmentation else perturbed
        if perturbed is None:
            losses = F.cross_entropy(self.network(images), labels, reduction="none")
        elif self.config.drawn_samples == "half":  # (clean + adv)/2 for each drawn sample, as one batch of B + k
            both, twice = torch.cat([images, perturbed]), torch.cat([labels, labels[where]])
            all_losses = F.cross_entropy(self.network(both), twice, reduction="none")
            losses, adversarial = all_losses[: len(labels)], all_losses[len(labels) :]
            losses = losses.index_put((where,), (losses[where] + adversarial) / 2)
        else:
            images = images.index_copy(0, where, perturbed)
            losses = F.cross_entropy(self.network(images), labels, reduction="none")
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.mean())
        self.optimizer.step()
        return _sums(losses, where)

    def _record(
        self, batch: Batch, perturbed: Tensor, images: Tensor, augmentation: Augmentation | None, sheet: Tensor
    ) -> None:
        """Put x′ of the first samples of K on the sheet; an augmented δ is moved back onto the sample's own image."""
        shown = (batch.slots < len(sheet)).nonzero().flatten()
        if len(shown) == 0:
            return
        places, rows = batch.slots[shown].to(self.device), batch.rows[batch.drawn[shown]]
        shown_here = shown.to(self.device)
        if augmentation:
            delta = perturbed[shown_here] - images[shown_here]
            sheet[places] = clean_pixels(self.training, rows) + augmentation[batch.drawn[shown]].undo(delta)
        else:
            sheet[places] = perturbed[shown_here]

    def validate(self, epoch: int) -> dict[str, float]:
        """Clean accuracy on validation; FGSM and quick PGD accuracy at the training ε on its first images."""
        config = self.config
        quick = self.validation.first(config.val_attack_images)
        pgd = AttackConfig(kind="pgd", steps=config.val_attack_steps).resolve(config.epsilon)
        correct = clean_correct(self.network, self.validation)
        survived = robust_correct(self.network, quick, pgd, generator=stream(config.seed, "validation", epoch))
        return {
            "clean_accuracy_val": _share(correct),
            "clean_accuracy_attacked": _share(correct[: len(quick)]),
            "fgsm_accuracy_val": _share(fgsm_correct(self.network, quick, config.epsilon)),
            "robust_accuracy_val": _share(survived),
        }


def _sums(losses: Tensor, drawn: Tensor) -> Tensor:
    losses = losses.detach()
    of_drawn = losses[drawn].sum()
    return torch.stack([of_drawn, losses.sum() - of_drawn])


def _share(correct: Tensor) -> float:
    return int(correct.sum()) / len(correct)
