"""Trainings that outlive the page that requested them: a queue on disk, one detached process per cache works it off.

    cache/queue/
        000001.json    one `Job`: the config, its state, the trainer's process
        000001.log     what its trainer printed
        worker.log     errors of the process that works the queue off
        .lock          held for an instant while a job file is changed
        .worker        held by that process while it lives

`python -m aat_explore.jobs.queue CACHE` works it off: it trains one waiting job after another and ends when none waits.
A job file is only trusted if it is a valid `Job`; the command is built from its config, never read from a file.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from aat_explore import datasets
from aat_explore.config import check_num_perturbed, one_line
from aat_explore.errors import AATError
from aat_explore.jobs import processes, worker
from aat_explore.jobs.job import Job
from aat_explore.jobs.standing import standing
from aat_explore.store import locked, write_whole

JOB_FILE = re.compile(r"[0-9]{6}\.json")
MOST_BYTES = 65_536  # of a job file
PATIENCE = 5.0  # seconds for an ending process to release its lock


@dataclass(frozen=True)
class Entry:
    """A job and the file it is in; `name` is the file's number, e.g. `000001`."""

    folder: Path
    name: str
    job: Job

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.job.state in ("waiting", "running")

    def log_lines(self, most: int = 12) -> list[str]:
        """The last lines that the trainer printed, without control characters."""
        path = self.folder / f"{self.name}.log"
        if path.is_symlink() or not path.is_file():
            return []
        with path.open("rb") as log:
            return worker.last_lines(log, most)


@dataclass(frozen=True)
class Listing:
    """All jobs in the order requested, and the reason for each file that is not a job."""

    entries: list[Entry]
    damaged: dict[str, str]


# --- The queue -------------------------------------------------------------------------------------------------------


def listing(cache: Path) -> Listing:
    """Read the queue; writes nothing, and an absent folder is an empty queue."""
    queue = Listing([], {})
    folder = _folder(cache)
    if not folder.is_dir():
        return queue
    for path in sorted(folder.glob("*.json")):
        try:
            queue.entries.append(Entry(folder, path.stem, _read(path)))
        except FileNotFoundError:  # taken from the queue since the folder was listed
            continue
        except AATError as error:
            queue.damaged[path.name] = str(error)
    return queue


def enqueue(cache: Path, job: Job) -> Entry:
    """Add a job to the end of the queue; AATError if its run is queued, in training elsewhere, or complete."""
    run_id = job.config.run_id
    check_num_perturbed(job.config, datasets.num_train(job.config.dataset, cache_dir=cache))
    refuse_if_trained(cache, job)
    with _changing(cache) as folder:
        for entry in listing(cache).entries:
            if entry.active and entry.job.config.run_id == run_id:
                raise AATError(f"run={run_id} is {entry.job.state} in the queue already (job {entry.name})")
        numbers = [int(path.stem) for path in folder.iterdir() if re.fullmatch(r"[0-9]{6}", path.stem)]
        entry = Entry(folder, f"{max(numbers, default=0) + 1:06d}", job)
        _write(entry)
        return entry


def writable(cache: Path) -> bool:
    """Whether a queue can be written in this cache, or in the folder that it would be made in."""
    there = next(path for path in (_folder(cache.resolve()), *_folder(cache.resolve()).parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK)


def refuse_if_trained(cache: Path, job: Job) -> None:
    """Raise AATError if nothing of `job` remains to do, or any process is training its run."""
    present, run_id = standing(job.task, cache), job.config.run_id
    if present.busy:
        raise AATError(f"run={run_id} is being trained by another process; wait for it or stop it")
    if present.settled:
        raise AATError(f"run={run_id} is complete: there is nothing to do")


def remove(cache: Path, name: str) -> None:
    """Remove a job and its log from the queue; AATError if it runs; does nothing if it is gone."""
    with _changing(cache) as folder:
        entry = _entry(cache, name)
        if entry is None:
            return
        if entry.job.state == "running":
            raise AATError(f"job={name} runs; stop it first")
        (folder / f"{name}.json").unlink(missing_ok=True)
        (folder / f"{name}.log").unlink(missing_ok=True)


def stop(cache: Path, name: str) -> None:
    """Interrupt a job's trainer, as Ctrl-C does; AATError if its process is gone or another one."""
    entry = _entry(cache, name)
    if entry is None or entry.job.state != "running" or not alive(entry, cache):
        raise AATError(f"job={name} has no trainer at work that could be stopped; reload the page")
    assert entry.job.pid is not None
    try:
        os.killpg(entry.job.pid, signal.SIGINT)
    except ProcessLookupError:
        return  # it has just ended by itself
    except PermissionError:
        raise AATError(f"job={name} is another user's process {entry.job.pid}; stop it from their account") from None


def alive(entry: Entry, cache: Path) -> bool:
    """Whether the process that `entry` names is still its trainer: same start time, same command line."""
    if entry.job.pid is None or not entry.job.began:
        return False
    process = processes.seen(entry.job.pid)
    # The interpreter's path may differ; its arguments may not.
    words = worker.command(entry.job.task, cache)[1:]
    return process is not None and process[0] == entry.job.began and process[1].endswith(" ".join(words))


def working(cache: Path) -> bool:
    """Whether the process that works the queue off is alive."""
    return locked(_folder(cache) / ".worker")


def start_worker(cache: Path) -> None:
    """Work the queue off in another process, which survives this one and ends at once if one exists already."""
    cache = cache.resolve()
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        log = os.open(_folder(cache) / "worker.log", flags, 0o644)
    except OSError as error:
        raise _unwritable(_folder(cache), error) from None
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "aat_explore.jobs.queue", str(cache)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(log)
    threading.Thread(target=process.wait, daemon=True).start()  # or it would stay a zombie while the server lives


# --- The process that works it off -----------------------------------------------------------------------------------


def work(cache: Path) -> None:
    """Train one waiting job after another; returns when none waits, or at once if another process does so.

    Jobs left by a dead worker come first: a trainer still running is waited for, a vanished one is marked as failed.
    """
    cache = cache.resolve()
    folder = _folder(cache)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / ".worker").is_symlink():
        raise AATError(f"{folder / '.worker'} is a link; remove it")
    try:
        with FileLock(folder / ".worker", timeout=PATIENCE):
            _clean_up(cache)
            while (entry := _take(cache)) is not None:
                _train(entry, cache)
    except Timeout:
        return


