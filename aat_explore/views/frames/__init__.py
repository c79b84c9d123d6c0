"""Runs → tidy pandas frames, a subject a file: `frames.picks`, `frames.compare` and so on.

    attack.py    one sample under attack, and the signs of gradient masking
    claims.py    the paper's claims, with intervals and verdicts
    compare.py   runs beside each other: settings, curves, what each drew, pairs by seed
    dynamics.py  one run over all epochs: how uneven p is, how the picks move
    figures.py   many runs: the test accuracies behind the paper's figures
    picks.py     one epoch: what was picked, from which p, of which classes
    recorded.py  the recorded images: what the network predicted for them
    runs.py      one row a run, and one run's metrics over its epochs
    sample.py    one training image over all epochs

Columns are plain words; accuracies and shares are in [0, 1], ε in pixel units, times in seconds, losses in nats.
"""

from aat_explore.views.frames import attack, claims, compare, dynamics, figures, picks, recorded, runs, sample

__all__ = ["attack", "claims", "compare", "dynamics", "figures", "picks", "recorded", "runs", "sample"]
