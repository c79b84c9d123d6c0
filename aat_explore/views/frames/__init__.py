"""Runs → tidy pandas frames, one subject per file: `frames.picks`, `frames.compare` and so on.

    attack.py      one sample under attack, and the signs of gradient masking
    claims.py      the paper's claims, with intervals and verdicts
    compare.py     runs side by side: settings, curves, what each drew, pairs by seed
    dynamics.py    one run over all epochs: how uneven p is, how the picks change
    fates.py       what became of a set of samples in a run
    filmstrip.py   which samples some epochs picked, a row an epoch
    figures.py     many runs: the test accuracies in the paper's figures
    overview.py    which samples get picked and what trains now, in words
    picks.py       one epoch: which samples were picked, their p and their classes
    recorded.py    the recorded images, and what the network predicted for them
    results.py     clean and robust accuracy of many runs, with intervals
    runs.py        one row per run, and one run's metrics over its epochs
    sample.py      one training image over all epochs
    samples_map.py all training samples as points: the axes and their values
    scores.py      the samples' scores over all epochs

Columns have plain names. Accuracies and shares are in [0, 1], ε is in pixel units, times in seconds, losses in nats.
"""

from aat_explore.views.frames import (
    attack,
    claims,
    compare,
    dynamics,
    fates,
    figures,
    filmstrip,
    overview,
    picks,
    recorded,
    results,
    runs,
    sample,
    samples_map,
    scores,
)

__all__ = [
    "attack", "claims", "compare", "dynamics", "fates", "figures", "filmstrip", "overview", "picks", "recorded",
    "results", "runs", "sample", "samples_map", "scores",
]  # fmt: skip
