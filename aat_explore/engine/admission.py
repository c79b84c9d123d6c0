"""Check a custom network, score or attack on a few images before training starts."""

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

FEW = 8  # images to try it on
ALIKE = 1e-3  # of the largest logit: far above rounding between batch sizes, far below the effect of mixing samples
SMOOTH = "look for detach, no_grad, argmax, round or numpy in it, and use something smooth instead"


def admit(config: RunConfig, few: ImageSet, num_classes: int, num_train: int) -> None:
    """Raise AATError if a run's custom network, score or attack fails its checks on a `few` of the T images."""
    custom = places(config)
    if not custom:
        return
    network = placed(starting_network(config, few, num_classes), few.images.device)
    if "model" in custom:
        check_network(network, few, num_classes, name=f"model={custom['model']}")
        if has_batch_of_one(config, num_train):
            _check_batch_of_one(network, few, config, f"model={custom['model']}")
    if "score" in custom:
        name, score = f"score={custom['score']}", score_of(custom["score"])
        with restored(network), blamed(name, "fails on training images"):
            score_all(score, network, few.images, few.labels, batch_size=FEW, name=name)
    if "attack.kind" in custom:
        check_attack(network, few, config.canonical().resolved_attack)


def has_batch_of_one(config: RunConfig, num_train: int) -> bool:
    """Whether an epoch of a run on T samples may end in a batch of a single one."""
    sizes = [num_train]
    if config.drawn_samples == "add":
        n = num_train if config.num_perturbed == "all" else config.num_perturbed
        sizes += range(num_train, num_train + n + 1) if config.replacement else [num_train + n]
    return any((size - 1) % config.batch_size == 0 for size in sizes)


def _check_batch_of_one(network: nn.Module, few: ImageSet, config: RunConfig, name: str) -> None:
    """Raise AATError if a network fails on one sample in training mode, as batch norm of 1×1 pixels does."""
    wrong = (
        f"fails on a batch of one, in which its epochs may end at batch_size={config.batch_size}; use another "
        "batch_size, or GroupNorm where BatchNorm sees a single pixel"
    )
    with restored(network), blamed(name, wrong), torch.no_grad():
        network.train()
        network(pixels(few.images[:1]))


def check_attack(network: nn.Module, few: ImageSet, attack: ResolvedAttack) -> None:
    """Raise AATError unless a custom attack yields an x′ in the ε-ball and in [0, 1], and repeats it.

    It must repeat x′ given the same generator, whatever the state of torch's global generators. It must also leave the
    network unchanged: weights, buffers, modes and gradients. `perturb` checks ball and box again for every x′.
    """
    name = f"attack.kind={attack.kind}"
    with restored(network):
        weights = [tensor.detach().clone() for tensor in (*network.parameters(), *network.buffers())]
        modes = _modes(network)
        results = []
        for seed in range(2):
            torch.manual_seed(seed)
            results.append(_attack_few(network, few, attack, name))
        pairs = zip(weights, (*network.parameters(), *network.buffers()), strict=True)
        if not all(torch.equal(before, after) for before, after in pairs):
            raise AATError(f"{name} changes the network's weights or buffers; work on a copy of it")
        if _modes(network) != modes:
            raise AATError(
                f"{name} changes the network's modes, or leaves gradients on its parameters; restore what it changes, "
                "and call torch.autograd.grad for the images only"
            )
    if not torch.equal(*results):
        raise AATError(
            f"{name} gives another x′ when called again with the same generator; draw all random numbers from the "
            "generator passed to it"
        )


def _modes(network: nn.Module) -> tuple[list[bool], list[tuple[bool, bool]]]:
    """Return which modules are in training mode, and which parameters require a gradient and have one."""
    parameters = [(parameter.requires_grad, parameter.grad is not None) for parameter in network.parameters()]
    return [module.training for module in network.modules()], parameters


def _attack_few(network: nn.Module, few: ImageSet, attack: ResolvedAttack, name: str) -> Tensor:
    """Return x′ of the few images, without restoring the network's modes, so that a change is seen."""
    images, generator = pixels(few.images), torch.Generator().manual_seed(0)
    function, arguments = attack_function(attack), arguments_of(attack, generator)
    original = images.clone()
    with blamed(name, "fails on training images"):
        x_adv = function(network, images, few.labels, **arguments)
    if not torch.equal(images, original):
        raise AATError(f"{name} changes the images passed to it; work on a clone")
    return checked_x_adv(x_adv, images, attack, name)


