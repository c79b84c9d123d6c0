"""Progress of a training: a bar on a terminal, one plain line an epoch elsewhere."""

import time
from types import TracebackType
from typing import Self

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from aat_explore.config import RunConfig
from aat_explore.experiment import Listener
from aat_explore.records import EpochMetrics


def epoch_line(metrics: EpochMetrics, epochs: int) -> str:
    """Say in one line how an epoch went."""
    seconds = sum(getattr(metrics, name) for name in EpochMetrics.model_fields if name.startswith("seconds_"))
    return (
        f"epoch {metrics.epoch}/{epochs}  loss {metrics.loss:.3f}  clean {metrics.clean_accuracy_val:.1%}  "
        f"robust {metrics.robust_accuracy_val:.1%}  drawn {metrics.num_drawn}  {seconds:.1f} s"
    )


class Display(Listener):
    """A listener that shows what it hears; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
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
        self._epochs = 0
        self._said = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def began(self, config: RunConfig, epoch: int, device: torch.device) -> None:
        """Name the run and its device."""
        self._epochs = config.epochs
        begun = f", goes on after epoch {epoch}" if 0 < epoch < config.epochs else ""
        done = ", is complete already" if epoch >= config.epochs else ""
        threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
        self._console.print(f"{config.run_id} on {device}{threads}{begun}{done}", highlight=False, soft_wrap=True)
        self._progress.update(self._task, description="training", total=config.epochs, completed=epoch)

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """Count an epoch."""
        line = epoch_line(metrics, self._epochs)
        if not self._live:
            self._console.print(line, highlight=False, soft_wrap=True)
        note = line.split("  ", 1)[1].rsplit("  drawn", 1)[0]
        self._progress.update(self._task, completed=metrics.epoch, note=note)

    def evaluating(self, share: float) -> None:
        """Move the bar; elsewhere say at most every ten seconds how far it is."""
        percent = round(100 * share)
        self._progress.update(self._task, description="attacking, %", completed=percent, total=100, note="")
        now = time.monotonic()
        if not self._live and (share >= 1 or now - self._said > 10):
            self._said = now
            self._console.print(f"attacked {percent} %", highlight=False)
