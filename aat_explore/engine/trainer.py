"""Algorithm 1 of the paper, epoch by epoch: score, draw, perturb, train; then validate and record."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np
import torch
from torch import Tensor

from aat_explore.algorithm.attacks import move
from aat_explore.algorithm.sampling import draw, probabilities
from aat_explore.config import AttackConfig, RunConfig, check_num_perturbed
from aat_explore.engine.batches import ImageSet, clean_pixels
from aat_explore.engine.counting import clean_correct, fgsm_correct, robust_correct
from aat_explore.engine.custom import check_code, code_state
from aat_explore.engine.device import Stopwatch, chunk_size, describe
from aat_explore.engine.networks import load_state, load_weights, placed, starting_network, state_of, weights_of
from aat_explore.engine.perturb import perturb
from aat_explore.engine.scoring import Scorer
from aat_explore.engine.steps import Trained, TrainingPass
from aat_explore.engine.streams import DeviceStream, stream
from aat_explore.records import Arrays, EpochMetrics, EpochRecord


@dataclass(frozen=True)
class Resume:
    """Where an interrupted run resumes: its last committed epoch, and the arrays of that epoch's checkpoint."""

    epoch: int
    weights: Arrays
    training_state: Arrays


@dataclass(frozen=True)
class Picks:
    """Steps 1 to 3 of an epoch: the distribution (T,) if K is random, K = `drawn` (|K|,) on the CPU, and the shortfall.

    `signs` int8 (T, C, H, W) are those of the gradients that scoring computed, if FGSM can reuse them. `scores` are
    those of a pass over all samples, by name, float64 (T,); none if the epoch had none.
    """

    probabilities: Tensor | None
    drawn: Tensor
    shortfall: int = 0
    sum_scores: float | None = None
    signs: Tensor | None = None
    scores: dict[str, Tensor] = field(default_factory=dict)


def train(
    config: RunConfig, training: ImageSet, validation: ImageSet, *, num_classes: int, resume: Resume | None = None
) -> Iterator[EpochRecord]:
    """Yield one `EpochRecord` after each epoch of Algorithm 1, on the device where `training` lives.

    Raises AATError if n exceeds T, if the loss or a score stops being finite, or if every score is zero. Custom
    networks and scores are not checked here; `admission.admit` does that.
    """
    trainer = Trainer(config, training, validation, num_classes, resume)
    for epoch in range(1 + (resume.epoch if resume else 0), config.epochs + 1):
        yield trainer.run_epoch(epoch)


