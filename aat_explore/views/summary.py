"""One run as a table row: progress, accuracies and cost; without pandas, for `aat list`."""

from typing import Any

import numpy as np

from aat_explore.budgets import epsilon_text
from aat_explore.config import RunConfig
from aat_explore.records import COST_PHASES
from aat_explore.scores import PAPERS_SCORE
from aat_explore.states import standing
from aat_explore.views import checks, evaluations
from aat_explore.views.protocols import Run


def summary(run: Run, training: bool = False) -> dict[str, Any]:
    """One row of `frames.runs.runs_table`; raises if the run's metrics or evaluations are damaged."""
    config, rows = run.config, run.rows()
    clean, robust, tested_with = evaluations.headline(run, config.epsilon)
    phases = [name for name in type(rows[0]).model_fields if name.startswith("seconds_")]
    seconds = np.array([[getattr(row, name) for row in rows] for name in phases])  # (phases, epochs)
    of_cost = seconds[[phases.index(name) for name in COST_PHASES]]
    return {
        "run": run.id,
        "n": str(config.num_perturbed),
        "norm power": _power(config),
        "clean accuracy": clean,
        "robust accuracy": robust,
        "flag": ", ".join(checks.flags(run)),
        "tested with": tested_with,
        "status": standing(config, run, busy=training).status,
        "epochs": f"{run.epoch}/{config.epochs}",
        "dataset": config.dataset,
        "attack": f"{config.resolved_attack.name}, ε {epsilon_text(config.epsilon)}" if config.num_perturbed else "",
        "seed": config.seed,
        "seconds per epoch": float(np.median(of_cost.sum(axis=0))),
        "total seconds": float(seconds.sum(axis=1).sum()),
    }


def _power(config: RunConfig) -> str:
    """The norm power of a run that samples, and the score if it is not the gradient norm."""
    score = config.canonical().score
    return "" if not config.samples else f"{config.norm_power:g}" + ("" if score == PAPERS_SCORE else f" of {score}")
