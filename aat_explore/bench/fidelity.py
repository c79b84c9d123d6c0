"""How close are the cheap ways of scoring to the paper's? Their norms against those of the epoch-start network."""

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

NUM_DRAWS = 8  # pairs of draws over which an overlap is averaged
WAYS: dict[str, dict[str, Any]] = {
    "epoch-start": {},
    "every 2nd epoch": {"score_every": 2},
    "every 5th epoch": {"score_every": 5},
    "carry-over": {"scoring": "carry-over"},
    "uniform": {"norm_power": 0.0},
}


def compare_scoring(way: str, config: RunConfig, training: ImageSet, test: ImageSet, *, num_classes: int) -> ScoringRun:
    """Train `config`, whose way of scoring is called `way`, and compare its p with that of the paper's scores.

    The paper's scores are those of the same network at the start of each epoch. Raises AATError as training does.
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
    norms = trainer.scorer.pass_over_all().scores
    picks, _ = trainer.algorithm_1(epoch, Stopwatch(trainer.device))
    exact, actual = probabilities(norms, norm_power=trainer.config.norm_power or 1.0), picks.probabilities
    assert actual is not None, "only runs that draw are compared"
    return ScoringEpoch(
        epoch=epoch,
        rank_correlation=rank_correlation(actual, exact),
        total_variation=float((actual - exact).abs().sum()) / 2,
        overlap=_overlap(actual, exact, len(picks.drawn)),
        overlap_exact=_overlap(exact, exact, len(picks.drawn)),
    )


def rank_correlation(p: Tensor, q: Tensor) -> float:
    """Return Spearman's ρ of two distributions (T,); 0 if one is constant. Ties are ranked in order of their rows."""
    if float(p.max() - p.min()) == 0 or float(q.max() - q.min()) == 0:
        return 0.0
    ranks = torch.stack([values.argsort(stable=True).argsort().double() for values in (p, q)])
    return float(torch.corrcoef(ranks)[0, 1])


def _overlap(p: Tensor, q: Tensor, n: int) -> float:
    """Return the mean share of n that a draw from p and one from q have in common."""
    common = 0
    for pair in range(NUM_DRAWS):
        drawn_p, drawn_q = (
            draw(distribution, n, generator=torch.Generator().manual_seed(2 * pair + index))
            for index, distribution in enumerate((p, q))
        )
        common += int(torch.isin(drawn_p, drawn_q).sum())
    return common / (NUM_DRAWS * max(1, n))
