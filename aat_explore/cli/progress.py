"""Progress of a training, or of several in turn: a bar on a terminal, otherwise one line per epoch."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

from aat_explore.config import RunConfig
from aat_explore.jobs.log import Log, epoch_line
from aat_explore.records import EpochMetrics


class _Bar(Progress):
    """A progress bar that leaves room for ^C, which would otherwise wrap, so that the line stays behind twice."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """The line, short of the terminal's right edge."""
        yield _Short(self.make_tasks_table(self.tasks))


@dataclass(frozen=True)
class _Short:
    """Something to print, on a terminal that is a few columns narrower."""

    whole: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrower = options.update_width(max(1, options.max_width - len("^C") - 1))
        yield from console.render(self.whole, narrower)


class Display(Log):
    """A listener that shows progress; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        super().__init__(lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True))
        self._live = console.is_terminal
        self._progress = _Bar(*self._columns(), console=console, expand=True, disable=not self._live)
        self._task = self._progress.add_task("starting", total=None, count="", note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def began(self, config: RunConfig, epoch: int, device: torch.device) -> None:
        """Name the run and its device."""
        super().began(config, epoch, device)
        self._show("training", epoch, config.epochs)

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """Count an epoch."""
        if not self._live:
            super().finished_epoch(metrics)
        note = epoch_line(metrics, self._epochs).split("  ", 1)[1].rsplit("  drawn", 1)[0]
        self._show("training", metrics.epoch, self._epochs, note)

    def evaluating(self, share: float) -> None:
        """Move the bar."""
        if not self._live:
            super().evaluating(share)
        percent = round(100 * share)
        self._progress.update(
            self._task, description="attacking", completed=percent, total=100, count=f"{percent}%", note=""
        )

    def _columns(self) -> list[ProgressColumn]:
        return [
            SpinnerColumn(),
            _text("{task.description}"),
            BarColumn(bar_width=16),
            _text("{task.fields[count]}"),
            TimeRemainingColumn(),
            _rest("{task.fields[note]}"),
        ]

    def _show(self, description: str, done: int, epochs: int, note: str = "") -> None:
        count = f"{done}/{epochs}"
        self._progress.update(self._task, description=description, completed=done, total=epochs, count=count, note=note)


class SeriesDisplay(Display):
    """`Display` for several runs in turn: which of them is on, and the time left for all.

    `on_first_epoch` is called once, when the first epoch of the first run is in the cache.
    """

    def __init__(
        self, console: Console, configs: Sequence[RunConfig], on_first_epoch: Callable[[], object] = lambda: None
    ) -> None:
        self._work = Work([config.epochs for config in configs])
        self._number, self._name = 0, ""
        self._on_first_epoch: Callable[[], object] | None = on_first_epoch
        super().__init__(console)

    def began(self, config: RunConfig, epoch: int, device: torch.device) -> None:
        """Name the run, its place among all, and the time left."""
        self._number += 1
        self._name = f"run {self._number} of {self._work.runs}, n = {config.num_perturbed}"
        self._work.began(epoch)
        if not self._live:
            self._say(f"{self._name}{self._left(', ')}")
        super().began(config, epoch, device)
        if epoch > 0:
            self._announce()

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """Count an epoch."""
        self._work.trained(metrics.epoch)
        super().finished_epoch(metrics)
        self._announce()

    def evaluating(self, share: float) -> None:
        """Move the bar."""
        self._work.tested(share)
        super().evaluating(share)
        self._progress.update(self._task, description=f"{self._name}: testing", note=self._left())

    def _columns(self) -> list[ProgressColumn]:
        return [
            SpinnerColumn(),
            _text("{task.description}"),
            BarColumn(bar_width=16),
            _text("{task.fields[count]}"),
            _rest("{task.fields[note]}"),
        ]

    def _show(self, description: str, done: int, epochs: int, note: str = "") -> None:
        super()._show(f"{self._name}: {description}", done, epochs, self._left())

    def _left(self, before: str = "") -> str:
        if (seconds := self._work.seconds_left()) is None:
            return ""
        minutes, rest = divmod(round(seconds), 60)
        return f"{before}{minutes}:{rest:02} left for all"

    def _announce(self) -> None:
        if self._on_first_epoch is not None:
            announce, self._on_first_epoch = self._on_first_epoch, None
            announce()


class Work:
    """The work of several runs in epochs, a run's test counting as much as its training; and the seconds it takes."""

    def __init__(self, epochs: Sequence[int], clock: Callable[[], float] = time.monotonic) -> None:
        self._epochs, self._clock = epochs, clock
        self._at = -1  # of the run that is on
        self._here = 0.0  # done of that run
        self._begun: float | None = None
        self._skipped = 0.0  # done before this session

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return len(self._epochs)

    def began(self, epoch: int) -> None:
        """The next run begins, `epoch` epochs of which are done already."""
        if self._begun is None:
            self._begun = self._clock()
        if self._at >= 0:  # of a test that was there already, nothing was heard
            self._skipped += 2 * self._epochs[self._at] - self._here
        self._at += 1
        self._here = epoch
        self._skipped += epoch

    def trained(self, epoch: int) -> None:
        """`epoch` epochs of the run are done."""
        self._here = epoch

    def tested(self, share: float) -> None:
        """This share of the run's test is done."""
        self._here = self._epochs[self._at] * (1 + share)

    def seconds_left(self) -> float | None:
        """Seconds until all runs are done, at the pace of this session; None before its first epoch."""
        done = 2 * sum(self._epochs[: max(self._at, 0)]) + self._here
        here = done - self._skipped
        if self._begun is None or here <= 0:
            return None
        return (2 * sum(self._epochs) - done) * (self._clock() - self._begun) / here


def _text(format_: str) -> TextColumn:
    return TextColumn(format_, table_column=Column(no_wrap=True))


def _rest(format_: str) -> TextColumn:
    """A column for the rest of the line, cut to it: a bar of two lines is left behind when it moves."""
    return TextColumn(format_, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1))
