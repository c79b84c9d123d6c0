"""How near do the cheap ways of scoring come to the paper's? Their norms against those of the epoch-start network."""

from typing import Any

import torch
from torch import Tensor

from aat_explore.algorithm.sampling import draw, probabilities
from aat_explore.config import EvaluationConfig, RunConfig
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.counting import clean_correct
from aat_explore.engine.device import Stopwatch
from aat_explore.engine.trainer import Trainer
from aat_explore.records import ScoringEpoch, ScoringRun
from aat_explore.robustness.evaluation import correct_at

NUM_DRAWS = 8  # pairs of draws that an overlap is the mean of
WAYS: dict[str, dict[str, Any]] = {
    "epoch-start": {},
    "every 2nd epoch": {"score_every": 2},
    "every 5th epoch": {"score_every": 5},
    "carry-over": {"scoring": "carry-over"},
    "uniform": {"norm_power": 0.0},
}


def compare_scoring(way: str, config: RunConfig, training: ImageSet, test: ImageSet, *, num_classes: int) -> ScoringRun:
    """Train `config`, which scores in some `way`, and compare what it draws from with the paper's scores.

    Those are taken of the same network at the start of each epoch. Raises AATError as training does.
    """
    trainer = Trainer(config, training, training.first(1), num_classes, None)
    epochs = tuple(_compared_epoch(trainer, epoch) for epoch in range(1, config.epochs + 1))
    (robust,) = correct_at(trainer.network, test, EvaluationConfig(seed=config.seed), (config.epsilon,))
    return ScoringRun(
        scoring=way,
        config=config.model_dump(mode="json"),
        clean_accuracy=float(clean_correct(trainer.network, test).float().mean()),
        robust_accuracy=float(robust.float().mean()),
        epochs=epochs,
    )


def _compared_epoch(trainer: Trainer, epoch: int) -> ScoringEpoch:
    norms, _ = trainer.scorer.pass_over_all()
    picks, _ = trainer.algorithm_1(epoch, Stopwatch(trainer.device))
    exact, used = probabilities(norms, norm_power=trainer.config.norm_power or 1.0), picks.probabilities
    assert used is not None, "only runs that draw are compared"
    return ScoringEpoch(
        epoch=epoch,
        rank_correlation=rank_correlation(used, exact),
        total_variation=float((used - exact).abs().sum()) / 2,
        overlap=_overlap(used, exact, len(picks.drawn)),
        overlap_exact=_overlap(exact, exact, len(picks.drawn)),
    )


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Return Spearman's ρ of two distributions (T,); 0 if one of them is constant. Ties are ranked as they stand."""
    if float(one.max() - one.min()) == 0 or float(other.max() - other.min()) == 0:
        return 0.0
    ranks = torch.stack([values.argsort(stable=True).argsort().double() for values in (one, other)])
    return float(torch.corrcoef(ranks)[0, 1])


def _overlap(one: Tensor, other: Tensor, n: int) -> float:
    """Return the mean share of n that a draw from each has in common."""
    common = 0
    for pair in range(NUM_DRAWS):
        ours, theirs = (
            draw(p, n, generator=torch.Generator().manual_seed(2 * pair + which))
            for which, p in enumerate((one, other))
        )
        common += int(torch.isin(ours, theirs).sum())
    return common / (NUM_DRAWS * max(1, n))
