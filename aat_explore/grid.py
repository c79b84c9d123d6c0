"""Many runs: trained, tested and checked in processes of their own, each once, resumed where they were cut off."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from aat_explore import datasets
from aat_explore.config import EvaluationConfig, RunConfig, Values, check_num_perturbed
from aat_explore.errors import AATError
from aat_explore.store import Run, RunNotFoundError, Store
from aat_explore.views import frames

# Python ignores SIGINT if whoever started it did, as a shell does with `aat grid &`: a worker must hear the end of it.
WORKER = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from aat_explore.grid import work_off; sys.exit(work_off(sys.stdin.read()))"
)
PATIENCE = 60.0  # seconds in which a worker that was told to stop has written the epoch it was at
State = Literal["waiting", "training", "testing", "done", "failed"]


class Work(Values):
    """What is done with every run besides training it: which test it gets, and on how many images it is checked."""

    cache_dir: Path
    test: EvaluationConfig = EvaluationConfig()
    check_images: int = 1000
    device: str | None = None
    threads: int | None = None


class Order(Values):
    """One run and what is to be done with it, as a worker process gets them."""

    config: RunConfig
    work: Work


@dataclass(frozen=True)
class Standing:
    """How far one run of a grid is; `seconds_left` None where nothing like it was measured yet."""

    config: RunConfig
    state: State
    epoch: int
    seconds_left: float | None
    reason: str = ""


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
    every so many seconds. Ctrl-C stops the workers too, each after the epoch it is at. Raises AATError before anything
    is begun: jobs < 1, or an n that a data set is too small for.
    """
    if jobs < 1:
        raise AATError(f"jobs={jobs} is less than 1; use 1, or as many as there are cores")
    for config in configs:
        check_num_perturbed(config, datasets.num_train(config.dataset, cache_dir=work.cache_dir))
    work = work.model_copy(update={"threads": work.threads or max(1, (os.cpu_count() or 1) // jobs)})
    todo = [config for config in configs if not finished(_opened(config, work), work)]
    running: list[Worker] = []
    failed: dict[str, str] = {}
    try:
        while todo or running:
            while todo and len(running) < jobs:
                running.append(Worker(Order(config=todo.pop(0), work=work)))
            _wait(running, every)
            for worker in [one for one in running if one.ended]:
                running.remove(worker)
                if (reason := worker.failure()) is not None:
                    failed[worker.run_id] = reason
            hear(standings(configs, work, failed))
    finally:
        for worker in running:
            worker.stop()
    return standings(configs, work, failed)


class Worker:
    """A process that does one order and ends."""

    def __init__(self, order: Order) -> None:
        self.run_id = order.config.run_id
        self._said: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(order.work.threads)},
        )
        assert self._process.stdin is not None
        with self._process.stdin as orders:
            orders.write(order.model_dump_json())

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def failure(self) -> str | None:
        """Why it failed, in one line; None if it did what it was to."""
        if self._process.returncode == 0:
            return None
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().splitlines() if line.strip()]
        return lines[-1] if lines else f"the process ended with exit code {self._process.returncode}"

    def stop(self) -> None:
        """Tell it to stop, and see that it does."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()


def _wait(running: Sequence[Worker], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not any(worker.ended for worker in running):
        time.sleep(0.1)


def work_off(order: str) -> int:
    """Do an order, given as JSON: what a worker process does; its exit code."""
    asked = Order.model_validate_json(order)
    try:
        do(asked.config, asked.work)
    except AATError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def do(config: RunConfig, work: Work) -> None:
    """Train one run, test it and check it, as far as that is not done."""
    from aat_explore import checking, experiment  # torch, which the process that only waits need not load

    where = {"cache_dir": work.cache_dir, "device": work.device, "threads": work.threads}
    experiment.train(config, **where, evaluate_with=work.test)  # type: ignore[arg-type]
    if work.check_images:
        checking.check(config.run_id, **where, images=work.check_images)  # type: ignore[arg-type]


def finished(found: Run | None, work: Work) -> bool:
    """Whether a run is there, trained, tested on as many images as asked for, and checked."""
    return found is not None and _tested(found, work) and (not work.check_images or bool(found.checks()))


def standings(configs: Sequence[RunConfig], work: Work, failed: dict[str, str]) -> list[Standing]:
    """How each run stands, by what is in the cache, and how long it will take by what others took."""
    runs = {config.run_id: _opened(config, work) for config in configs}
    paces = [frames.pace(found) for found in runs.values() if found is not None]
    return [_standing(config, runs[config.run_id], work, failed, paces) for config in configs]


def _standing(
    config: RunConfig, found: Run | None, work: Work, failed: dict[str, str], paces: Sequence[frames.Pace]
) -> Standing:
    epoch = 0 if found is None else found.epoch
    if config.run_id in failed:
        return Standing(config, "failed", epoch, None, failed[config.run_id])
    if finished(found, work):
        return Standing(config, "done", epoch, 0.0)
    an_epoch = frames.cost(config, datasets.num_train(config.dataset, cache_dir=work.cache_dir), paces).seconds
    left = None if an_epoch is None else an_epoch * (config.epochs - epoch)
    busy = found is not None and found.training
    state: State = "waiting" if not busy else "testing" if epoch >= config.epochs else "training"
    return Standing(config, state, epoch, left)


def _opened(config: RunConfig, work: Work) -> Run | None:
    try:
        return Store(work.cache_dir).open(config.run_id)
    except RunNotFoundError:
        return None


def _tested(found: Run, work: Work) -> bool:
    """Whether the run's last epoch has an evaluation of this kind on as many images."""
    test, there = work.test, datasets.num_test(found.config.dataset, cache_dir=work.cache_dir)
    wanted = {"kind": test.attack, "curve": test.curve, "steps": test.num_steps}
    return found.complete and any(
        made.epoch == found.epoch
        and made.split == test.split
        and made.num_images == min(test.images or there, there)
        and all(made.attack.get(name, value) == value for name, value in wanted.items())
        for made in found.evaluations()
    )


def seconds_left(found: Sequence[Standing], jobs: int) -> float | None:
    """Seconds until all is trained, were nothing else in the way; None while that of a run is not known."""
    left = [standing.seconds_left for standing in found if standing.state not in ("done", "failed")]
    known = [one for one in left if one is not None]
    if len(known) < len(left):
        return None
    return max([sum(known) / jobs, *known], default=0.0)


def failures(found: Sequence[Standing]) -> Iterator[tuple[str, str]]:
    """Runs that failed, and why."""
    yield from ((standing.config.run_id, standing.reason) for standing in found if standing.state == "failed")
