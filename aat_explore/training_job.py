"""One training asked for, and the command that does it; built from a checked config alone."""

import shlex
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from aat_explore import datasets
from aat_explore.config import RunConfig, Values
from aat_explore.errors import AATError
from aat_explore.presets import preset_of, train_flags

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


def check_num_perturbed(config: RunConfig, cache_dir: Path | str | None) -> None:
    """AATError if the run is to perturb more samples than its data set has, or the data set is unknown."""
    n, num = config.num_perturbed, datasets.num_train(config.dataset, cache_dir=cache_dir)
    if isinstance(n, int) and n > num:
        raise AATError(f'num_perturbed={n} exceeds num_train={num}; use "all" for full adversarial training')


def command_line(job: Job) -> str:
    """The words after `aat` as they are typed into a shell."""
    return shlex.join(train_words(job))


def train_words(job: Job) -> list[str]:
    """The words after `aat` that train this job: the preset of its data set, and each field that differs from it."""
    words = ["train", f"--preset={preset_of(job.config.dataset)}"]
    for flag, values in train_flags(job.config):
        words += [f"{flag}={values[0]}"] if len(values) == 1 else [flag, *values]
    if job.device is not None:
        words.append(f"--device={job.device}")
    if job.threads is not None:
        words.append(f"--threads={job.threads}")
    return words if job.evaluate else [*words, "--no-evaluate"]


def trainer_command(job: Job, cache: Path) -> list[str]:
    """The process that trains this job."""
    return [sys.executable, "-c", TRAINER, *train_words(job), f"--cache-dir={cache}"]
