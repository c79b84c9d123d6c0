"""A run's network: built from its config, and saved to and loaded from the plain arrays of a checkpoint."""

import hashlib
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from aat_explore.algorithm.models import Normalize, ResNet18, StdCNN
from aat_explore.config import NETWORKS, Precision, RunConfig
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.custom import blamed, imported
from aat_explore.engine.first_layer import with_fast_first_layer
from aat_explore.engine.streams import global_stream
from aat_explore.errors import AATError
from aat_explore.records import Arrays


def build_network(
    config: RunConfig,
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    mean: Sequence[float] | None = None,
    sd: Sequence[float] | None = None,
) -> nn.Module:
    """Return the run's network, initialised from its seed; mean and sd per channel, if given, normalise its input.

    Raises AATError for images that the paper's networks do not accept, or a custom network that cannot be imported or
    built.
    """
    channels, height, width = image_shape
    mean, sd = mean or [0.0] * channels, sd or [1.0] * channels
    if config.model not in NETWORKS:
        with global_stream(config.seed, "init"):
            return nn.Sequential(Normalize(mean, sd), _custom_network(config, image_shape, num_classes))
    if height != width or height < 16:
        raise AATError(
            f"dataset={config.dataset} has images of {height}×{width}; {config.model} takes squares of 16 or more"
        )
    with global_stream(config.seed, "init"):
        if config.model == "StdCNN":
            network = StdCNN(
                in_channels=channels,
                image_size=height,
                num_classes=num_classes,
                dropout=config.dropout,
                mean=mean,
                sd=sd,
            )
            return with_fast_first_layer(network)
        assert config.model == "ResNet18"
        return ResNet18(in_channels=channels, num_classes=num_classes, mean=mean, sd=sd)


def _custom_network(config: RunConfig, image_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Call what `model` names with the arguments that it names; a function of **kwargs also gets num_classes."""
    name, make = f"model={config.model}", imported("model", config.model)
    if isinstance(make, nn.Module) or not callable(make):
        raise AATError(f"{name} is a {type(make).__name__}; name a class, or a function that builds a new network")
    channels, height, width = image_shape
    available = {
        "in_channels": channels,
        "image_size": height if height == width else (height, width),
        "num_classes": num_classes,
        "dropout": config.dropout,
    }
    with blamed(name, "cannot be built"):
        parameters = inspect.signature(make).parameters.values()
        any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        arguments = {
            key: value for key, value in available.items() if key in names or (any_name and key == "num_classes")
        }
    text = ", ".join(f"{key}={value}" for key, value in arguments.items()) or "no arguments"
    with blamed(name, f"cannot be built with {text}; other arguments need defaults"):
        network = make(**arguments)
    if not isinstance(network, nn.Module):
        raise AATError(f"{name} returns a {type(network).__name__}; name what returns a torch.nn.Module")
    return network


def starting_network(config: RunConfig, training: ImageSet, num_classes: int) -> nn.Module:
    """Return a run's initial network on the CPU; its first layer standardises by the statistics of these samples."""
    channels, height, width = training.images.shape[1:]
    mean, sd = training.channel_statistics() if config.normalize else (None, None)
    return build_network(config, (channels, height, width), num_classes, mean=mean, sd=sd)


def placed(network: nn.Module, device: torch.device, *, precision: Precision = "float32") -> nn.Module:
    """Move a network to a device, in its fastest memory format there, and return that same network.

    On the CPU channels last: on two Zen 5 cores a training step takes 0.7 of the time for StdCNN and 0.6 for ResNet18.
    On CUDA it goes with bfloat16, whose matrix units need it: on an H200 ResNet18's step takes 0.55 of the time. A
    custom network keeps its format, because a `view` in it may depend on that.
    """
    network.to(device)
    faster = device.type == "cpu" or (device.type == "cuda" and precision == "bfloat16")
    channels_last = faster and isinstance(network, StdCNN | ResNet18)
    return network.to(memory_format=torch.channels_last) if channels_last else network


def weights_of(network: nn.Module) -> dict[str, np.ndarray[Any, Any]]:
    """Copy a network's parameters and buffers to the host, in C order for any memory format."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in network.state_dict().items()}


def load_weights(network: nn.Module, weights: Arrays, *, whose: str = "this checkpoint") -> None:
    """Load a checkpoint's arrays into a network; AATError if names or shapes do not match."""
    try:
        network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    except RuntimeError:
        raise AATError(
            f"the weights of {whose} do not fit the network that its config describes; undo the change to a custom "
            "network's code, choose another checkpoint, or train again"
        ) from None


def digest_of_weights(weights: Arrays) -> str:
    """Return the sha256 over names and bytes of a checkpoint, as hex digits."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()


def state_of(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray[Any, Any]]:
    """Copy an optimiser's state to the host, as `optimizer.<parameter>.<name>`."""
    return {
        f"optimizer.{index}.{name}": tensor.detach().cpu().numpy().copy()
        for index, state in optimizer.state_dict()["state"].items()
        for name, tensor in state.items()
    }


def load_state(optimizer: torch.optim.Optimizer, arrays: Arrays) -> None:
    """Load what `state_of` copied into an optimiser."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, array in arrays.items():
        if key.startswith("optimizer."):  # a training state holds other arrays too
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = torch.from_numpy(np.array(array))
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    for parameter, values in optimizer.state.items():  # fused kernels need one memory order for parameter and state
        for name, value in values.items():
            if value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)
