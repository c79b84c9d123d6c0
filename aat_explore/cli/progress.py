"""Progress of a training: a bar on a terminal, otherwise one line per epoch."""

from types import TracebackType
from typing import Self

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from aat_explore.config import RunConfig
from aat_explore.jobs.log import Log, epoch_line
from aat_explore.records import EpochMetrics


class Display(Log):
    """A listener that shows progress; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        super().__init__(lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True))
        self._live = console.is_terminal
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not self._live,
        )
        self._task = self._progress.add_task("starting", total=None, note="")

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
        self._progress.update(self._task, description="training", total=config.epochs, completed=epoch)

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """Count an epoch."""
        if not self._live:
            super().finished_epoch(metrics)
        note = epoch_line(metrics, self._epochs).split("  ", 1)[1].rsplit("  drawn", 1)[0]
        self._progress.update(self._task, completed=metrics.epoch, note=note)

    def evaluating(self, share: float) -> None:
        """Move the bar."""
        if not self._live:
            super().evaluating(share)
        percent = round(100 * share)
        self._progress.update(self._task, description="attacking, %", completed=percent, total=100, note="")
