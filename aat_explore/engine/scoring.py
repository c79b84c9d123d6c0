"""Where an epoch's scores come from: a pass over all samples, or the training steps of the previous epoch."""

from dataclasses import dataclass, field
from typing import assert_never

import numpy as np
import torch
from torch import Tensor, nn

from aat_explore.algorithm.gradients import check_finite, gradient_norms, input_gradients, l2_norms
from aat_explore.algorithm.scores import BUILT_IN, OF_LOGITS, Labels, Score, logits_of, score_all, scores_of_logits
from aat_explore.config import RunConfig
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.custom import imported
from aat_explore.engine.device import chunk_size
from aat_explore.engine.streams import global_stream, stream
from aat_explore.errors import AATError
from aat_explore.records import Arrays
from aat_explore.scores import PAPERS_SCORE

CALIBRATION = 250  # clean samples that set the scale of K's scores, see `Scorer`


def score_of(name: str) -> Score:
    """Return the built-in or custom score of that name; AATError if it cannot be imported or is not callable."""
    score: Score = BUILT_IN[name] if name in BUILT_IN else imported("score", name)
    if not callable(score):
        raise AATError(f"score={name} is a {type(score).__name__}; name a function of network, images and labels")
    return score


@dataclass(frozen=True)
class Scored:
    """The scores (T,) float64 to draw from, and by-products of the pass over all samples, if there just was one.

    `signs` int8 (T, C, H, W) are those of the gradients, if FGSM can reuse them. `by_name` holds every score that the
    pass gives without another one, float64 (T,) each: loss, margin, entropy and gradient-norm for the paper's score,
    the first three for loss and margin, and only the score itself, as "score", for a custom one.
    """

    scores: Tensor
    signs: Tensor | None = None
    by_name: dict[str, Tensor] = field(default_factory=dict)


