"""What a user would write or install instead: the baselines of `aat bench`.

Each trains the network of a `RunConfig` with its optimiser and batch size on the same samples, as published code does:
PIL images through a `DataLoader`, bookkeeping one sample at a time, `loss.item()` in each batch. Like scripts they use
torch's and numpy's global random generators, so their runs repeat only if the caller seeds these.
"""

import io
import math
import os
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import partial
from typing import Any, Protocol, assert_never

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms

from aat_explore.algorithm.models import StdCNN
from aat_explore.bench.baseline_attacks import (
    Attack,
    foolbox_attack,
    is_fgsm,
    textbook_attack,
    torchattacks_attack,
)
from aat_explore.config import RunConfig, check_num_perturbed
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.device import Stopwatch
from aat_explore.engine.networks import starting_network
from aat_explore.errors import AATError
from aat_explore.optional import imported

PLAIN = {
    "scoring": "epoch-start",
    "score_every": 1,
    "replacement": False,
    "perturbing_network": "epoch-start",
    "drawn_samples": "replace",
    "warmup_epochs": 0,
    "precision": "float32",
    "attack_precision": "float32",
}


class Baseline(Protocol):
    """A network, and a way to train it for one more epoch."""

    name: str
    network: nn.Module

    def run_epoch(self) -> dict[str, float]:
        """Train for one epoch and return its seconds by phase: those of scoring, draw, perturb, train that exist."""
        ...


def check_plain(config: RunConfig, num_train: int) -> None:
    """Raise AATError for settings that no baseline has, because the compared work would differ."""
    check_num_perturbed(config, num_train)
    config = config.canonical()
    for field, plain in PLAIN.items():
        if getattr(config, field) != plain:
            raise AATError(f"{field}={getattr(config, field)} is not supported by the baselines; use {field}={plain}")
    if config.attack.label != "true":
        raise AATError(f"attack.label={config.attack.label} is not supported by the baselines; use attack.label=true")


def textbook_network(config: RunConfig, training: ImageSet, num_classes: int) -> nn.Module:
    """Return the network that our trainer starts from, weight for weight, in textbook layers."""
    network = starting_network(config, training, num_classes)
    if isinstance(network, StdCNN):
        network = textbook_stdcnn(network, config.dropout)
    return network.to(training.images.device)