def _clean_up(cache: Path) -> None:
    for entry in listing(cache).entries:
        if entry.job.state == "running":
            while alive(entry, cache):
                time.sleep(0.5)
            finished = _complete(entry.job, cache)
            reason = "" if finished else "its trainer ended while no worker watched it; start it again to go on"
            _change(entry, cache, state="done" if finished else "failed", reason=reason)


def _complete(job: Job, cache: Path) -> bool:
    try:
        return standing(job.task, cache).settled
    except AATError:
        return False


def _take(cache: Path) -> Entry | None:
    """The first waiting job, marked as running."""
    with _changing(cache):
        for entry in listing(cache).entries:
            if entry.job.state == "waiting":
                taken = Entry(entry.folder, entry.name, entry.job.model_copy(update={"state": "running"}))
                _write(taken)
                return taken
    return None


def _train(entry: Entry, cache: Path) -> None:
    try:
        with (entry.folder / f"{entry.name}.log").open("x+b") as log:  # x follows no link and overwrites nothing
            trainer = worker.Worker(entry.job.task, cache, log)
            process = processes.seen(trainer.pid)
            _change(entry, cache, pid=trainer.pid, began=process[0] if process else "")
            state, reason = trainer.outcome()
    except OSError as error:
        state, reason = "failed", f"could not be started: {error}"
    _change(entry, cache, state=state, reason=reason)


# --- Files -----------------------------------------------------------------------------------------------------------


def _folder(cache: Path) -> Path:
    return cache / "queue"


def _entry(cache: Path, name: str) -> Entry | None:
    return next((entry for entry in listing(cache).entries if entry.name == name), None)


@contextmanager
def _changing(cache: Path) -> Iterator[Path]:
    """Hold the queue's lock; AATError if the cache cannot be written."""
    folder = _folder(cache)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / ".lock").is_symlink():
            raise AATError(f"{folder / '.lock'} is a link; remove it")
        with FileLock(folder / ".lock", timeout=10):
            yield folder
    except Timeout:
        raise AATError(f"{folder} is held by another process; try again") from None
    except OSError as error:
        raise _unwritable(folder, error) from None


def _change(entry: Entry, cache: Path, **fields: Any) -> None:
    """Change fields of a job as its file has them now."""
    with _changing(cache):
        now = _entry(cache, entry.name) or entry
        _write(Entry(entry.folder, entry.name, now.job.model_copy(update=fields)))


def _read(path: Path) -> Job:
    if not JOB_FILE.fullmatch(path.name):
        raise AATError(f"queue/{path.name} is not named like a job (000001.json); move it away")
    if not path.is_file() and path.exists():
        raise AATError(f"queue/{path.name} is not a file; move it away")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise AATError(f"queue/{path.name} is too large for a job; move it away")
    try:
        return Job.model_validate_json(content)
    except ValidationError as error:
        raise AATError(f"queue/{path.name} is not a job ({one_line(error)[:300]}); move it away") from None


def _write(entry: Entry) -> None:
    write_whole(entry.folder / f"{entry.name}.json", entry.job.model_dump_json(indent=1).encode())


def _unwritable(path: Path, error: OSError) -> AATError:
    return AATError(f"{path} cannot be written ({error.strerror}); this cache can be looked at, not trained into")


if __name__ == "__main__":
    work(Path(sys.argv[1]))
