"""Adaptive adversarial training: train it, cache every epoch's sampling distribution, and explore what it picks.

All that a notebook needs is imported from here; `docs/python.md` has a line on each name. Each is loaded on first use,
so that importing the package imports neither torch nor pandas nor Altair.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aat_explore.version import __version__ as __version__

if TYPE_CHECKING:
    from aat_explore.config import EvaluationConfig, RunConfig
    from aat_explore.datasets import add as add_dataset
    from aat_explore.datasets import load as load_dataset
    from aat_explore.experiments import lab as attack_lab
    from aat_explore.experiments import run as experiment
    from aat_explore.experiments.run import evaluate, train
    from aat_explore.presets import preset
    from aat_explore.robustness.checks import check_robustness
    from aat_explore.store import list_runs, open_run, showcase
    from aat_explore.views import charts, frames, gallery, widgets

__all__ = [
    "EvaluationConfig",
    "RunConfig",
    "add_dataset",
    "attack_lab",
    "charts",
    "check_robustness",
    "evaluate",
    "experiment",
    "frames",
    "gallery",
    "list_runs",
    "load_dataset",
    "open_run",
    "preset",
    "showcase",
    "train",
    "widgets",
]

_HOMES = {
    "EvaluationConfig": "aat_explore.config:EvaluationConfig",
    "RunConfig": "aat_explore.config:RunConfig",
    "add_dataset": "aat_explore.datasets:add",
    "attack_lab": "aat_explore.experiments.lab",
    "charts": "aat_explore.views.charts",
    "check_robustness": "aat_explore.robustness.checks:check_robustness",
    "evaluate": "aat_explore.experiments.run:evaluate",
    "experiment": "aat_explore.experiments.run",
    "frames": "aat_explore.views.frames",
    "gallery": "aat_explore.views.gallery",
    "list_runs": "aat_explore.store:list_runs",
    "load_dataset": "aat_explore.datasets:load",
    "open_run": "aat_explore.store:open_run",
    "preset": "aat_explore.presets:preset",
    "showcase": "aat_explore.store:showcase",
    "train": "aat_explore.experiments.run:train",
    "widgets": "aat_explore.views.widgets",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    home: Any = import_module(module)
    value = globals()[name] = getattr(home, attribute) if attribute else home
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