class Trainer:
    """The network, its optimiser and its scorer: everything that persists from one epoch to the next."""

    def __init__(
        self, config: RunConfig, training: ImageSet, validation: ImageSet, num_classes: int, resume: Resume | None
    ) -> None:
        check_num_perturbed(config, len(training))
        self.config, self.training, self.validation = config, training, validation
        self.device = training.images.device
        self.attack = config.resolved_attack
        network = starting_network(config, training, num_classes)
        self.network = placed(network, self.device, precision=config.precision)
        self.code = code_state(config)
        self.optimizer = self._make_optimizer()
        self.scorer = Scorer(config, self.network, training)
        self.attack_stream = DeviceStream(config.seed, "attack", self.device)
        self.training_pass = TrainingPass(config, self.network, self.optimizer, training, self.attack_stream.generator)
        if resume:
            check_code(config, resume.training_state)
            load_weights(self.network, resume.weights, whose=f"run={config.run_id}, epoch={resume.epoch}")
            load_state(self.optimizer, resume.training_state)
            self.scorer.load(resume.training_state)

    def _make_optimizer(self) -> torch.optim.Optimizer:
        config, parameters, on_cuda = self.config, self.network.parameters(), self.device.type == "cuda"
        fused = on_cuda or self.device.type == "cpu"
        # A captured step reads the learning rate, and Adam its step count, from the device.
        lr = torch.tensor(config.lr, device=self.device) if on_cuda else config.lr
        match config.optimizer:
            case "adam":
                return torch.optim.Adam(
                    parameters, lr=lr, weight_decay=config.weight_decay, fused=fused, capturable=on_cuda
                )
            case "sgd":
                return torch.optim.SGD(
                    parameters, lr=lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=fused
                )
            case _:
                assert_never(config.optimizer)

    def _set_learning_rate(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch: divided by 10 after each milestone's share of the epochs."""
        num_passed = len([share for share in self.config.lr_milestones if epoch - 1 >= share * self.config.epochs])
        return self.config.lr * 0.1**num_passed

    def algorithm_1(self, epoch: int, watch: Stopwatch) -> tuple[Picks, Trained]:
        """Run the steps of Algorithm 1 for one epoch, counted from 1, without validation and records."""
        self._set_learning_rate(self.learning_rate(epoch))
        picks = self.pick(epoch, watch)
        attack_stream = self.attack_stream.begin(epoch)
        match self.config.perturbing_network:
            case "on-the-fly":
                x_adv = None
            case "epoch-start":
                x_adv = self.perturb_drawn(picks, attack_stream)
            case _:
                assert_never(self.config.perturbing_network)
        watch.lap("perturb")
        collect = self.scorer.collects(epoch)
        trained = self.training_pass.run(epoch, picks.drawn, x_adv, collect=collect)
        watch.lap("train")
        if trained.norms is not None:
            self.scorer.carry(trained.norms, picks.drawn, epoch)
        watch.lap("scoring")
        return picks, trained

    def run_epoch(self, epoch: int) -> EpochRecord:
        """Run one epoch, counted from 1, and return its record."""
        watch = Stopwatch(self.device)
        picks, trained = self.algorithm_1(epoch, watch)
        accuracies = self.validate(epoch)
        watch.lap("validate")
        weights = weights_of(self.network)
        training_state = {**state_of(self.optimizer), **self.scorer.state(), **self.code}
        p = None if picks.probabilities is None else picks.probabilities.float().cpu().numpy()
        drawn = picks.drawn.numpy().astype(np.int32)
        scores = {name: values.float().cpu().numpy() for name, values in picks.scores.items()}
        watch.lap("record")
        metrics = EpochMetrics(
            epoch=epoch,
            lr=self.learning_rate(epoch),
            **trained.losses,
            **accuracies,
            num_drawn=len(drawn),
            shortfall=picks.shortfall,
            sum_scores=picks.sum_scores,
            **{
                name: watch.seconds.get(name.removeprefix("seconds_"), 0.0)
                for name in EpochMetrics.model_fields
                if name.startswith("seconds_")
            },
            device=describe(self.device),
            num_threads=torch.get_num_threads(),
        )
        recorded = trained.recorded
        return EpochRecord(
            metrics=metrics,
            probabilities=p,
            drawn=drawn,
            x_adv=recorded.x_adv,
            recorded_losses=recorded.losses,
            recorded_classes=recorded.classes,
            weights=weights,
            training_state=training_state,
            scores={name: values for name, values in scores.items() if np.isfinite(values).all()},
        )

    def pick(self, epoch: int, watch: Stopwatch) -> Picks:
        """Steps 1 to 3: score the samples and draw K; all samples for n = all, none for n = 0 and in warm-up."""
        config, num_train = self.config, len(self.training)
        if config.num_perturbed == 0 or epoch <= config.warmup_epochs:
            return Picks(None, torch.arange(0))
        if config.num_perturbed == "all":
            return Picks(None, torch.arange(num_train))
        scored = self.scorer.scores(epoch)
        watch.lap("scoring")
        p = probabilities(scored.scores, norm_power=config.norm_power)
        generator = stream(config.seed, "draw", epoch)
        drawn = draw(p, config.num_perturbed, generator=generator, replacement=config.replacement).cpu()
        shortfall = config.num_perturbed - len(drawn)
        if config.replacement:  # a sample drawn twice is perturbed once
            first_positions = np.sort(np.unique(drawn.numpy(), return_index=True)[1])
            drawn = drawn[torch.from_numpy(first_positions)]
        watch.lap("draw")
        return Picks(p, drawn, shortfall, float(scored.scores.sum()), scored.signs, scored.by_name)

    def perturb_drawn(self, picks: Picks, generator: torch.Generator) -> Tensor:
        """Step 3: x′ of the samples in K under the epoch-start network, float32 (|K|, C, H, W)."""
        x_adv = torch.empty((len(picks.drawn), *self.training.images.shape[1:]), device=self.device)
        size = chunk_size(self.device)
        for start in range(0, len(picks.drawn), size):
            rows = picks.drawn[start : start + size].to(self.device)
            images = clean_pixels(self.training, rows)
            if picks.signs is not None:
                perturbed = move(images, picks.signs[rows], self.attack.epsilon)
            else:
                labels, precision = self.training.labels[rows], self.config.attack_precision
                perturbed = perturb(self.network, images, labels, self.attack, generator, precision=precision)
            x_adv[start : start + len(rows)] = perturbed
        return x_adv

    def validate(self, epoch: int) -> dict[str, float]:
        """Return validation accuracies: clean, and FGSM and quick PGD at the training ε on the first images."""
        config = self.config
        quick = self.validation.first(config.val_attack_images)
        pgd = AttackConfig(kind="pgd", steps=config.val_attack_steps).resolve(config.epsilon)
        correct = clean_correct(self.network, self.validation)
        robust = robust_correct(self.network, quick, pgd, generator=stream(config.seed, "validation", epoch))
        return {
            "clean_accuracy_val": _share(correct),
            "clean_accuracy_attacked": _share(correct[: len(quick)]),
            "fgsm_accuracy_val": _share(fgsm_correct(self.network, quick, config.epsilon)),
            "robust_accuracy_val": _share(robust),
        }


def _share(correct: Tensor) -> float:
    return int(correct.sum()) / len(correct)
