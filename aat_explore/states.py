"""How a run stands: its progress, whether a process works on it, and whether everything asked for is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from aat_explore.config import EvaluationConfig, RunConfig
from aat_explore.records import CheckReport, Evaluation

State = Literal["waiting", "running", "done", "failed", "stopped"]


class Run(Protocol):
    """The part of a cached run that is read here, as `store.Run` has it."""

    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def showcase(self) -> bool: ...  # noqa: D102
    def evaluations(self) -> Sequence[Evaluation]: ...  # noqa: D102
    def checks(self) -> Sequence[CheckReport]: ...  # noqa: D102


@dataclass(frozen=True)
class Standing:
    """How one run stands.

    `state`: `done` if everything asked for is there, else `running` if a process works on the run, else `waiting`, even
    if begun. `jobs` adds `failed`, with the `reason`, and `stopped`. `epoch`: epochs committed. `busy`: whether
    a process works on the run, even a done one. `seconds_left`: of training; None if nothing comparable was measured.
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
        """Whether nothing remains to do: the run is done, or is a trained one of the showcase, which is read-only."""
        return self.state == "done" or (self.showcase and self.trained)

    @property
    def activity(self) -> str:
        """The state, or for a running job what it is doing: `training` or `testing`."""
        return self.state if self.state != "running" else "testing" if self.trained else "training"

    @property
    def status(self) -> str:
        """The label in a list of runs: `training`, `showcase`, `complete` or `cut off`."""
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
    """Return how the run of `config` stands by its records; `run` is None if it has no epoch yet.

    It is done when all epochs are committed, the last has been tested by `test` (if not None) on a split of `num_test`
    images, and there is a report of checks (if `check_images` is not 0). `busy`: whether a process works on it.
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
    settings = {"kind": test.attack, "curve": test.curve, "steps": test.num_steps}
    return any(
        evaluation.epoch == run.epoch
        and evaluation.split == test.split
        and evaluation.num_images == min(test.images or num_test, num_test)
        and all(evaluation.attack.get(name, value) == value for name, value in settings.items())
        for evaluation in run.evaluations()
    )