class Scorer:
    """The scores of all T samples that an epoch draws from: the gradient norms g′, or another score.

    - `scoring="epoch-start"` (the paper): one pass over all T with the epoch-start network. It is exact, and costs 2
      passes over T where a training epoch costs 3; with `score_every` = k it is made every k-th epoch.
    - `scoring="carry-over"` (ours): the norms are by-products of the previous epoch. A training step's backward pass
      goes one layer further, to the pixels, and gᵢ = B·∇ₓᵢ(mean loss) of the clean samples is kept: the factor B
      undoes the mean, without which a shorter last batch would weigh more. In the first epoch, without norms, all T
      are scored. Unlike the paper's, a norm is up to one epoch old, because the network changes within the epoch; it
      is noisy and mostly larger, because dropout and train-mode BatchNorm are active; and augmented images are
      differentiated as augmented. A perturbed sample has no norm at x, and that at x′ is of a different size. So K is
      scored again after the epoch, by the network of the next epoch's start, and rescaled to the others by
      `CALIBRATION` of them that are scored again too. Measured on 20,000 images of Fashion-MNIST, n = 3,636: the total
      variation from the exact p was 0.33 without the second scoring, 0.24 without the rescaling, 0.20 with both, and
      0.19 for exact norms one epoch old.

    Any score but gradient-norm takes a separate pass, which computes no signs for FGSM.
    """

    def __init__(self, config: RunConfig, network: nn.Module, training: ImageSet) -> None:
        self.config, self.network, self.training = config, network, training
        self.score = config.canonical().score
        self.norms: Tensor | None = None

    def scores(self, epoch: int) -> Scored:
        """Return the scores of an epoch, of a pass over all samples if it is due."""
        match self.config.scoring:
            case "carry-over":
                is_due = False
            case "epoch-start":
                is_due = (epoch - self.config.warmup_epochs - 1) % self.config.score_every == 0
            case _:
                assert_never(self.config.scoring)
        if self.norms is None or is_due:
            device = self.training.images.device
            with global_stream(self.config.seed, "score", epoch, device):  # for a custom score that is random
                scored = self.pass_over_all()
            self.norms = scored.scores
            return scored
        return Scored(self.norms)

    def pass_over_all(self) -> Scored:
        """Score every sample.

        The signs take a quarter of the gradients' memory (43 MB for MNIST, 123 MB for CIFAR10) and save
        the 2n/T passes that perturbing K would cost.
        """
        images, labels = self.training.images, self.training.labels
        size = chunk_size(images.device)
        if self.score != PAPERS_SCORE:
            return self._pass_by_score(size)
        reuses = self.config.reuses_scoring_gradient
        signs = torch.empty(images.shape, dtype=torch.int8, device=images.device) if reuses else None
        parts, all_logits = [], []
        for rows, gradient, logits in input_gradients(self.network, images, labels, batch_size=size):
            parts.append(l2_norms(gradient))
            all_logits.append(logits)
            if signs is not None:
                signs[rows] = gradient.sign()
        norms = torch.cat(parts)
        check_finite(norms)
        return Scored(norms, signs, {PAPERS_SCORE: norms} | scores_of_logits(torch.cat(all_logits), labels))

    def _pass_by_score(self, size: int) -> Scored:
        """Score every sample by another score than the paper's."""
        all_logits: list[Tensor] = []

        def of_logits(network: nn.Module, images: Tensor, labels: Labels) -> Tensor:
            all_logits.append(logits_of(network, images))
            return OF_LOGITS[self.score](all_logits[-1], labels)

        score = of_logits if self.score in OF_LOGITS else score_of(self.score)
        images, labels, name = self.training.images, self.training.labels, f"score={self.score}"
        scores = score_all(score, self.network, images, labels, batch_size=size, name=name)
        by_name = scores_of_logits(torch.cat(all_logits), labels) if all_logits else {"score": scores}
        return Scored(scores, by_name=by_name)

    def collects(self, epoch: int) -> bool:
        """Whether the training steps of this epoch collect norms for the next."""
        config = self.config
        return config.scoring == "carry-over" and config.samples and epoch >= config.warmup_epochs

    def carry(self, collected: Tensor, drawn: Tensor, epoch: int) -> None:
        """Take the norms (T,) collected in an epoch's steps; score again the samples that were only seen perturbed."""
        norms = collected
        if len(drawn) and self.config.drawn_samples == "replace":  # "add" and "half" also train on the clean images
            norms = collected.clone()
            norms[drawn.to(norms.device)] = self._exact(drawn) * self._scale(collected, drawn, epoch)
        check_finite(norms)
        self.norms = norms

    def _exact(self, rows: Tensor) -> Tensor:
        images = self.training.images
        rows = rows.to(images.device)
        return gradient_norms(
            self.network, images[rows], self.training.labels[rows], batch_size=chunk_size(images.device)
        )

    def _scale(self, collected: Tensor, drawn: Tensor, epoch: int) -> Tensor:
        """Return the ratio of collected to exact norms, estimated on some samples that were not perturbed."""
        is_clean = torch.ones(len(collected), dtype=torch.bool)
        is_clean[drawn] = False
        rows = is_clean.nonzero().flatten()
        if len(rows) == 0:
            return torch.ones((), dtype=collected.dtype, device=collected.device)
        order = torch.randperm(len(rows), generator=stream(self.config.seed, "calibration", epoch))
        rows = rows[order[:CALIBRATION]]
        exact = self._exact(rows).sum()
        return torch.where(exact > 0, collected[rows.to(collected.device)].sum() / exact, 1.0)

    def state(self) -> Arrays:
        """Return what a resumed run needs to equal an uninterrupted one."""
        is_needed = self.config.scoring == "carry-over" or self.config.score_every > 1
        return {"gradient_norms": self.norms.cpu().numpy()} if is_needed and self.norms is not None else {}

    def load(self, state: Arrays) -> None:
        """Restore what `state` returned."""
        if "gradient_norms" in state:
            norms = torch.from_numpy(np.array(state["gradient_norms"]))
            device = self.training.images.device
            self.norms = norms if device.type == "mps" else norms.to(device)  # where a scoring pass leaves them
