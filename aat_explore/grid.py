"""Many runs: trained, evaluated and checked in worker processes, each once, and resumed where they were cut off."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aat_explore.config import EvaluationConfig, RunConfig
from aat_explore.errors import AATError
from aat_explore.store import Run, RunNotFoundError, Store
from aat_explore.training_job import check_num_perturbed, num_train
from aat_explore.views import frames

State = Literal["waiting", "training", "testing", "done", "failed"]


@dataclass(frozen=True)
class Work:
    """What is done with every run besides training it: which test it gets, and on how many images it is checked."""

    cache_dir: Path
    test: EvaluationConfig = field(default_factory=EvaluationConfig)
    check_images: int = 1000
    device: str | None = None
    threads: int | None = None


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
    every so many seconds. Raises AATError before anything is begun: jobs < 1, or an n that a data set is too small for.
    """
    if jobs < 1:
        raise AATError(f"jobs={jobs} is less than 1; use 1, or as many as there are cores")
    for config in configs:
        check_num_perturbed(config)
    threads = work.threads or max(1, (os.cpu_count() or 1) // jobs)
    todo = [config for config in configs if not finished(config, work)]
    failed: dict[str, str] = {}
    # Spawned, because torch's threads do not survive a fork; a worker is kept for the next run, importing torch once.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, max(1, len(todo))), mp_context=context) as pool:
        pending: dict[Future[None], RunConfig] = {pool.submit(do, config, work, threads): config for config in todo}
        try:
            while pending:
                done, _ = wait(pending, timeout=every, return_when=FIRST_COMPLETED)
                for future in done:
                    config = pending.pop(future)
                    if (error := future.exception()) is not None:
                        failed[config.run_id] = f"{error}"
                hear(standings(configs, work, failed))
        except BaseException:  # Ctrl-C reaches the workers too, which write the epoch they have finished
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return standings(configs, work, failed)


def do(config: RunConfig, work: Work, threads: int) -> None:
    """Train one run, test it and check it, as far as that is not done; what a worker process does."""
    from aat_explore import checking, experiment  # torch, which the process that only waits need not load

    where = {"cache_dir": work.cache_dir, "device": work.device, "threads": threads}
    experiment.train(config, **where, evaluate_with=work.test)  # type: ignore[arg-type]
    if work.check_images:
        checking.check(config.run_id, **where, images=work.check_images)  # type: ignore[arg-type]


def finished(config: RunConfig, work: Work) -> bool:
    """Whether a run is trained, tested on as many images as asked for, and checked."""
    found = _opened(config, work)
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
    if finished(config, work):
        return Standing(config, "done", epoch, 0.0)
    an_epoch = frames.cost(config, num_train(config.dataset), paces).seconds
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
    wanted = work.test.images
    return found.complete and any(
        made.epoch == found.epoch
        and made.attack.get("kind") == work.test.attack
        and (made.num_images == wanted if wanted is not None else True)
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
