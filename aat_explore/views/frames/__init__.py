"""Runs → tidy pandas frames.

    runs.py     one row a run, and one run's metrics over its epochs
    epoch.py    one epoch: what was picked, from which p, of which classes
    paper.py    many runs: the test accuracies behind the paper's figures

Columns are plain words; accuracies and shares are in [0, 1], ε in pixel units, times in seconds, losses in nats.
"""

from aat_explore.views.frames.epoch import DrawStatistics, class_mix, draw_statistics, p_histogram, picked
from aat_explore.views.frames.paper import (
    EVALUATED,
    accuracy_against_n,
    datasets,
    evaluated,
    over_seeds,
    pgd_on_all,
    recipes,
    robustness,
    tests,
    unfinished,
    untested,
)
from aat_explore.views.frames.runs import (
    COLLAPSED,
    epoch_metrics,
    extent,
    filtered,
    flags,
    last_losses,
    progress,
    runs_table,
    status,
    summary,
    values,
)
from aat_explore.views.protocols import Frame

__all__ = [
    "COLLAPSED",
    "EVALUATED",
    "DrawStatistics",
    "Frame",
    "accuracy_against_n",
    "class_mix",
    "datasets",
    "draw_statistics",
    "epoch_metrics",
    "evaluated",
    "extent",
    "filtered",
    "flags",
    "last_losses",
    "over_seeds",
    "p_histogram",
    "pgd_on_all",
    "picked",
    "progress",
    "recipes",
    "robustness",
    "runs_table",
    "status",
    "summary",
    "tests",
    "unfinished",
    "untested",
    "values",
]
