"""What each robustness test does to a network: one class per kind of test, all with the same interface."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

import torch
from torch import Tensor, nn
from typing_extensions import override

from aat_explore.algorithm.attacks import pgd, project
from aat_explore.attacks import ResolvedAttack
from aat_explore.config import AttackConfig, EvaluationConfig
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.counting import (
    clean_correct,
    correct_after,
    num_outputs,
    robust_correct,
    robust_curve,
)
from aat_explore.engine.perturb import perturb
from aat_explore.errors import AATError
from aat_explore.robustness.autoattack import ATTACKS, AutoAttack
from aat_explore.robustness_tests import robustness_test

Description = dict[str, str | int | float | bool | None]

WEAK_STEPS = 10  # of ε/10 each, so only the last reaches the ball's edge, along a straight path


@dataclass(frozen=True)
class Attempt(ABC):
    """A test of robustness: its description for the record, and which images survive it.

    `source` is the network that attack "transfer" makes x′ for.
    """

    config: EvaluationConfig
    source: nn.Module | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The attacks, in the order in which they are tried."""
        return (self.config.attack.upper(),)

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that carry it out."""
        return {}

    @abstractmethod
    def describe(self) -> Description:
        """Return what defines the test besides ε, its kind and its norm, as an `Evaluation` records it."""

    @abstractmethod
    def survivors(
        self, network: nn.Module, chunk: ImageSet, epsilons: Sequence[float], starts: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield at each of the ascending ε which images stay correct after each attack: bool (attacks, B)."""


class PGD(Attempt):
    """PGD that counts every iterate of every restart, on a nested curve of ε or independently at each ε."""

    @override
    def describe(self) -> Description:
        config = self.config
        return {
            "loss": "cross-entropy",
            "steps": config.num_steps,
            "step_size": "2.5 ε/steps" if config.step_size is None else config.step_size,
            "restarts": config.restarts,
            "random_start": config.random_start,
            "counts": "worst iterate",
            **_curve(self.config),
        }

    @override
    def survivors(
        self, network: nn.Module, chunk: ImageSet, epsilons: Sequence[float], starts: torch.Generator
    ) -> Iterator[Tensor]:
        config = self.config
        positive = [epsilon for epsilon in epsilons if epsilon > 0]
        if len(positive) < len(epsilons):
            yield clean_correct(network, chunk)[None]
        settings = AttackConfig(
            kind="pgd", steps=config.num_steps, step_size=config.step_size, random_start=config.random_start
        )
        attacks = [settings.resolve(epsilon) for epsilon in positive]
        match config.curve:
            case "nested":
                for correct in robust_curve(network, chunk, attacks, restarts=config.restarts, generator=starts):
                    yield correct[None]
            case "independent":
                start_state = starts.get_state()
                for attack in attacks:
                    starts.set_state(start_state)
                    yield robust_correct(network, chunk, attack, restarts=config.restarts, generator=starts)[None]
            case _:
                assert_never(config.curve)


class StandardAutoAttack(Attempt):
    """The four attacks of AutoAttack, each on the survivors of those before it."""

    @property
    @override
    def names(self) -> tuple[str, ...]:
        return tuple(ATTACKS)

    @override
    def describe(self) -> Description:
        return {"version": "standard", **_curve(self.config)}

    @override
    def versions(self) -> dict[str, str]:
        return AutoAttack.version()

    @override
    def survivors(
        self, network: nn.Module, chunk: ImageSet, epsilons: Sequence[float], starts: torch.Generator
    ) -> Iterator[Tensor]:
        ensemble = AutoAttack(seed=self.config.seed, num_classes=num_outputs(network, chunk))
        clean = survives = clean_correct(network, chunk)
        for epsilon in epsilons:
            correct = torch.stack([clean] * len(ATTACKS))
            if epsilon > 0:
                correct = ensemble.survivors(network, chunk, epsilon, survives)
            match self.config.curve:
                case "nested":
                    survives = correct[-1]
                case "independent":
                    pass
                case _:
                    assert_never(self.config.curve)
            yield correct


class WeakPGD(Attempt):
    """Ten steps of ε/10 from the image itself; the last iterate counts."""

    @override
    def describe(self) -> Description:
        return {
            "loss": "cross-entropy", "steps": WEAK_STEPS, "step_size": f"ε/{WEAK_STEPS}",
            "random_start": False, "counts": "last iterate",
        }  # fmt: skip

    @override
    def survivors(
        self, network: nn.Module, chunk: ImageSet, epsilons: Sequence[float], starts: torch.Generator
    ) -> Iterator[Tensor]:
        yield from _by_last_iterate(network, chunk, epsilons, network, WEAK_STEPS, 1 / WEAK_STEPS)


