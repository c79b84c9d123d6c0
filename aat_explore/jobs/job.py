"""One requested training: the `Task` for a worker, and the `Job` that the queue keeps."""

from typing import Literal

from pydantic import Field

from aat_explore.config import EvaluationConfig, RunConfig, Values
from aat_explore.states import State

Device = Literal["cuda", "mps", "cpu"]


class Task(Values):
    """One run to train to its end, with a test (None: no test) and checks (0: none) of its last epoch.

    `device` and `threads` are those of `experiment.train`.
    """

    config: RunConfig
    test: EvaluationConfig | None = EvaluationConfig()
    check_images: int = 0
    device: str | None = None
    threads: int | None = None


class Job(Values):
    """One requested training, as stored in its file in the queue."""

    config: RunConfig
    evaluate: bool = True
    check_images: int = Field(0, ge=0, description="Images of its checks; 0: none.")
    device: Device | None = None
    threads: int | None = Field(None, ge=1, le=4096)
    state: State = "waiting"
    pid: int | None = Field(None, ge=2, description="The worker's process, which leads a process group.")
    began: str = Field("", max_length=200, description="When that process began, because process ids are reused.")
    reason: str = Field("", max_length=2000, description="Why it failed, in one line.")

    @property
    def task(self) -> Task:
        """The task for its worker."""
        test = EvaluationConfig() if self.evaluate else None
        return Task(
            config=self.config,
            test=test,
            check_images=self.check_images,
            device=self.device,
            threads=self.threads,
        )
