"""What an own network and an own score must be, found out on a few training images before an epoch is spent on them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from aat_explore.algorithm.gradients import attacked, pixels
from aat_explore.algorithm.scores import score_all
from aat_explore.config import RunConfig
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.networks import placed, starting_network, weights_of
from aat_explore.engine.own import blamed, places
from aat_explore.engine.scoring import score_of
from aat_explore.errors import AATError

FEW = 8  # images that are enough to try
ALIKE = 1e-3  # of the largest logit: far above what kernels for other batch sizes round, far below what mixing does
SMOOTH = "look for detach, no_grad, argmax, round or numpy in it, and put something smooth in their place"


def admit(config: RunConfig, few: ImageSet, num_classes: int) -> None:
    """Raise AATError if the own network or score of a run, if any, cannot be trained with, tried on a `few` images."""
    own = places(config)
    if not own:
        return
    network = placed(starting_network(config, few, num_classes), few.images.device)
    if "model" in own:
        check_network(network, few, num_classes, name=f"model={own['model']}")
    if "score" in own:
        name, score = f"score={own['score']}", score_of(own["score"])
        with left_as_found(network), blamed(name, "fails on training images"):
            score_all(score, network, few.images, few.labels, batch_size=FEW, name=name)


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
