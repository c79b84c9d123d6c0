"""Check a custom network, score or attack on a few images before anything is spent on it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from aat_explore.algorithm.gradients import attacked, pixels
from aat_explore.algorithm.scores import score_all
from aat_explore.attacks import ResolvedAttack
from aat_explore.config import RunConfig
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.custom import blamed, places
from aat_explore.engine.networks import placed, starting_network, weights_of
from aat_explore.engine.perturb import arguments_of, attack_function, checked_x_adv
from aat_explore.engine.scoring import score_of
from aat_explore.errors import AATError

FEW = 8  # images that are enough to try
ALIKE = 1e-3  # of the largest logit: far above what kernels for other batch sizes round, far below what mixing does
SMOOTH = "look for detach, no_grad, argmax, round or numpy in it, and put something smooth in their place"


def admit(config: RunConfig, few: ImageSet, num_classes: int) -> None:
    """Raise AATError if a run's custom network, score or attack cannot be trained with, tried on a `few` images."""
    custom = places(config)
    if not custom:
        return
    network = placed(starting_network(config, few, num_classes), few.images.device)
    if "model" in custom:
        check_network(network, few, num_classes, name=f"model={custom['model']}")
    if "score" in custom:
        name, score = f"score={custom['score']}", score_of(custom["score"])
        with left_as_found(network), blamed(name, "fails on training images"):
            score_all(score, network, few.images, few.labels, batch_size=FEW, name=name)
    if "attack.kind" in custom:
        check_attack(network, few, config.canonical().resolved_attack)


def check_attack(network: nn.Module, few: ImageSet, attack: ResolvedAttack) -> None:
    """Raise AATError unless a custom attack yields an x′ in the ε-ball and in [0, 1], the same when asked again.

    Again means: with the same generator, whatever else has been drawn from torch's global ones meanwhile. The attack
    must also leave the network as it found it: weights, buffers, modes and gradients. `perturb` checks ball and box
    again whenever x′ is made.
    """
    name = f"attack.kind={attack.kind}"
    with left_as_found(network):
        weights = [tensor.detach().clone() for tensor in (*network.parameters(), *network.buffers())]
        modes = _modes(network)
        tries = []
        for seed in range(2):
            torch.manual_seed(seed)
            tries.append(_tried(network, few, attack, name))
        changed = zip(weights, (*network.parameters(), *network.buffers()), strict=True)
        if not all(torch.equal(before, after) for before, after in changed):
            raise AATError(f"{name} changes the network's weights or buffers; work on a copy of it")
        if _modes(network) != modes:
            raise AATError(
                f"{name} changes the network's modes, or leaves gradients on its parameters; put back what it changes, "
                "and take torch.autograd.grad by the images alone"
            )
    if not torch.equal(*tries):
        raise AATError(
            f"{name} gives another x′ when asked again with the same generator; draw all that is random from the "
            "generator it is given"
        )


def _modes(network: nn.Module) -> tuple[list[bool], list[tuple[bool, bool]]]:
    """Return which modules are in training mode, and which parameters ask for a gradient and have one."""
    parameters = [(parameter.requires_grad, parameter.grad is not None) for parameter in network.parameters()]
    return [module.training for module in network.modules()], parameters


def _tried(network: nn.Module, few: ImageSet, attack: ResolvedAttack, name: str) -> Tensor:
    """Return x′ of the few images, with the network's modes as the attack leaves them."""
    images, generator = pixels(few.images), torch.Generator().manual_seed(0)
    function, arguments = attack_function(attack), arguments_of(attack, generator)
    kept = images.clone()
    with blamed(name, "fails on training images"):
        x_adv = function(network, images, few.labels, **arguments)
    if not torch.equal(images, kept):
        raise AATError(f"{name} changes the images it is given; work on a clone")
    return checked_x_adv(x_adv, images, attack, name)


def check_network(network: nn.Module, few: ImageSet, num_classes: int, *, name: str = "the network") -> None:
    """Raise AATError, with `name` in it, unless gradients and attacks mean for a network what the paper means.

    It must have parameters to train; give finite logits (B, num_classes), in training too; and in eval mode repeat
    itself, take each sample as if it were alone, and have an input gradient that is not zero everywhere. The network is
    left as it was found.
    """
    if any(is_lazy(parameter) for parameter in network.parameters()):
        raise AATError(f"{name} has lazy layers, which no seed initialises; give its layers their sizes")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise AATError(f"{name} has no parameter that asks for a gradient, so nothing to train; give it some")
    images = pixels(few.images)
    wrong = f"fails on images {tuple(images.shape)} in [0, 1]; in_channels and image_size tell it what will come"
    with left_as_found(network), blamed(name, wrong):
        weights_of(network)  # as a checkpoint holds them
        with torch.no_grad():
            network.train()
            _check_logits(network(images), len(few), num_classes, f"{name} in training mode")
            network.eval()
            logits, again = network(images), network(images)
        _check_logits(logits, len(few), num_classes, name)
        if not torch.equal(logits, again):
            raise AATError(
                f"{name} gives other logits when asked again in eval mode; let its noise depend on self.training, as "
                "that of nn.Dropout does and that of F.dropout does not"
            )
        _check_differentiable(network, images, few.labels, name)
        _check_alone(network, images, logits, name)


def _check_logits(logits: object, count: int, num_classes: int, name: str) -> None:
    if not isinstance(logits, Tensor):
        raise AATError(f"{name} returns a {type(logits).__name__}; return logits, a tensor ({count}, {num_classes})")
    if tuple(logits.shape) != (count, num_classes):
        raise AATError(
            f"{name} returns {tuple(logits.shape)} for {count} images of {num_classes} classes; take num_classes as an "
            f"argument and return logits ({count}, {num_classes})"
        )
    if not bool(torch.isfinite(logits).all()):
        raise AATError(f"{name} returns NaN or infinite logits before it is trained; look at its initialisation")
    if bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones_like(logits[:, 0]), atol=1e-3):
        raise AATError(f"{name} returns probabilities; return logits, for the softmax is part of the loss")


def _check_differentiable(network: nn.Module, images: Tensor, labels: Tensor, name: str) -> None:
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        logits = network(x)
        gradient = None
        if logits.requires_grad:
            (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels), x, allow_unused=True)
    if gradient is None:
        raise AATError(f"{name} is not differentiable by its images; {SMOOTH}")
    if not bool(torch.isfinite(gradient).all()):
        raise AATError(f"{name} has a NaN or infinite gradient by its images; look for a root or logarithm of 0")
    if not bool((gradient != 0).any()):
        raise AATError(f"{name} has a gradient by its images that is zero everywhere; {SMOOTH}")


def _check_alone(network: nn.Module, images: Tensor, logits: Tensor, name: str) -> None:
    """Check that the first sample's logits depend on no pixel of the others, and are the same without them."""
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(network(x)[0].square().sum(), x)
    with torch.no_grad():
        moved = (network(images[:1]) - logits[:1]).abs().max()
    if bool((gradient[1:] != 0).any()) or bool(moved > ALIKE * logits.abs().max()):
        raise AATError(
            f"{name} mixes the samples of a batch in eval mode, so that no gradient is a sample's own; use GroupNorm, "
            "or BatchNorm with running statistics, and attention within a sample only"
        )


@contextmanager
def left_as_found(network: nn.Module) -> Iterator[None]:
    """Restore a network's modes, gradient flags and buffers, and the global random streams, whatever is tried."""
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    devices = {buffer.device for buffer, _ in buffers if buffer.is_cuda}
    with torch.random.fork_rng(devices=list(devices)), attacked(network):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
