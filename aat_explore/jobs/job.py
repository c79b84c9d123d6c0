"""One training asked for: the `Task` that a worker does, and the `Job` that the queue keeps of it."""

from typing import Literal

from pydantic import Field

from aat_explore.config import EvaluationConfig, RunConfig, Values
from aat_explore.states import State

Device = Literal["cuda", "mps", "cpu"]


class Task(Values):
    """One run, and what is wanted of it: all its epochs, a test of the last, and checks; None and 0 for neither.

    `device` and `threads` are those of `experiment.train`.
    """

    config: RunConfig
    test: EvaluationConfig | None = EvaluationConfig()
    check_images: int = 0
    device: str | None = None
    threads: int | None = None


class Job(Values):
    """One training asked for, as its file in the queue holds it."""

    config: RunConfig
    evaluate: bool = True
    device: Device | None = None
    threads: int | None = Field(None, ge=1, le=4096)
    state: State = "waiting"
    pid: int | None = Field(None, ge=2, description="The worker's process, which leads a group of its own.")
    began: str = Field("", max_length=200, description="When that process began: another one may get its number.")
    reason: str = Field("", max_length=2000, description="Why it failed, in one line.")

    @property
    def task(self) -> Task:
        """What a worker is to do for it."""
        test = EvaluationConfig() if self.evaluate else None
        return Task(config=self.config, test=test, device=self.device, threads=self.threads)
