"""One training asked for, and the command that does it; built from a checked config alone."""

import shlex
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from aat_explore import command_lines
from aat_explore.config import RunConfig, Values

State = Literal["waiting", "running", "done", "failed", "stopped"]
# Python ignores SIGINT if whoever started it did, as a shell does with `app &`: the trainer must hear the stop button.
TRAINER = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from aat_explore.cli import main; sys.exit(main())"
)


class Job(Values):
    """One training asked for, as its file holds it."""

    config: RunConfig
    evaluate: bool = True
    device: Literal["cuda", "mps", "cpu"] | None = None
    threads: int | None = Field(None, ge=1, le=4096)
    state: State = "waiting"
    pid: int | None = Field(None, ge=2, description="The trainer's process, which leads a group of its own.")
    began: str = Field("", max_length=200, description="When that process began: another one may get its number.")
    reason: str = Field("", max_length=2000, description="Why it failed, in one line.")


def train_words(job: Job) -> str:
    """The words after `aat` that train this job."""
    return command_lines.train(job.config, device=job.device, threads=job.threads, evaluate=job.evaluate)


def trainer_command(job: Job, cache: Path) -> list[str]:
    """The process that trains this job."""
    return [sys.executable, "-c", TRAINER, *shlex.split(train_words(job)), f"--cache-dir={cache}"]
