"""Step 2 of Algorithm 1 with any score in place of the gradient's norm: p ∝ scoreᵏ.

All scores, custom ones too (see `aat_explore.examples`), have the signature `score(network, images, labels)`: the
network is `attacked` (eval mode, no parameter gradients), images (B, C, H, W) are in [0, 1], labels (B,) int64. A score
is a finite number >= 0 for each sample; a larger one means picked more often.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aat_explore.algorithm.gradients import Images, attacked, input_gradient, l2_norms, pixels, wide
from aat_explore.errors import AATError

Labels = Int64[Tensor, " B"]
Logits = Float[Tensor, "B K"]
Score = Callable[[nn.Module, Tensor, Tensor], Tensor]

AT_ONCE = 2**18  # logits, 2 MB of float64; 25 batches of 200 one by one took three times as long


class ScoreError(AATError):
    """A score is not a finite number >= 0 for each sample, so it defines no distribution."""


def gradient_norm(network: nn.Module, images: Images, labels: Labels) -> Float[Tensor, " B"]:
    """Return g′ᵢ = ‖∇ₓJ(θ, xᵢ, yᵢ)‖₂, the paper's score, float64 (B,)."""
    return l2_norms(input_gradient(network, images, labels)[0])


def loss(network: nn.Module, images: Images, labels: Labels) -> Float[Tensor, " B"]:
    """Return J(θ, xᵢ, yᵢ) = log(1 + Σ_{k≠y} exp(z_k − z_y)), the cross-entropy in nats, float64 (B,).

    This form avoids cancellation: even in float64, −log softmax_y is exactly 0 once z_y leads by 37, and its sample
    would never be picked.
    """
    return loss_of_logits(logits_of(network, images), labels)


def margin(network: nn.Module, images: Images, labels: Labels) -> Float[Tensor, " B"]:
    """Return σ(max_{k≠y} z_k − z_y), float64 (B,) in [0, 1]: how close the network is to an error.

    It is ½ on the decision boundary, larger where the network errs, and equals 1 − softmax_y for two classes. The
    sigmoid σ makes the margin of the logits non-negative, as a score must be.
    """
    return margin_of_logits(logits_of(network, images), labels)


def logits_of(network: nn.Module, images: Images) -> Logits:
    """Return the logits z, float64 (B, K) and without a graph."""
    with torch.no_grad():
        logits: Tensor = network(pixels(images))
        return wide(logits)


def loss_of_logits(logits: Logits, labels: Labels) -> Float[Tensor, " B"]:
    """Return the `loss` of float64 logits (B, K), in nats."""
    true, others = _split(logits, labels)
    return torch.logaddexp(others.logsumexp(1) - true, torch.zeros_like(true))


def margin_of_logits(logits: Logits, labels: Labels) -> Float[Tensor, " B"]:
    """Return the `margin` of float64 logits (B, K), in [0, 1]."""
    true, others = _split(logits, labels)
    return torch.sigmoid(others.amax(1) - true)


def entropy_of_logits(logits: Logits, labels: Labels) -> Float[Tensor, " B"]:
    """Return the entropy −Σₖ qₖ log qₖ of q = softmax(z) in nats, of float64 logits (B, K), in [0, log K].

    It does not depend on `labels`. With m the predicted class it is −log q_m + Σ_{k≠m} qₖ (z_m − zₖ), a sum of positive
    terms, which is accurate even where q_m rounds to 1.
    """
    predicted = logits.argmax(1)
    top, others = _split(logits, predicted)
    log_inverse = loss_of_logits(logits, predicted)  # −log q_m
    gaps = top[:, None] - others
    return log_inverse + (torch.exp(-gaps - log_inverse[:, None]) * gaps).sum(1)


OF_LOGITS: dict[str, Callable[[Logits, Labels], Tensor]] = {
    "loss": loss_of_logits, "margin": margin_of_logits, "entropy": entropy_of_logits,
}  # fmt: skip


def scores_of_logits(logits: Float[Tensor, "T K"], labels: Int64[Tensor, " T"]) -> dict[str, Float[Tensor, " T"]]:
    """Return every score `OF_LOGITS` (T, K) of any float type, float64 (T,) each; reads no value on the host."""
    rows_at_once = max(1, AT_ONCE // logits.shape[1])
    parts: dict[str, list[Tensor]] = {name: [] for name in OF_LOGITS}
    for start in range(0, len(logits), rows_at_once):
        rows = slice(start, start + rows_at_once)
        part = wide(logits[rows])
        for name, score in OF_LOGITS.items():
            parts[name].append(score(part, labels[rows]))
    return {name: torch.cat(values) for name, values in parts.items()}


BUILT_IN: dict[str, Score] = {"gradient-norm": gradient_norm, "loss": loss, "margin": margin}


def score_all(
    score: Score, network: nn.Module, images: Images, labels: Labels, *, batch_size: int, name: str = "the score"
) -> Float[Tensor, " T"]:
    """Return the score of every sample, float64 (T,); the network's state is restored.

    `images` (T, C, H, W) in [0, 1] or uint8, `labels` (T,) int64. Raises ScoreError, naming `name`, if the score does
    not return one finite number >= 0 for each sample.
    """
    parts = []
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        with attacked(network):  # for each batch, because a custom score may change the mode
            batch_scores = score(network, pixels(images[rows]), labels[rows])
        expected = tuple(labels[rows].shape)
        if not isinstance(batch_scores, Tensor) or tuple(batch_scores.shape) != expected:
            is_tensor = isinstance(batch_scores, Tensor)
            actual = tuple(batch_scores.shape) if is_tensor else type(batch_scores).__name__
            raise ScoreError(
                f"{name} returned {actual} for {expected[0]} images; return a tensor {expected}, one number per image"
            )
        parts.append(wide(batch_scores.detach()))
    scores = torch.cat(parts)
    is_invalid = ~(torch.isfinite(scores) & (scores >= 0))
    if bool(is_invalid.any()):
        sample = int(is_invalid.nonzero()[0])
        raise ScoreError(
            f"{name} of sample {sample} is {scores[sample].item():g}, and {int(is_invalid.sum())} of {len(scores)} are "
            "not finite and >= 0; if the network has diverged, lower lr; otherwise correct the score"
        )
    return scores


def _split(logits: Logits, labels: Labels) -> tuple[Float[Tensor, " B"], Float[Tensor, "B others"]]:
    """Return the logits z_y of the classes `labels`, and those of all other classes in order."""
    column = labels.to(logits.device)[:, None]
    others = torch.arange(logits.shape[1] - 1, device=logits.device)
    return logits.gather(1, column)[:, 0], logits.gather(1, others + (others >= column))
