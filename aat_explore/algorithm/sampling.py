"""Steps 2 and 3 of Algorithm 1: the sampling distribution, and the draw of K from it."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from aat_explore.algorithm.gradients import wide
from aat_explore.errors import AATError


class DeadNetworkError(AATError):
    """Every gradient norm, or other score, is zero, so p = g′/Σg′ does not exist."""


def probabilities(gradient_norms: Float[Tensor, " T"], *, norm_power: float) -> Float[Tensor, " T"]:
    """Return pᵢ = g′ᵢᵏ / Σⱼ g′ⱼᵏ for k = `norm_power` (Algorithm 1, step 2), float64 (T,), summing to 1.

    k = 1 is the paper's Norm, 2 its Squared Norm, 0 uniform sampling (also of samples whose norm is zero). Another
    score (see `scores`) may take the place of g′. Raises DeadNetworkError if Σg′ = 0 and AATError for negative or
    non-finite input.
    """
    if not norm_power >= 0 or norm_power == float("inf"):
        raise AATError(
            f"norm_power={norm_power} is not a finite power >= 0; use 1 (Norm), 2 (Squared Norm) or 0 (uniform)"
        )
    norms = wide(gradient_norms)
    if not bool((torch.isfinite(norms) & (norms >= 0)).all()):
        raise AATError("gradient_norms holds a negative, NaN or infinite value; norms must be finite and >= 0")
    if norm_power == 0:
        return torch.full_like(norms, 1 / len(norms))
    largest = norms.max()
    if largest == 0:
        raise DeadNetworkError(
            f"all {len(norms)} scores are 0; gradient norms are when the network no longer depends on its input; "
            "lower lr, or use norm_power 0 to draw uniformly"
        )
    scores = (norms / largest) ** norm_power  # the largest is 1, so no power overflows and not all underflow
    return scores / scores.sum()


def draw(
    probabilities: Float[Tensor, " T"], num_perturbed: int, *, generator: torch.Generator, replacement: bool = False
) -> Int64[Tensor, " n"]:
    """Draw the indices of the samples to perturb from p (Algorithm 1, step 3), int64 (n,), in the order drawn.

    Without replacement this is successive sampling, by the Gumbel-top-k trick (Kool et al. 2019) in float64 log space:
    K is a set; where fewer than n probabilities are non-zero it holds just those (`torch.multinomial` would add
    impossible indices, and is limited to 2²⁴ categories). With replacement the n indices may repeat. The random numbers
    are drawn on the generator's device, so a CPU generator gives the same K on every device. Raises AATError if n < 0,
    n > T without replacement, or p is not a distribution.
    """
    num_train = len(probabilities)
    if num_perturbed < 0 or (num_perturbed > num_train and not replacement):
        raise AATError(
            f"num_perturbed={num_perturbed} is not in 0..num_train={num_train}; lower it or draw with replacement"
        )
    p = wide(probabilities)
    if not bool((torch.isfinite(p) & (p >= 0)).all()) or (num_perturbed > 0 and not bool((p > 0).any())):
        raise AATError(
            "probabilities holds a negative, NaN or infinite value, or only zeros; use the result of `probabilities`"
        )
    if replacement:
        cumulative = p.cumsum(0)
        uniform = torch.rand(num_perturbed, dtype=torch.float64, device=generator.device, generator=generator)
        # `right` skips categories of width zero; rounding may push a point past the last category of positive width.
        drawn = torch.searchsorted(cumulative, uniform.to(p.device) * cumulative[-1], right=True)
        return drawn.clamp_(max=int(p.nonzero().max()))
    exponential = torch.empty(num_train, dtype=torch.float64, device=generator.device)
    exponential.exponential_(generator=generator)
    keys = p.log() - exponential.to(p.device).log()
    num_possible = int((p > 0).sum())
    return keys.topk(min(num_perturbed, num_possible)).indices
