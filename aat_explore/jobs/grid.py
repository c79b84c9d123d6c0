"""Many runs, several at a time: each trained, tested and checked by a worker, once, resumed where it was cut off."""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from aat_explore import datasets
from aat_explore.config import EvaluationConfig, RunConfig, Values, check_num_perturbed
from aat_explore.errors import AATError
from aat_explore.jobs import standing
from aat_explore.jobs.job import Task
from aat_explore.jobs.worker import Worker
from aat_explore.states import Standing, State

PATIENCE = 60.0  # seconds in which a worker that was told to stop has written the epoch it was at


class Work(Values):
    """What is done with every run besides training it: which test it gets, and on how many images it is checked."""

    cache_dir: Path
    test: EvaluationConfig = EvaluationConfig()
    check_images: int = 1000
    device: str | None = None
    threads: int | None = None

    def task(self, config: RunConfig) -> Task:
        """What a worker is to do for one run."""
        return Task(
            config=config,
            test=self.test,
            check_images=self.check_images,
            device=self.device,
            threads=self.threads,
        )


def run(
    configs: Sequence[RunConfig],
    work: Work,
    *,
    jobs: int = 1,
    hear: Callable[[list[Standing]], None] = lambda standings: None,
    every: float = 2.0,
) -> list[Standing]:
    """Do all that is still to be done of `configs`, `jobs` at a time, and return how each of them stands at the end.

    A run that fails does not stop the others; what is done already is not done again; a run cut off goes on after its
    last epoch, and its evaluation after its last images. `hear` gets all standings whenever a run is finished, and
    every so many seconds. Ctrl-C, SIGTERM and SIGHUP stop the workers too, each after the epoch it is at. Raises
    AATError before anything is begun: jobs < 1, or an n that a data set is too small for.
    """
    if jobs < 1:
        raise AATError(f"jobs={jobs} is less than 1; use 1, or as many as there are cores")
    for config in configs:
        check_num_perturbed(config, datasets.num_train(config.dataset, cache_dir=work.cache_dir))
    work = work.model_copy(update={"threads": work.threads or max(1, (os.cpu_count() or 1) // jobs)})
    tasks = [work.task(config) for config in configs]
    todo = [task for task in tasks if standing.standing(task, work.cache_dir).state != "done"]
    running: list[Worker] = []
    outcomes: dict[str, tuple[State, str]] = {}
    with _ended_like_ctrl_c():
        try:
            while todo or running:
                while todo and len(running) < jobs:
                    running.append(Worker(todo.pop(0), work.cache_dir, tempfile.TemporaryFile()))  # noqa: SIM115
                _wait(running, every)
                for worker in [worker for worker in running if worker.ended]:
                    running.remove(worker)
                    outcomes[worker.run_id] = worker.outcome()
                hear(standings(configs, work, outcomes))
        finally:
            for worker in running:
                worker.interrupt()
            for worker in running:
                worker.end(PATIENCE)
    return standings(configs, work, outcomes)


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does, or its workers would outlive it.

    What it was started to ignore, as nohup has SIGHUP ignored, it ignores. Threads other than the main one get no
    signals.
    """
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names] if threading.current_thread() is threading.main_thread() else []
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(running: Sequence[Worker], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not any(worker.ended for worker in running):
        time.sleep(0.1)


def standings(
    configs: Sequence[RunConfig], work: Work, outcomes: Mapping[str, tuple[State, str]] | None = None
) -> list[Standing]:
    """How each run stands, by what is in the cache, and by what became of its worker if that was stopped or failed."""
    by_cache = standing.standings([work.task(config) for config in configs], work.cache_dir)
    return [_with_outcome(one, *(outcomes or {}).get(one.config.run_id, ("done", ""))) for one in by_cache]


def _with_outcome(one: Standing, state: State, reason: str) -> Standing:
    return one if state == "done" else replace(one, state=state, reason=reason, seconds_left=None)


def seconds_left(standings: Sequence[Standing], jobs: int) -> float | None:
    """Seconds until all is trained, were nothing else in the way; None while that of a run is not known."""
    left = [one.seconds_left for one in standings if one.state in ("waiting", "running")]
    known = [seconds for seconds in left if seconds is not None]
    if len(known) < len(left):
        return None
    return max([sum(known) / jobs, *known], default=0.0)
