"""Steps 1 and 2 of Algorithm 1: the gradient of each sample's loss with respect to its pixels, and its norm."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from aat_explore.errors import AATError

Images = Float[Tensor, "B C H W"] | UInt8[Tensor, "B C H W"]


class NonFiniteGradientError(AATError):
    """A sample's input gradient is NaN or infinite, so the norms define no distribution."""


def pixels(images: Images) -> Float[Tensor, "B C H W"]:
    """Return images in [0, 1]: uint8 divided by 255 as float32, other types unchanged."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def wide(tensor: Tensor) -> Tensor:
    """Return the tensor in float64; from Apple's MPS, which has no float64, it moves to the CPU."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


@contextmanager
def attacked(network: nn.Module) -> Iterator[None]:
    """Freeze `network` while its inputs are differentiated, and restore its modes and gradient flags afterwards.

    Every module is in eval mode, because train-mode BatchNorm mixes the samples of a batch and dropout adds noise. No
    parameter requires a gradient, which saves the weight half of the backward pass.
    """
    modes = [(module, module.training) for module in network.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        network.eval()
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def input_gradient(
    network: nn.Module, images: Images, labels: Int64[Tensor, " B"]
) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B K"]]:
    """Return gᵢ = ∇ₓJ(θ, xᵢ, yᵢ) for each sample of a batch (Algorithm 1, step 1), and the logits at x.

    The network must be `attacked`. J is the cross-entropy on logits, *summed* over the batch: a mean would scale a
    shorter last batch differently. It is computed in float64, because softmax_y − 1 rounds to 0 in float32 once a
    sample is fitted well: on a trained network 17.5% of the gradients were more than 0.1% wrong in float32, 0.1% in
    float64.
    """
    with torch.enable_grad():
        x = pixels(images).detach().requires_grad_()
        logits = network(x)
        logits_64 = wide(logits)
        loss = F.cross_entropy(logits_64, labels.to(logits_64.device), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
    return gradient, logits.detach()


def input_gradients(
    network: nn.Module, images: Images, labels: Int64[Tensor, " B"], *, batch_size: int
) -> Iterator[tuple[slice, Float[Tensor, "B C H W"], Float[Tensor, "B K"]]]:
    """Yield (rows, their gᵢ, their logits) over all samples; the network is in eval mode while the iterator is open."""
    with attacked(network):
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            yield rows, *input_gradient(network, images[rows], labels[rows])


def l2_norms(gradient: Float[Tensor, "B C H W"]) -> Float[Tensor, " B"]:
    """Return ‖gᵢ‖₂ in float64: in float32 the square of a norm below about 4e-23 underflows."""
    norms: Tensor = torch.linalg.vector_norm(wide(gradient.flatten(1)), dim=1)
    return norms


def check_finite(norms: Float[Tensor, " T"]) -> None:
    """Raise NonFiniteGradientError naming the first sample whose norm is NaN or infinite."""
    finite = torch.isfinite(norms)
    if not bool(finite.all()):
        sample = int((~finite).nonzero()[0])
        raise NonFiniteGradientError(
            f"gradient norm of sample {sample} is {norms[sample].item()}, and {int((~finite).sum())} of {len(norms)} "
            "are not finite; the network has diverged: lower lr, or look for NaN or Inf in the images"
        )


def gradient_norms(
    network: nn.Module, images: Images, labels: Int64[Tensor, " B"], *, batch_size: int = 200
) -> Float[Tensor, " B"]:
    """Return g′ᵢ = ‖∇ₓJ(θ, xᵢ, yᵢ)‖₂ of every sample (Algorithm 1, steps 1 and 2), float64 (T,).

    `images` (T, C, H, W) in [0, 1] or uint8, `labels` (T,) int64. Eval mode; the network's state is restored.
    Raises NonFiniteGradientError naming a sample whose gradient is NaN or infinite.
    """
    batches = input_gradients(network, images, labels, batch_size=batch_size)
    norms = torch.cat([l2_norms(gradient) for _, gradient, _ in batches])
    check_finite(norms)
    return norms