def textbook_stdcnn(network: StdCNN, dropout: float) -> nn.Sequential:
    """Return the paper's layers in the paper's order, of torch's classes, with the weights of `network`."""
    weights = network.state_dict()
    channels, features = (weights[name].shape[1] for name in ("1.weight", "12.weight"))
    layers = nn.Sequential(
        network[0],
        nn.Conv2d(channels, 10, 3),
        nn.ReLU(),
        nn.Conv2d(10, 10, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(10, 20, 3),
        nn.ReLU(),
        nn.Conv2d(20, 20, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(features, 50),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(50, len(weights["15.bias"])),
    )
    layers.load_state_dict(weights)
    return layers


def usual_optimizer(config: RunConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Return the run's optimiser in torch's default implementation."""
    match config.optimizer:
        case "adam":
            return torch.optim.Adam(network.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        case "sgd":
            return torch.optim.SGD(
                network.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
            )
        case _:
            assert_never(config.optimizer)


def usual_schedule(config: RunConfig, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the schedule that divides the learning rate by 10 at the run's milestones; step it once an epoch."""
    milestones = [math.ceil(share * config.epochs) for share in config.lr_milestones]
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)


# --- the data, as in torchvision -----------------------------------------------------------------------------


class PILImages(Dataset[tuple[Tensor, int, int]]):
    """The training set as in torchvision.datasets: item i is (transformed PIL image, label, i)."""

    def __init__(self, training: ImageSet, transform: Callable[[Image.Image], Tensor]) -> None:
        images = np.ascontiguousarray(training.images.cpu().permute(0, 2, 3, 1).numpy())
        self.images = images[..., 0] if images.shape[-1] == 1 else images
        self.labels: list[int] = training.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index], index


def usual_loader(
    data: PILImages,
    config: RunConfig,
    device: torch.device,
    *,
    shuffle: bool = False,
    collate_fn: Callable[[list[tuple[Tensor, int, int]]], Any] | None = None,
) -> DataLoader[tuple[Tensor, int, int]]:
    """Return a loader with the number of workers that is fastest.

    On a CPU 0, because workers take cores from the arithmetic. StdCNN, 5,000 samples, 2 cores, best of 3 epochs, with
    0, 1 and 2 workers: 1.8, 2.4, 2.4 s with 2 threads, 2.5, 2.4, 2.5 s with 1. On CUDA 4, as is common (not measured).
    """
    num_workers = min(4, os.cpu_count() or 1) if device.type == "cuda" else 0
    return DataLoader(
        data,
        batch_size=config.batch_size,
        shuffle=shuffle,
        collate_fn=collate_fn,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=device.type == "cuda",
    )


def usual_augmentation(config: RunConfig, side: int) -> transforms.Compose:
    """Return the random crop and flip of images or tensors, or nothing without `config.augment`."""
    moves = [transforms.RandomCrop(side, padding=4), transforms.RandomHorizontalFlip()]
    return transforms.Compose(moves if config.augment else [])


# --- the trainers ----------------------------------------------------------------------------------------------------


class TextbookAAT:
    """Algorithm 1 as a competent reader of the paper writes it in an afternoon.

    n = 0 is standard training. n = all has no draw and perturbs each batch with the current network (Madry et al.), in
    the phase "train"; our trainer does so only if `perturbing_network` is on-the-fly.
    """

    def __init__(
        self,
        config: RunConfig,
        training: ImageSet,
        num_classes: int,
        attack: Attack | None = None,
        *,
        name: str = "textbook",
    ) -> None:
        check_plain(config, len(training))
        self.name, self.config, self.num_train = name, config, len(training)
        self.device = training.images.device
        self.attack = attack or textbook_attack(config.resolved_attack)
        self.network = textbook_network(config, training, num_classes)
        self.optimizer = usual_optimizer(config, self.network)
        self.schedule = usual_schedule(config, self.optimizer)
        self.random = np.random.default_rng(config.seed)
        self.augmentation = usual_augmentation(config, training.images.shape[-1])
        self.clean = PILImages(training, transforms.ToTensor())
        augmented = PILImages(training, transforms.Compose([self.augmentation, transforms.ToTensor()]))
        self.scoring_loader = usual_loader(self.clean, config, self.device)
        self.training_loader = usual_loader(augmented, config, self.device, shuffle=True)
        self.x_adv: dict[int, Tensor] = {}
        self.loss = math.nan

    def run_epoch(self) -> dict[str, float]:
        """Run one epoch of Algorithm 1; `x_adv` holds its perturbed samples by row, `loss` its mean loss."""
        watch = Stopwatch(self.device)
        n = self.config.num_perturbed
        if isinstance(n, int) and n > 0:
            scores = self.score()
            watch.lap("scoring")
            drawn = self.draw(scores, n)
            watch.lap("draw")
            self.x_adv = self.perturb(drawn)
            watch.lap("perturb")
        self.train()
        watch.lap("train")
        self.schedule.step()
        return watch.seconds

    def score(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the gradient norm of each sample (T,), in float32 throughout; parameters get gradients too."""
        self.network.eval()
        criterion = nn.CrossEntropyLoss(reduction="sum")
        scores = np.zeros(self.num_train)
        for images, labels, indices in self.scoring_loader:
            x = images.to(self.device).requires_grad_()
            self.optimizer.zero_grad()
            criterion(self.network(x), labels.to(self.device)).backward()
            assert x.grad is not None
            norms = x.grad.flatten(1).norm(dim=1)
            for index, norm in zip(indices.tolist(), norms.tolist(), strict=True):
                scores[index] = norm
        return scores

    def draw(self, scores: np.ndarray[Any, np.dtype[np.float64]], n: int) -> list[int]:
        """Draw n samples without replacement, p ∝ norm^`norm_power`; ValueError if fewer than n are positive."""
        powers = scores**self.config.norm_power
        drawn: list[int] = self.random.choice(len(scores), size=n, replace=False, p=powers / powers.sum()).tolist()
        return drawn

    def perturb(self, drawn: list[int]) -> dict[int, Tensor]:
        """Return x′ of the drawn samples by row, under the epoch-start network."""
        self.network.eval()
        x_adv: dict[int, Tensor] = {}
        for images, labels, indices in DataLoader(Subset(self.clean, drawn), batch_size=self.config.batch_size):
            perturbed = self.attack(self.network, images.to(self.device), labels.to(self.device))
            for index, image in zip(indices.tolist(), perturbed, strict=True):
                x_adv[index] = image
        return x_adv

    def train(self) -> None:
        """Train on the T samples, with x′ in place of x for the drawn ones."""
        criterion = nn.CrossEntropyLoss()
        total = 0.0
        self.network.train()
        for images, labels, indices in self.training_loader:
            images, labels = images.to(self.device), labels.to(self.device)
            if self.config.num_perturbed == "all":
                self.network.eval()
                images = self.attack(self.network, images, labels)
                self.network.train()
            else:
                for position, index in enumerate(indices.tolist()):
                    if index in self.x_adv:
                        images[position] = self.augmentation(self.x_adv[index])
            self.optimizer.zero_grad()
            loss = criterion(self.network(images), labels)
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(labels)
        self.loss = total / self.num_train


class ARTTrainer:
    """`AdversarialTrainer` of the Adversarial Robustness Toolbox (ART 1.20), with ratio = n/T.

    Its differences from Algorithm 1, according to its source:
    - It draws uniformly: no scoring, no adaptive choice, so its epoch is less work than AAT's.
    - It draws ⌈n/T·B⌉ from *each* batch, `num_perturbed` in an epoch: more than n if n/T·B is not an integer (1,290
      for n = 1,000 of 55,000 in batches of 128). At ratio 1 it shuffles a batch instead of drawing from it.
    - It perturbs in each batch, with the current network in eval mode and the true labels. Only an attack on *another*
      classifier is computed in advance, once per `fit`, which does not occur here.
    - `fit` shuffles by itself, and passes each batch through a numpy copy and a new `DataLoader` of one batch.
    - Its PGD also predicts x and x′, for a success rate that is logged.

    ART has no ratio of 0: n = 0 is its `PyTorchClassifier.fit`. It takes float32 arrays, so PIL is used only with
    `config.augment`, where `fit_generator` reads a `DataLoader`.
    """

    name = "art"

    def __init__(self, config: RunConfig, training: ImageSet, num_classes: int) -> None:
        check_plain(config, len(training))
        attacks, defences = imported("art.attacks.evasion"), imported("art.defences.trainer")
        classification = imported("art.estimators.classification")
        self.config, self.device = config, training.images.device
        self.network = textbook_network(config, training, num_classes)
        optimizer = usual_optimizer(config, self.network)
        self.schedule = usual_schedule(config, optimizer)
        self.x = training.images.cpu().numpy().astype(np.float32) / 255
        self.y = np.eye(num_classes, dtype=np.float32)[training.labels.cpu().numpy()]
        classifier = classification.PyTorchClassifier(
            self.network,
            loss=nn.CrossEntropyLoss(),
            input_shape=training.images.shape[1:],
            nb_classes=num_classes,
            optimizer=optimizer,
            clip_values=(0.0, 1.0),
            device_type="gpu" if self.device.type == "cuda" else "cpu",
        )
        attack = config.resolved_attack
        if is_fgsm(attack):
            self.attack = attacks.FastGradientMethod(classifier, eps=attack.epsilon, batch_size=config.batch_size)
        else:
            self.attack = attacks.ProjectedGradientDescentPyTorch(
                classifier,
                eps=attack.epsilon,
                eps_step=attack.step_size,
                max_iter=attack.steps,
                num_random_init=int(attack.random_start),
                batch_size=config.batch_size,
                verbose=False,
            )
        n = len(training) if config.num_perturbed == "all" else config.num_perturbed
        ratio = n / len(training)
        self.trainer = defences.AdversarialTrainer(classifier, self.attack, ratio=ratio) if n else classifier
        batches, rest = divmod(len(training), config.batch_size)
        self.num_perturbed = batches * math.ceil(ratio * config.batch_size) + math.ceil(ratio * rest)
        self.generator: Any = None
        if config.augment:
            augmentation = usual_augmentation(config, training.images.shape[-1])
            augmented = PILImages(training, transforms.Compose([augmentation, transforms.ToTensor()]))
            collate = partial(one_hot_batch, num_classes=num_classes)
            loader = usual_loader(augmented, config, self.device, shuffle=True, collate_fn=collate)
            self.generator = imported("art.data_generators").PyTorchDataGenerator(
                loader, size=len(training), batch_size=config.batch_size
            )

    def run_epoch(self) -> dict[str, float]:
        """Fit for one epoch; ART has no phases, so all is "train"."""
        watch = Stopwatch(self.device)
        with redirect_stderr(io.StringIO()):  # hides progress bars, which no argument turns off
            if self.generator:
                self.trainer.fit_generator(self.generator, nb_epochs=1)
            else:
                self.trainer.fit(self.x, self.y, batch_size=self.config.batch_size, nb_epochs=1)
        watch.lap("train")
        self.schedule.step()
        return watch.seconds


def one_hot_batch(samples: list[tuple[Tensor, int, int]], *, num_classes: int) -> tuple[Tensor, Tensor]:
    """Collate images and one-hot labels, which all of ART accepts."""
    images, labels, _ = zip(*samples, strict=True)
    return torch.stack(images), nn.functional.one_hot(torch.tensor(labels), num_classes).float()


BASELINES: dict[str, Callable[[RunConfig, ImageSet, int], Baseline]] = {
    "textbook": TextbookAAT,
    "foolbox": lambda config, training, num_classes: TextbookAAT(
        config, training, num_classes, foolbox_attack(config.resolved_attack), name="foolbox"
    ),
    "torchattacks": lambda config, training, num_classes: TextbookAAT(
        config, training, num_classes, torchattacks_attack(config.resolved_attack), name="torchattacks"
    ),
    "art": ARTTrainer,
}
