"""From an attack's settings to x′: the only place where config meets the attack functions."""

import inspect
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from aat_explore.algorithm.attacks import predicted_labels
from aat_explore.algorithm.gradients import attacked
from aat_explore.attacks import ResolvedAttack
from aat_explore.config import Precision
from aat_explore.engine.custom import blamed, imported
from aat_explore.errors import AATError

TOLERANCE = 1e-6  # of ‖x′ − x‖∞ ≤ ε, for rounding


def perturb(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    attack: ResolvedAttack,
    generator: torch.Generator,
    *,
    precision: Precision = "float32",
) -> Tensor:
    """Return x′ (B, C, H, W) under a resolved attack; the network is in eval mode meanwhile, then restored.

    `precision` is that of the matrix products; x′ is float32. Raises AATError for a custom attack that cannot be
    imported, fails, or leaves the ball or the box.
    """
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        return _perturbed(network, images, labels, attack, generator)


def _perturbed(
    network: nn.Module, images: Tensor, labels: Tensor, attack: ResolvedAttack, generator: torch.Generator
) -> Tensor:
    match attack.label:
        case "predicted":
            labels = predicted_labels(network, images)
        case "true":
            pass
        case _:
            assert_never(attack.label)
    function, arguments = attack_function(attack), arguments_of(attack, generator)
    if not attack.spec.custom:
        x_adv: Tensor = function(network, images, labels, **arguments)
        return x_adv
    name = f"attack.kind={attack.kind}"
    with attacked(network), blamed(name, "fails on training images"):
        x_adv = function(network, images.clone(), labels, **arguments)
    return checked_x_adv(x_adv, images, attack, name)


def attack_function(attack: ResolvedAttack) -> Callable[..., Any]:
    """Return the function of a registered or custom attack; AATError if it cannot be imported or is not callable."""
    if not attack.spec.custom:
        return _registered(attack.spec.function)
    function = imported("attack.kind", attack.kind)
    if not callable(function):
        raise AATError(
            f"attack.kind={attack.kind} is a {type(function).__name__}; name a function of network, images and labels"
        )
    custom: Callable[..., Any] = function
    return custom


@cache
def _registered(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


def arguments_of(attack: ResolvedAttack, generator: torch.Generator) -> dict[str, Any]:
    """Return the keyword arguments that the attack's function accepts; AATError for an option that it does not."""
    name, options = f"attack.kind={attack.kind}", dict(attack.options)
    available: dict[str, Any] = {"epsilon": attack.epsilon, "generator": generator}
    if not attack.spec.custom:
        available |= {"steps": attack.steps, "step_size": attack.step_size, "random_start": attack.random_start}
    with blamed(name, "has no signature that can be read"):
        by_keyword, takes_all = _keywords(attack_function(attack))
    if not takes_all and (unknown := [option for option in options if option not in by_keyword]):
        raise AATError(f"{name} takes no argument {unknown[0]!r}; correct attack.options or the function")
    return options | {argument: value for argument, value in available.items() if argument in by_keyword}


@cache
def _keywords(function: Callable[..., Any]) -> tuple[frozenset[str], bool]:
    """Return a function's keyword arguments, and whether it takes any; once, not in every batch."""
    parameters = inspect.signature(function).parameters.values()
    named = frozenset(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    return named, any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def checked_x_adv(x_adv: object, images: Tensor, attack: ResolvedAttack, name: str) -> Tensor:
    """Return a custom attack's result if it is an x′ in the ε-ball and in [0, 1]; else raise AATError."""
    if not isinstance(x_adv, Tensor) or x_adv.shape != images.shape:
        actual = tuple(x_adv.shape) if isinstance(x_adv, Tensor) else type(x_adv).__name__
        raise AATError(f"{name} returned {actual} for images {tuple(images.shape)}; return x′ of the same shape")
    x_adv = x_adv.detach().to(images)
    if not bool(torch.isfinite(x_adv).all()) or float(x_adv.min()) < 0 or float(x_adv.max()) > 1:
        raise AATError(f"{name} returned pixels that are not in [0, 1]; clip x′")
    farthest = float((x_adv - images).abs().max())
    if farthest > attack.epsilon + TOLERANCE:
        raise AATError(
            f"{name} moved a pixel by {farthest:.6g}, more than epsilon={attack.epsilon:g}; project x′ to the ball"
        )
    return x_adv
