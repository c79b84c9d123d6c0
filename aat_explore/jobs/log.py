"""What a training prints without a terminal: one line per epoch."""

import time
from collections.abc import Callable

import torch

from aat_explore.config import RunConfig
from aat_explore.experiments.run import Listener
from aat_explore.records import EpochMetrics

SECONDS_BETWEEN = 10  # between two lines on an evaluation's progress


class Log(Listener):
    """A listener that prints events, one line each."""

    def __init__(self, say: Callable[[str], object] = print) -> None:
        self._say = say
        self._epochs = 0
        self._last_line_at = 0.0

    def began(self, config: RunConfig, epoch: int, device: torch.device) -> None:
        """Name the run and its device."""
        self._epochs = config.epochs
        begun = f", resumes after epoch {epoch}" if 0 < epoch < config.epochs else ""
        done = ", is complete already" if epoch >= config.epochs else ""
        threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
        self._say(f"{config.run_id} on {device}{threads}{begun}{done}")

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """Print an epoch's results."""
        self._say(epoch_line(metrics, self._epochs))

    def evaluating(self, share: float) -> None:
        """Print an evaluation's progress, at most every ten seconds."""
        now = time.monotonic()
        if share >= 1 or now - self._last_line_at > SECONDS_BETWEEN:
            self._last_line_at = now
            self._say(f"attacked {round(100 * share)}%")


def epoch_line(metrics: EpochMetrics, epochs: int) -> str:
    """Return an epoch's results in one line."""
    seconds = sum(getattr(metrics, name) for name in EpochMetrics.model_fields if name.startswith("seconds_"))
    return (
        f"epoch {metrics.epoch}/{epochs}  loss {metrics.loss:.3f}  clean {metrics.clean_accuracy_val:.1%}  "
        f"robust {metrics.robust_accuracy_val:.1%}  drawn {metrics.num_drawn}  {seconds:.1f} s"
    )
