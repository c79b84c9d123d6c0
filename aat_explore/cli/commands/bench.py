"""`aat bench` and `aat fidelity`: the cost of training, and how close the cheap ways of scoring come."""

import dataclasses
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import tyro
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from aat_explore.cli.console import Console
from aat_explore.cli.flags import Command, PlaceFlags, Where, optional
from aat_explore.errors import AATError

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import BaseModel

QUICK: dict[str, Any] = {"dataset": "fashion-mini", "samples": 600, "images": 60, "rounds": 5}


@dataclasses.dataclass
class Bench(Command):
    """Time an epoch against alternatives one could write or install, and write a table and JSON."""

    dataset: Annotated[str, tyro.conf.arg(help="Data set of the training images.")] = "fashion-mnist"
    samples: Annotated[int | None, optional("INT", "T, its first samples; None = all.")] = None
    images: Annotated[int, tyro.conf.arg(help="Test images of the robustness curves.")] = 2000
    rounds: Annotated[int, tyro.conf.arg(help="Timed rounds; medians are of these.")] = 5
    quick: Annotated[
        bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="fashion-mini, 600 samples: under a minute.")
    ] = False
    out: Annotated[Path | None, optional("PATH", "The JSON file; None = bench/ in the cache.")] = None
    plot: Annotated[Path | None, optional("PATH", "Draw a chart into this .svg, .png or .html file.")] = None
    place: Where = dataclasses.field(default_factory=PlaceFlags)

    def run(self) -> int:
        """Measure."""
        return bench(self)


@dataclasses.dataclass
class Fidelity(Command):
    """Compare the distributions of cheap ways of scoring with the paper's, over epochs, attacks and seeds."""

    dataset: Annotated[str, tyro.conf.arg(help="Data set.")] = "fashion-mini"
    num_perturbed: Annotated[int, tyro.conf.arg(help="n.")] = 1000
    epsilon: Annotated[float, tyro.conf.arg(help="ε of training and of the final PGD-40.")] = 0.1
    epochs: Annotated[int, tyro.conf.arg(help="Epochs of each run.")] = 15
    seeds: Annotated[int, tyro.conf.arg(help="Runs of each kind.")] = 3
    out: Annotated[Path | None, optional("PATH", "The JSON file; None = bench/ in the cache.")] = None
    place: Where = dataclasses.field(default_factory=PlaceFlags)

    def run(self) -> int:
        """Compare."""
        return fidelity(self)


def bench(asked: Bench) -> int:
    """Measure, print the tables, write the JSON and, if asked for, the chart."""
    # torch and Altair, which other commands do not need
    from aat_explore.bench import run as measurement
    from aat_explore.bench import tables as speed
    from aat_explore.views import charts

    if asked.plot is not None:
        charts.files.check_picture(asked.plot)
    if asked.quick:
        asked = dataclasses.replace(asked, **QUICK)

    with _Steps() as steps:
        report = measurement.bench(
            asked.dataset,
            num_samples=asked.samples,
            num_images=asked.images,
            rounds=asked.rounds,
            place=asked.place,
            progress=steps,
        )
    path = _write(report, asked.out or _file(asked.place.cache_dir, "speed"))
    console = Console()
    console.print(speed.setting(report), highlight=False, soft_wrap=True)
    for frame in (speed.epochs(report), speed.curves(report), speed.targets(report)):
        _print(frame)
    for name, reason in report.left_out.items():
        console.print(f"left out {name}: {reason}", highlight=False, markup=False, soft_wrap=True)
    if asked.plot is not None:
        charts.files.save(charts.runs.speed(speed.epochs(report)), asked.plot)
        console.print(f"chart in {asked.plot}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"in {path}", highlight=False, markup=False, soft_wrap=True)
    return 0


def fidelity(asked: Fidelity) -> int:
    """Train, compare, print the table and write the JSON."""
    from aat_explore.bench import run as measurement
    from aat_explore.bench import tables as speed

    with _Steps() as steps:
        report = measurement.fidelity(
            asked.dataset,
            num_perturbed=asked.num_perturbed,
            epsilon=asked.epsilon,
            epochs=asked.epochs,
            seeds=asked.seeds,
            place=asked.place,
            progress=steps,
        )
    path = _write(report, asked.out or _file(asked.place.cache_dir, "scoring"))
    console = Console()
    _print(speed.fidelity(report))
    console.print(f"in {path}", highlight=False, markup=False, soft_wrap=True)
    return 0


class _Steps:
    """A bar on a terminal; otherwise one line per minute."""

    def __init__(self) -> None:
        self._console = console = Console(stderr=True)
        self._last_line_at = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(), console=console,
            disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, done: float, total: float, part: str = "") -> None:
        self._progress.update(self._task, description=part, completed=done, total=total)
        if not self._console.is_terminal and time.monotonic() - self._last_line_at > 60:
            self._last_line_at = time.monotonic()
            self._console.print(f"{done:g} of {total:g}: {part}", highlight=False, soft_wrap=True)


def _file(cache_dir: Path, what: str) -> Path:
    return cache_dir / "bench" / f"{what}-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"


def _write(report: "BaseModel", path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise AATError(f"{path} cannot be written ({error.strerror}); set another --out") from None
    return path


def _print(frame: "pd.DataFrame") -> None:
    import pandas as pd

    from aat_explore.bench import tables as speed
    from aat_explore.cli.output import print_frame

    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    print_frame(frame, lambda name, value: speed.cell(value), left=texts)
