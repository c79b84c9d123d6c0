"""The scores of a run's samples over its epochs: loss, margin, entropy, gradient norm."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aat_explore.scores import PAPERS_SCORE
from aat_explore.views.frames.samples_map import CUSTOM, OF_SCORES, of_epoch
from aat_explore.views.protocols import Array, Run

Matrices = Mapping[str, NDArray[np.float32]]
TITLES = {
    "loss": "loss J, nats",
    "margin": "margin, ½ on the boundary",
    "entropy": "entropy, nats",
    PAPERS_SCORE: "gradient norm ‖∇ₓJ‖₂",
    CUSTOM: "custom score",
}


def matrices(run: Run) -> Matrices:
    """Name → scores of all samples in every epoch, float32 (epochs, T), NaN in epochs without; empty without scores.

    88 MB at T = 55,000, 100 epochs and four scores. Which an epoch has is said at `frames.samples_map.of_epoch`.
    """
    filled: dict[str, NDArray[np.float32]] = {}
    for epoch in range(1, run.epoch + 1):
        for name, values in of_epoch(run, epoch, OF_SCORES).items():
            if name not in filled:
                filled[name] = np.full((run.epoch, len(values)), np.nan, dtype=np.float32)
            filled[name][epoch - 1] = values
    return {name: filled[name] for name in TITLES if name in filled}


def history(scores: Matrices, is_drawn: Array, image: int, name: str) -> pd.DataFrame:
    """Return a row per score and epoch: sample (`name`), image, score, title, epoch, value, drawn."""
    parts = []
    for score, matrix in scores.items():
        values = matrix[:, image].astype(np.float64)
        scored = np.flatnonzero(np.isfinite(values))
        of_score = {"sample": name, "image": image, "score": score, "title": TITLES[score]}
        columns = {"epoch": scored + 1, "value": values[scored], "drawn": is_drawn[scored, image]}
        parts.append(pd.DataFrame(of_score | columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
