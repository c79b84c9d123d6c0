"""What a training prints where there is no terminal: a line an epoch."""

import time
from collections.abc import Callable

import torch

from aat_explore.config import RunConfig
from aat_explore.experiments.run import Listener
from aat_explore.records import EpochMetrics

SECONDS_BETWEEN = 10  # two lines on how far an evaluation is


class Log(Listener):
    """A listener that says what it hears, a line at a time."""

    def __init__(self, say: Callable[[str], object] = print) -> None:
        self._say = say
        self._epochs = 0
        self._last_said = 0.0

    def began(self, config: RunConfig, epoch: int, device: torch.device) -> None:
        """Name the run and its device."""
        self._epochs = config.epochs
        begun = f", goes on after epoch {epoch}" if 0 < epoch < config.epochs else ""
        done = ", is complete already" if epoch >= config.epochs else ""
        threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
        self._say(f"{config.run_id} on {device}{threads}{begun}{done}")

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """Say how an epoch went."""
        self._say(epoch_line(metrics, self._epochs))

    def evaluating(self, share: float) -> None:
        """Say at most every ten seconds how far an evaluation is."""
        now = time.monotonic()
        if share >= 1 or now - self._last_said > SECONDS_BETWEEN:
            self._last_said = now
            self._say(f"attacked {round(100 * share)} %")


def epoch_line(metrics: EpochMetrics, epochs: int) -> str:
    """Say in one line how an epoch went."""
    seconds = sum(getattr(metrics, name) for name in EpochMetrics.model_fields if name.startswith("seconds_"))
    return (
        f"epoch {metrics.epoch}/{epochs}  loss {metrics.loss:.3f}  clean {metrics.clean_accuracy_val:.1%}  "
        f"robust {metrics.robust_accuracy_val:.1%}  drawn {metrics.num_drawn}  {seconds:.1f} s"
    )
