"""`aat bench` and `aat fidelity`: what it costs, and how near the cheap ways come; torch is imported when they run."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from aat_explore.errors import AATError
from aat_explore.views import charts, speed

if TYPE_CHECKING:
    from aat_explore.cli.arguments import Bench, Fidelity

QUICK_SAMPLES, QUICK_IMAGES, QUICK_ROUNDS = 600, 60, 5


def bench(asked: Bench) -> int:
    """Measure, print the tables, write the JSON and, if asked for, the chart."""
    if asked.plot is not None:
        charts.check_picture(asked.plot)
    from aat_explore import measurement

    with _Steps() as steps:
        report = measurement.bench(
            "fashion-mini" if asked.quick else asked.dataset,
            num_samples=QUICK_SAMPLES if asked.quick else asked.samples,
            num_images=QUICK_IMAGES if asked.quick else asked.images,
            rounds=QUICK_ROUNDS if asked.quick else asked.rounds,
            cache_dir=asked.cache_dir,
            device=asked.device,
            threads=asked.threads,
            progress=steps,
        )
    path = _write(report, asked.out or _place(asked.cache_dir, "speed"))
    console = Console()
    console.print(speed.setting(report), highlight=False, soft_wrap=True)
    for frame in (speed.epochs(report), speed.curves(report), speed.targets(report)):
        _print(console, frame)
    for name, reason in report.left_out.items():
        console.print(f"left out {name}: {reason}", highlight=False, markup=False, soft_wrap=True)
    if asked.plot is not None:
        charts.save(charts.speed(speed.epochs(report)), asked.plot)
        console.print(f"chart in {asked.plot}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"in {path}", highlight=False, markup=False, soft_wrap=True)
    return 0


def fidelity(asked: Fidelity) -> int:
    """Train, compare, print the table and write the JSON."""
    from aat_explore import measurement

    with _Steps() as steps:
        report = measurement.fidelity(
            asked.dataset,
            num_perturbed=asked.num_perturbed,
            epsilon=asked.epsilon,
            epochs=asked.epochs,
            seeds=asked.seeds,
            cache_dir=asked.cache_dir,
            device=asked.device,
            threads=asked.threads,
            progress=steps,
        )
    path = _write(report, asked.out or _place(asked.cache_dir, "scoring"))
    console = Console()
    _print(console, speed.fidelity(report))
    console.print(f"in {path}", highlight=False, markup=False, soft_wrap=True)
    return 0


class _Steps:
    """A bar on a terminal; a line a minute elsewhere."""

    def __init__(self) -> None:
        self._console = console = Console(stderr=True)
        self._said = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(), console=console,
            disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> _Steps:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, name: str, done: int, total: int) -> None:
        self._progress.update(self._task, description=name, completed=done, total=total)
        if not self._console.is_terminal and time.monotonic() - self._said > 60:
            self._said = time.monotonic()
            self._console.print(f"{done} of {total}: {name}", highlight=False, soft_wrap=True)


def _place(cache_dir: Path, what: str) -> Path:
    return cache_dir / "bench" / f"{what}-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"


def _write(report: BaseModel, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise AATError(f"{path} cannot be written ({error.strerror}); set another --out") from None
    return path


def _print(console: Console, frame: pd.DataFrame) -> None:
    table = Table()
    for name in frame.columns:
        table.add_column(name, justify="right" if pd.api.types.is_numeric_dtype(frame[name]) else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*[escape(speed.cell(value)) for value in row])
    (console if console.is_terminal else Console(width=200)).print(table)
