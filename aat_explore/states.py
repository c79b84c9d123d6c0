"""How a run stands: how far it is, whether a process is at work on it, and whether all that is wanted is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from aat_explore.config import EvaluationConfig, RunConfig
from aat_explore.records import CheckReport, Evaluation

State = Literal["waiting", "running", "done", "failed", "stopped"]


class Run(Protocol):
    """What is read of a cached run; `store.Run` is such."""

    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def showcase(self) -> bool: ...  # noqa: D102
    def evaluations(self) -> Sequence[Evaluation]: ...  # noqa: D102
    def checks(self) -> Sequence[CheckReport]: ...  # noqa: D102


@dataclass(frozen=True)
class Standing:
    """How one run stands.

    `state`: `done` if all that is wanted is there, else `running` if a process is at work on the run, else `waiting`,
    begun or not. Who runs jobs also knows that one `failed`, with the `reason`, or was `stopped`. `epoch`: epochs
    committed. `busy`: a process is at work on the run, though it may be done. `seconds_left` of training; None where
    nothing like it was measured yet.
    """

    config: RunConfig
    state: State
    epoch: int
    seconds_left: float | None = None
    reason: str = ""
    busy: bool = False
    showcase: bool = False

    @property
    def trained(self) -> bool:
        """Whether all epochs are committed."""
        return self.epoch >= self.config.epochs

    @property
    def settled(self) -> bool:
        """Whether there is nothing to do: the run is done, or a trained one of the showcase, which is only read."""
        return self.state == "done" or (self.showcase and self.trained)

    @property
    def activity(self) -> str:
        """The state, and of a running job what it does: `training` or `testing`."""
        return self.state if self.state != "running" else "testing" if self.trained else "training"

    @property
    def status(self) -> str:
        """What a list of runs says: `training`, `showcase`, `complete` or `cut off`."""
        if self.busy:
            return "training"
        if self.showcase:
            return "showcase" if self.trained else "showcase, cut off"
        return "complete" if self.trained else "cut off"


def standing(
    config: RunConfig,
    run: Run | None,
    *,
    busy: bool,
    test: EvaluationConfig | None = None,
    num_test: int = 0,
    check_images: int = 0,
) -> Standing:
    """Say how the run of `config` stands by what is on record; `run` is None where it has no epoch yet.

    All its epochs are wanted; of the last, `test` on the first images of a split of `num_test`, if it is not None, and
    a report of checks, if `check_images` is not 0. `busy`: whether a process is at work on it.
    """
    if run is None:
        return Standing(config, "waiting", 0)
    done = (
        run.epoch >= config.epochs
        and (test is None or _tested(run, test, num_test))
        and (not check_images or bool(run.checks()))
    )
    state: State = "done" if done else "running" if busy else "waiting"
    return Standing(config, state, run.epoch, busy=busy, showcase=run.showcase)


def _tested(run: Run, test: EvaluationConfig, num_test: int) -> bool:
    """Whether the run's last epoch has an evaluation of this kind on as many images."""
    wanted = {"kind": test.attack, "curve": test.curve, "steps": test.num_steps}
    return any(
        made.epoch == run.epoch
        and made.split == test.split
        and made.num_images == min(test.images or num_test, num_test)
        and all(made.attack.get(name, value) == value for name, value in wanted.items())
        for made in run.evaluations()
    )
