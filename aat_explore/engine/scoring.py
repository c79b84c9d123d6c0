"""Where an epoch's scores come from: a pass over all samples, or the training steps of the epoch before."""

import numpy as np
import torch
from torch import Tensor, nn

from aat_explore.algorithm.gradients import check_finite, gradient_norms, input_gradients, l2_norms
from aat_explore.algorithm.scores import BUILT_IN, Score, score_all
from aat_explore.config import RunConfig
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.custom import imported
from aat_explore.engine.device import chunk_size
from aat_explore.engine.streams import global_stream, stream
from aat_explore.errors import AATError
from aat_explore.records import Arrays

CALIBRATION = 250


def score_of(name: str) -> Score:
    """Return the built-in or own score of that name; AATError if it cannot be imported or is no function."""
    score: Score = BUILT_IN[name] if name in BUILT_IN else imported("score", name)
    if not callable(score):
        raise AATError(f"score={name} is a {type(score).__name__}; name a function of network, images and labels")
    return score


class Scorer:
    """The gradient norms g′ of all T samples, or another score in their place, as an epoch's draw takes them.

    - `scoring="epoch-start"` (the paper): one pass over all T with the network as it is when the epoch starts. It is
      exact, and costs 2 passes over T where a training epoch costs 3; `score_every` = k makes it every k-th epoch's.
    - `scoring="carry-over"` (ours): the norms are by-products of the epoch before. A training step's backward pass is
      taken one layer further, to the pixels, and gᵢ = B·∇ₓᵢ(mean loss) of the clean samples is kept: the factor B
      undoes the mean, without which a shorter last batch would weigh more. Without norms at hand, in the first epoch,
      all T are scored. Against the paper's: the network moves within the epoch, so a norm is up to one epoch old;
      dropout and train-mode BatchNorm act in it, which makes it noisy and on the whole larger; augmented images are
      differentiated as augmented. And what was seen perturbed has no norm at x, while that at x′ is of another size
      altogether. So K is scored again after the epoch, by the network of the next epoch's start, and put on the scale
      of the others by `CALIBRATION` of them that are scored again too. Measured on 20,000 images of Fashion-MNIST,
      n = 3,636: without the second scoring p was 0.33 off in total variation, without the scale 0.24, with both 0.20;
      exact norms one epoch old were 0.19 off.

    Another score than gradient-norm is always a pass of its own, and leaves FGSM no signs.
    """

    def __init__(self, config: RunConfig, network: nn.Module, training: ImageSet) -> None:
        self.config, self.network, self.training = config, network, training
        self.score = config.canonical().score
        self.norms: Tensor | None = None

    def scores(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        """Return the scores (T,) float64 to draw from and, if they are fresh and FGSM can use them, gradient signs."""
        signs = None
        every = 0 if self.config.scoring == "carry-over" else self.config.score_every
        if self.norms is None or (every and (epoch - self.config.warmup_epochs - 1) % every == 0):
            device = self.training.images.device
            with global_stream(self.config.seed, "score", epoch, device):  # for an own score that takes chances
                self.norms, signs = self.pass_over_all()
        return self.norms, signs

    def pass_over_all(self) -> tuple[Tensor, Tensor | None]:
        """Score every sample; return the norms (T,) and, if FGSM can reuse them, the gradients' signs as int8.

        The signs take a quarter of the gradients' memory (43 MB for MNIST, 123 MB for CIFAR10) and make perturbing
        free; recomputing them for K alone would cost another 2n/T passes.
        """
        images, labels = self.training.images, self.training.labels
        size = chunk_size(images.device)
        if self.score != "gradient-norm":
            score, name = score_of(self.score), f"score={self.score}"
            return score_all(score, self.network, images, labels, batch_size=size, name=name), None
        keep = self.config.reuses_scoring_gradient
        signs = torch.empty(images.shape, dtype=torch.int8, device=images.device) if keep else None
        norms = []
        for rows, gradient in input_gradients(self.network, images, labels, batch_size=size):
            norms.append(l2_norms(gradient))
            if signs is not None:
                signs[rows] = gradient.sign()
        scored = torch.cat(norms)
        check_finite(scored)
        return scored, signs

    def collects(self, epoch: int) -> bool:
        """Whether the training steps of this epoch are to collect norms for the next."""
        config = self.config
        return config.scoring == "carry-over" and config.samples and epoch >= config.warmup_epochs

    def carry(self, collected: Tensor, drawn: Tensor, epoch: int) -> None:
        """Take the norms (T,) that an epoch's steps collected, and score anew those whose images it saw perturbed."""
        norms = collected
        if len(drawn) and self.config.drawn_samples == "replace":  # otherwise each was seen clean as well
            norms = collected.clone()
            norms[drawn.to(norms.device)] = self._exact(drawn) * self._scale(collected, drawn, epoch)
        check_finite(norms)
        self.norms = norms

    def _exact(self, rows: Tensor) -> Tensor:
        images = self.training.images
        here = rows.to(images.device)
        return gradient_norms(
            self.network, images[here], self.training.labels[here], batch_size=chunk_size(images.device)
        )

    def _scale(self, collected: Tensor, drawn: Tensor, epoch: int) -> Tensor:
        """Return how much larger collected norms are than exact ones, by some samples that were not perturbed."""
        clean = torch.ones(len(collected), dtype=torch.bool)
        clean[drawn] = False
        rows = clean.nonzero().flatten()
        if len(rows) == 0:
            return torch.ones((), dtype=collected.dtype, device=collected.device)
        chosen = torch.randperm(len(rows), generator=stream(self.config.seed, "calibration", epoch))[:CALIBRATION]
        rows = rows[chosen]
        exact = self._exact(rows).sum()
        return torch.where(exact > 0, collected[rows.to(collected.device)].sum() / exact, 1.0)

    def state(self) -> Arrays:
        """Return what a resumed run needs to go on as if it had not been cut off."""
        held = self.config.scoring == "carry-over" or self.config.score_every > 1
        return {"gradient_norms": self.norms.cpu().numpy()} if held and self.norms is not None else {}

    def load(self, state: Arrays) -> None:
        """Take back what `state` returned."""
        if "gradient_norms" in state:
            norms = torch.from_numpy(np.array(state["gradient_norms"]))
            device = self.training.images.device
            self.norms = norms if device.type == "mps" else norms.to(device)  # where a pass leaves them