def check_network(network: nn.Module, few: ImageSet, num_classes: int, *, name: str = "the network") -> None:
    """Raise AATError, naming `name`, unless a network can be trained and its input gradients mean what the paper means.

    It must have trainable parameters and return finite logits (B, num_classes), in training mode too. In eval mode it
    must be deterministic, treat each sample independently of its batch, and have an input gradient that is not zero
    everywhere. The network's state is restored.
    """
    if any(is_lazy(parameter) for parameter in network.parameters()):
        raise AATError(f"{name} has lazy layers, which no seed initialises; give its layers explicit sizes")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise AATError(
            f"{name} has no parameter that requires a gradient, so nothing to train; add one, or unfreeze it"
        )
    images = pixels(few.images)
    original = images.clone()
    wrong = f"fails on images {tuple(images.shape)} in [0, 1]; use the arguments in_channels and image_size"
    with restored(network), blamed(name, wrong):
        weights_of(network)  # fails if a checkpoint cannot hold them
        with torch.no_grad():
            network.train()
            _check_logits(network(images), len(few), num_classes, f"{name} in training mode")
            network.eval()
            logits, repeated = network(images), network(images)
        _check_logits(logits, len(few), num_classes, name)
        if not torch.equal(images, original):
            raise AATError(f"{name} changes the images passed to it; write x = x - 0.5, say, instead of x -= 0.5")
        if not torch.equal(logits, repeated):
            raise AATError(
                f"{name} gives other logits when called again in eval mode; apply noise only if self.training, as "
                "nn.Dropout does and F.dropout by default does not"
            )
        _check_differentiable(network, images, few.labels, name)
        _check_independent(network, images, logits, name)


def _check_logits(logits: object, count: int, num_classes: int, name: str) -> None:
    if not isinstance(logits, Tensor):
        raise AATError(f"{name} returns a {type(logits).__name__}; return logits, a tensor ({count}, {num_classes})")
    if tuple(logits.shape) != (count, num_classes):
        raise AATError(
            f"{name} returns {tuple(logits.shape)} for {count} images of {num_classes} classes; take num_classes as an "
            f"argument and return logits ({count}, {num_classes})"
        )
    if logits.dtype not in (torch.float32, torch.float64):
        raise AATError(f"{name} returns {logits.dtype}; return logits in float32, as by logits.float()")
    if not bool(torch.isfinite(logits).all()):
        raise AATError(f"{name} returns NaN or infinite logits before it is trained; check its initialisation")
    if bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones_like(logits[:, 0]), atol=1e-3):
        raise AATError(f"{name} returns probabilities; return logits, since the softmax is part of the loss")


def _check_differentiable(network: nn.Module, images: Tensor, labels: Tensor, name: str) -> None:
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        logits = network(x)
        gradient = None
        if logits.requires_grad:
            (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels), x, allow_unused=True)
    if gradient is None:
        raise AATError(f"{name} is not differentiable with respect to its images; {SMOOTH}")
    if not bool(torch.isfinite(gradient).all()):
        raise AATError(f"{name} has a NaN or infinite input gradient; look for a root or logarithm of 0")
    if not bool((gradient != 0).any()):
        raise AATError(f"{name} has an input gradient that is zero everywhere; {SMOOTH}")


def _check_independent(network: nn.Module, images: Tensor, logits: Tensor, name: str) -> None:
    """Check that the first sample's logits depend on no pixel of the others and are the same without them."""
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(network(x)[0].square().sum(), x)
    with torch.no_grad():
        change = (network(images[:1]) - logits[:1]).abs().max()
    if bool((gradient[1:] != 0).any()) or bool(change > ALIKE * logits.abs().max()):
        raise AATError(
            f"{name} mixes the samples of a batch in eval mode, so a sample's gradient depends on the others; use "
            "GroupNorm, or BatchNorm with running statistics, and attention within a sample only"
        )


@contextmanager
def restored(network: nn.Module) -> Iterator[None]:
    """Restore a network's modes, gradient flags and buffers, and the global random streams, on exit."""
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    devices = {buffer.device for buffer, _ in buffers if buffer.is_cuda}
    with torch.random.fork_rng(devices=list(devices)), attacked(network):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
