"""Step 2 of Algorithm 1 with another score than the paper's in the place of the gradient's norm: p ∝ scoreᵏ.

All have one signature, `score(network, images, labels)`: the network is `attacked` (eval mode, no parameter
gradients), images (B, C, H, W) are in [0, 1], labels (B,) int64, and each sample gets a finite number >= 0, large where
it is to be picked often. An own score has the same, see `aat_explore.examples`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aat_explore.algorithm.gradients import Images, attacked, input_gradient, l2_norms, pixels, wide
from aat_explore.errors import AATError

Labels = Int64[Tensor, " B"]
Score = Callable[[nn.Module, Tensor, Tensor], Tensor]


class ScoreError(AATError):
    """A score is no finite number >= 0 for each sample, so that no distribution can be made of it."""


def gradient_norm(network: nn.Module, images: Images, labels: Labels) -> Float[Tensor, " B"]:
    """Return g′ᵢ = ‖∇ₓJ(θ, xᵢ, yᵢ)‖₂, the paper's score, float64 (B,)."""
    return l2_norms(input_gradient(network, images, labels)[0])


def loss(network: nn.Module, images: Images, labels: Labels) -> Float[Tensor, " B"]:
    """Return J(θ, xᵢ, yᵢ) = log(1 + Σ_{k≠y} exp(z_k − z_y)), the cross-entropy in nats, float64 (B,).

    In this form nothing cancels: −log softmax_y is exactly 0, and its sample never picked, from a lead of 37 on even in
    float64.
    """
    true, others = _logits(network, images, labels)
    return torch.logaddexp(others.logsumexp(1) - true, torch.zeros_like(true))


def margin(network: nn.Module, images: Images, labels: Labels) -> Float[Tensor, " B"]:
    """Return σ(max_{k≠y} z_k − z_y), float64 (B,) in [0, 1]: how nearly wrong the network is.

    It is ½ on the border between two classes, above where the network errs, and for two classes 1 − softmax_y. The
    sigmoid makes the margin of the logits a score, which must not be negative.
    """
    true, others = _logits(network, images, labels)
    return torch.sigmoid(others.amax(1) - true)


BUILT_IN: dict[str, Score] = {"gradient-norm": gradient_norm, "loss": loss, "margin": margin}


def score_all(
    score: Score, network: nn.Module, images: Images, labels: Labels, *, batch_size: int, name: str = "the score"
) -> Float[Tensor, " T"]:
    """Return the score of every sample, float64 (T,); the network is left as it was found.

    `images` (T, C, H, W) in [0, 1] or uint8, `labels` (T,) int64. Raises ScoreError, with `name` in it, if what a score
    returns is not one finite number >= 0 for each sample.
    """
    parts = []
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        with attacked(network):  # anew each time: an own score may have changed the mode
            scored = score(network, pixels(images[rows]), labels[rows])
        expected = tuple(labels[rows].shape)
        if not isinstance(scored, Tensor) or tuple(scored.shape) != expected:
            got = tuple(scored.shape) if isinstance(scored, Tensor) else type(scored).__name__
            raise ScoreError(
                f"{name} returned {got} for {expected[0]} images; return a tensor {expected}, a number each"
            )
        parts.append(wide(scored.detach()))
    scores = torch.cat(parts)
    bad = ~(torch.isfinite(scores) & (scores >= 0))
    if bool(bad.any()):
        sample = int(bad.nonzero()[0])
        raise ScoreError(
            f"{name} of sample {sample} is {scores[sample].item():g}, and {int(bad.sum())} of {len(scores)} are not "
            "finite and >= 0; if the network has diverged lower lr, else correct the score"
        )
    return scores


def _logits(
    network: nn.Module, images: Images, labels: Labels
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B others"]]:
    """Return the logits z_y of the true class and those of all others, in float64 and without a graph."""
    with torch.no_grad():
        logits = wide(network(pixels(images)))
    true = F.one_hot(labels.to(logits.device), logits.shape[1]).bool()
    return logits[true], logits[~true].view(len(logits), -1)