class Transfer(Attempt):
    """The last iterate of PGD on another network."""

    @override
    def describe(self) -> Description:
        return {
            "loss": "cross-entropy", "from": self.config.transfer_from, "steps": self.config.num_steps,
            "random_start": False, "counts": "last iterate",
        }  # fmt: skip

    @override
    def survivors(
        self, network: nn.Module, chunk: ImageSet, epsilons: Sequence[float], starts: torch.Generator
    ) -> Iterator[Tensor]:
        if self.source is None:
            raise AATError("attack=transfer needs the network that x′ is made for; give transfer_from")
        steps = self.config.num_steps
        yield from _by_last_iterate(network, chunk, epsilons, self.source, steps, 2.5 / steps)


class ByTrainingAttack(Attempt):
    """The x′ of a registered or custom training attack, projected to the ε-ball if it leaves it.

    For a weak attack only x′ counts, so that FGSM accuracy above clean accuracy shows label leaking; for any other, an
    image must be classified correctly clean as well.
    """

    @override
    def describe(self) -> Description:
        attack = training_attack(self.config, 1.0)
        loss = {} if attack.spec.custom else {"loss": "cross-entropy"}
        steps = {} if attack.spec.steps is None else {"steps": attack.steps}
        return {**loss, **steps, **dict(attack.options), **robustness_test(self.config.attack).usual}

    @override
    def survivors(
        self, network: nn.Module, chunk: ImageSet, epsilons: Sequence[float], starts: torch.Generator
    ) -> Iterator[Tensor]:
        clean, start_state = clean_correct(network, chunk), starts.get_state()
        counted = clean if robustness_test(self.config.attack).joins else torch.ones_like(clean)
        for epsilon in epsilons:
            starts.set_state(start_state)
            perturbed = partial(_in_ball, attack=training_attack(self.config, epsilon), starts=starts)
            yield (counted & correct_after(network, chunk, perturbed) if epsilon > 0 else clean)[None]


ATTEMPTS: dict[str, type[Attempt]] = {
    "pgd": PGD,
    "autoattack": StandardAutoAttack,
    "weak-pgd": WeakPGD,
    "transfer": Transfer,
}


def attempt_of(config: EvaluationConfig, source: nn.Module | None = None) -> Attempt:
    """Return the test that `config` describes; `source` is the network that attack "transfer" makes x′ for."""
    return ATTEMPTS.get(config.attack, ByTrainingAttack)(config, source)


def training_attack(config: EvaluationConfig, epsilon: float) -> ResolvedAttack:
    """Return the training attack that a test tries, at one ε; AATError if its attack is not one."""
    return AttackConfig(kind=config.attack, options=config.options).resolve(epsilon)


def described(config: EvaluationConfig) -> Description:
    """Return what defines a test besides ε, as an `Evaluation` records it."""
    return {"kind": config.attack, "norm": "linf", **attempt_of(config).describe()}


def _curve(config: EvaluationConfig) -> Description:
    match config.curve:
        case "nested":
            return {"curve": "nested"}
        case "independent":  # as tests were recorded before the nested curve
            return {}
        case _:
            assert_never(config.curve)


def _in_ball(
    network: nn.Module, images: Tensor, labels: Tensor, *, attack: ResolvedAttack, starts: torch.Generator
) -> Tensor:
    return project(perturb(network, images, labels, attack, starts), images, attack.epsilon)


def _by_last_iterate(
    network: nn.Module, chunk: ImageSet, epsilons: Sequence[float], source: nn.Module, steps: int, step: float
) -> Iterator[Tensor]:
    """Yield which images stay correct, clean and at the last iterate of PGD on `source` by steps of `step`·ε."""
    clean = clean_correct(network, chunk)
    for epsilon in epsilons:
        options = {"epsilon": epsilon, "steps": steps, "step_size": step * epsilon, "random_start": False}

        def perturbed(_: nn.Module, images: Tensor, labels: Tensor, options: Any = options) -> Tensor:
            return pgd(source, images, labels, **options)

        yield (clean & correct_after(network, chunk, perturbed) if epsilon > 0 else clean)[None]
