"""How a task's run stands in a cache, and how long it will still take."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aat_explore import datasets, states
from aat_explore.jobs.cost import Pace, cost, pace
from aat_explore.jobs.job import Task
from aat_explore.states import Standing
from aat_explore.store import Run, RunNotFoundError, Store


def standing(task: Task, cache: Path) -> Standing:
    """Return how one run stands; AATError if the run is damaged or its data set unknown."""
    return _standing(task, _opened(task, cache), cache)


def standings_in_cache(tasks: Sequence[Task], cache: Path) -> list[Standing]:
    """Return how each run stands, with its remaining seconds by the epochs of these runs so far."""
    runs = [_opened(task, cache) for task in tasks]
    paces = [pace(run) for run in runs if run is not None]
    return [
        _timed(_standing(task, run, cache), datasets.num_train(task.config.dataset, cache_dir=cache), paces)
        for task, run in zip(tasks, runs, strict=True)
    ]


def _timed(standing: Standing, num_train: int, paces: Sequence[Pace]) -> Standing:
    if standing.state == "done":
        return replace(standing, seconds_left=0.0)
    seconds = cost(standing.config, num_train, paces).seconds
    epochs_left = standing.config.epochs - standing.epoch
    return replace(standing, seconds_left=None if seconds is None else seconds * epochs_left)


def _standing(task: Task, run: Run | None, cache: Path) -> Standing:
    return states.standing(
        task.config,
        run,
        busy=run is not None and run.training,
        test=task.test,
        num_test=datasets.num_test(task.config.dataset, cache_dir=cache),
        check_images=task.check_images,
    )


def _opened(task: Task, cache: Path) -> Run | None:
    try:
        return Store(cache).open(task.config.run_id)
    except RunNotFoundError:
        return None
