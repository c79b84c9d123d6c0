"""Many runs, several at a time: a worker trains, tests and checks each once, and resumes what was interrupted."""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from aat_explore import datasets
from aat_explore.config import EvaluationConfig, RunConfig, Values, check_num_perturbed
from aat_explore.errors import AATError
from aat_explore.jobs import standing
from aat_explore.jobs.job import Task
from aat_explore.jobs.worker import Worker
from aat_explore.places import Place
from aat_explore.states import Standing, State

PATIENCE = 60.0  # seconds for an interrupted worker to commit its epoch


class Work(Values):
    """What is done with every run besides training, and where: its test, and the number of images for its checks."""

    place: Place
    test: EvaluationConfig = EvaluationConfig()
    check_images: int = 1000

    def task(self, config: RunConfig) -> Task:
        """What a worker is to do for one run."""
        return Task(
            config=config,
            test=self.test,
            check_images=self.check_images,
            device=self.place.device,
            threads=self.place.threads,
        )


def run(
    configs: Sequence[RunConfig],
    work: Work,
    *,
    jobs: int = 1,
    hear: Callable[[list[Standing]], None] = lambda standings: None,
    every: float = 2.0,
) -> list[Standing]:
    """Do what remains of `configs`, `jobs` at a time, and return how each stands at the end.

    A failed run does not stop the others; finished work is not repeated; an interrupted run resumes after its last
    epoch, and its evaluation after its last images. `hear` gets all standings whenever a run ends, and `every` so many
    seconds. Ctrl-C, SIGTERM and SIGHUP stop the workers too, each after its current epoch. Raises AATError before
    anything starts: jobs < 1, or an n that exceeds the data set.
    """
    if jobs < 1:
        raise AATError(f"jobs={jobs} is less than 1; use 1, or as many as there are cores")
    for config in configs:
        check_num_perturbed(config, datasets.num_train(config.dataset, cache_dir=work.place.cache_dir))
    threads = work.place.threads or max(1, (os.cpu_count() or 1) // jobs)
    work = work.model_copy(update={"place": replace(work.place, threads=threads)})
    tasks = [work.task(config) for config in configs]
    todo = [task for task in tasks if standing.standing(task, work.place.cache_dir).state != "done"]
    running: list[Worker] = []
    outcomes: dict[str, tuple[State, str]] = {}
    with _ended_like_ctrl_c():
        try:
            while todo or running:
                while todo and len(running) < jobs:
                    running.append(Worker(todo.pop(0), work.place.cache_dir, tempfile.TemporaryFile()))  # noqa: SIM115
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

    Signals ignored at start stay ignored, as SIGHUP under nohup. Only the main thread can handle signals.
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
    """How each run stands, by the cache, or by its worker's outcome if that was stopped or failed."""
    by_cache = standing.standings_in_cache([work.task(config) for config in configs], work.place.cache_dir)
    return [_with_outcome(item, *(outcomes or {}).get(item.config.run_id, ("done", ""))) for item in by_cache]


def _with_outcome(cached: Standing, state: State, reason: str) -> Standing:
    return cached if state == "done" else replace(cached, state=state, reason=reason, seconds_left=None)


def seconds_left(standings: Sequence[Standing], jobs: int) -> float | None:
    """Seconds of training that remain at `jobs` at a time; None while any run's are unknown."""
    remaining = [item.seconds_left for item in standings if item.state in ("waiting", "running")]
    known = [seconds for seconds in remaining if seconds is not None]
    if len(known) < len(remaining):
        return None
    return max([sum(known) / jobs, *known], default=0.0)
