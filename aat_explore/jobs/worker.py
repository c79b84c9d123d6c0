"""The only way a training process is started, and what it does.

`python -m aat_explore.jobs.worker --cache-dir=CACHE TASK` does what remains of one `Task`, given as JSON, and exits:
with 0; with 2 and a last line that says what to fix; or with 130 after SIGINT, keeping every finished epoch.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from aat_explore.errors import in_one_line
from aat_explore.jobs.job import Task
from aat_explore.places import Place
from aat_explore.states import State

INTERRUPTED = 130
MOST_BYTES = 65_536  # read from the end of a log


# --- Who starts one --------------------------------------------------------------------------------------------------


def command(task: Task, cache: Path) -> list[str]:
    """Return the command line of the process that does a task; a task always has the same, which identifies it."""
    fields = json.dumps(task.model_dump(mode="json", exclude_defaults=True))
    return [sys.executable, "-m", "aat_explore.jobs.worker", f"--cache-dir={cache.resolve()}", fields]


class Worker:
    """A process that does one task and ends; what it prints goes to `log`, which is open for writing and reading.

    It leads a new session, so that Ctrl-C in a terminal reaches it only through the process that started it. Raises
    OSError if it cannot be started.
    """

    def __init__(self, task: Task, cache: Path, log: IO[bytes]) -> None:
        self.run_id = task.config.run_id
        self._log = log
        threads = {} if task.threads is None else {"OMP_NUM_THREADS": str(task.threads)}
        self._process = subprocess.Popen(
            command(task, cache),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | threads | {"PYTHONUNBUFFERED": "1"},
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def outcome(self) -> tuple[State, str]:
        """Wait for its end; return `done`, `stopped`, or `failed` and why, in one line."""
        code = self._process.wait()
        if code == 0:
            return "done", ""
        if code in (INTERRUPTED, -signal.SIGINT):
            return "stopped", ""
        if code < 0:
            return "failed", f"was ended by {signal.Signals(-code).name}"
        lines = last_lines(self._log, 1)
        return "failed", lines[0] if lines else f"ended with code {code}"

    def interrupt(self) -> None:
        """Interrupt it, as Ctrl-C does; does nothing if it has ended."""
        self._process.send_signal(signal.SIGINT)

    def end(self, patience: float) -> None:
        """Wait up to `patience` seconds for its end, then kill it; committed epochs stay."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def last_lines(log: IO[bytes], most: int) -> list[str]:
    """The last lines of a log that are not empty, without control characters."""
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - MOST_BYTES))
    text = log.read(MOST_BYTES).decode(errors="replace")
    lines = ["".join(filter(str.isprintable, line))[:500].rstrip() for line in text.splitlines()]
    return [line for line in lines if line][-most:]


# --- What it does ----------------------------------------------------------------------------------------------------


def do(task: Task, cache: Path) -> None:
    """Do what remains of training, testing and checking one run; raises what these raise."""
    from aat_explore.experiments import checking  # torch, which only the worker needs
    from aat_explore.experiments import run as experiment
    from aat_explore.jobs.log import Log

    log, place = Log(), Place(cache, task.device, task.threads)
    run = experiment.train(task.config, **place.arguments(), evaluate_with=task.test, listener=log)
    if task.check_images:
        checking.check(run.id, **place.arguments(), images=task.check_images, listener=log)
    print(f"in {run.path}")


def main(words: Sequence[str] | None = None) -> int:
    """Do the task given on the command line, and return the exit code."""
    # `aat grid &` in a script ignores SIGINT, and its children inherit that; a worker must handle it all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="aat_explore.jobs.worker", description=__doc__)
    parser.add_argument("--cache-dir", type=Path, required=True, help="the cache folder")
    parser.add_argument("task", type=Task.model_validate_json, help="a Task as JSON")
    arguments = parser.parse_args(words)
    try:
        do(arguments.task, arguments.cache_dir)
    except KeyboardInterrupt:
        print("stopped; the same task resumes after the last finished epoch", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if (reason := in_one_line(error)) is None:
            raise
        print(reason, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
