"""`aat grid`, a table that moves on a terminal, a line a run elsewhere; and `aat report` on what it trained."""

import dataclasses
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import tyro
from rich.console import Console
from rich.live import Live
from rich.table import Table

from aat_explore import readings
from aat_explore.cli import printable
from aat_explore.cli.flags import CacheDir, Command, Device, Threads, default_cache
from aat_explore.config import EvaluationConfig, checked
from aat_explore.errors import AATError
from aat_explore.jobs import grid as grids
from aat_explore.states import Standing
from aat_explore.store import Store


@dataclasses.dataclass
class Grid(Command):
    """Train, test and check all runs of the paper's figures under one reading; what is done is not done again."""

    name: Annotated[Literal[*readings.names()], tyro.conf.Positional, tyro.conf.arg(help="Which runs.")]  # type: ignore[valid-type]
    epochs: Annotated[int | None, tyro.conf.arg(help="Epochs of each run; None = the preset's.")] = None
    seeds: Annotated[int, tyro.conf.arg(help="Runs of each kind.")] = 3
    n: Annotated[tuple[int | Literal["all"], ...] | None, tyro.conf.arg(help="n; None = the grid's own.")] = None
    norm_powers: Annotated[tuple[float, ...] | None, tyro.conf.arg(help="Powers of p; None = the grid's own.")] = None
    num_recorded: Annotated[int | None, tyro.conf.arg(help="x′ kept of each epoch; None = the preset's.")] = None
    jobs: Annotated[int, tyro.conf.arg(help="Runs at a time, the cores divided among them.")] = 1
    images: Annotated[int | None, tyro.conf.arg(help="Test images of PGD-40; None = all.")] = None
    check_images: Annotated[int, tyro.conf.arg(help="Images of `aat check`; 0 = no checks.")] = 1000
    dry: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Only say what would be done.")] = False
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    device: Device = None
    threads: Threads = None

    def run(self) -> int:
        """Train them."""
        return grid(self)


@dataclasses.dataclass
class Report(Command):
    """Write what the paper's claims and figures come to, by the runs in the cache, into one HTML file."""

    name: Annotated[Literal[*readings.names()], tyro.conf.Positional, tyro.conf.arg(help="Which runs.")]  # type: ignore[valid-type]
    out: Annotated[Path | None, tyro.conf.arg(help="The HTML file; None = report-NAME.html in the cache.")] = None
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)

    def run(self) -> int:
        """Write it."""
        return report(self.name, self.out, self.cache_dir)


def grid(asked: Grid) -> int:
    """Do what is left of a grid; 1 if a run failed or was stopped."""
    configs = readings.configs(
        asked.name,
        seeds=asked.seeds,
        n=asked.n,
        norm_powers=asked.norm_powers,
        epochs=asked.epochs,
        num_recorded=asked.num_recorded,
    )
    if asked.check_images < 0:
        raise AATError(f"check_images={asked.check_images} is negative; use 0 for no checks")
    work = grids.Work(
        cache_dir=asked.cache_dir,
        test=checked(EvaluationConfig, {"images": asked.images}),
        check_images=asked.check_images,
        device=asked.device,
        threads=asked.threads,
    )
    console = Console()
    if asked.dry:
        console.print(_table(grids.standings(configs, work), asked.jobs))
        return 0
    live = Live(console=console, refresh_per_second=2) if console.is_terminal else nullcontext()
    said: set[str] = set()
    with live as table:

        def hear(found: list[Standing]) -> None:
            if table is not None:
                table.update(_table(found, asked.jobs))
                return
            for one in found:
                if one.state in ("done", "failed", "stopped") and one.config.run_id not in said:
                    said.add(one.config.run_id)
                    console.print(_line(one, found, asked.jobs), highlight=False, markup=False, soft_wrap=True)

        found = grids.run(configs, work, jobs=asked.jobs, hear=hear)
        hear(found)
    unfinished = [one for one in found if one.state in ("failed", "stopped")]
    for one in unfinished:
        reason = f": {one.reason}" if one.reason else ""
        console.print(
            printable(f"{one.config.run_id} {one.state}{reason}"), highlight=False, markup=False, soft_wrap=True
        )
    return int(bool(unfinished))


def report(name: str, out: Path | None, cache_dir: Path) -> int:
    """Write the report and say where it is."""
    from aat_explore.views import report as reports  # Altair, which other commands need not wait for

    path = cache_dir / f"report-{name}.html" if out is None else out
    listing = Store(cache_dir).list()
    for reason in listing.damaged.values():
        print(f"aat: {printable(reason)}", file=sys.stderr)
    text = reports.html(name, listing.runs)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    Console().print(f"in {path}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _table(found: Sequence[Standing], jobs: int) -> Table:
    done = sum(one.state == "done" for one in found)
    table = Table(title=f"{done} of {len(found)} done, {_left(grids.seconds_left(found, jobs))}")
    for name in ("run", "epoch", "state", "left"):
        table.add_column(name, justify="left" if name in ("run", "state") else "right")
    for one in found:
        epochs = f"{one.epoch}/{one.config.epochs}"
        table.add_row(
            one.config.run_id, epochs, one.activity, "" if one.state == "done" else _duration(one.seconds_left)
        )
    return table


def _line(one: Standing, found: Sequence[Standing], jobs: int) -> str:
    done = sum(standing.state == "done" for standing in found)
    return f"{one.config.run_id} {one.state}; {done} of {len(found)} done, {_left(grids.seconds_left(found, jobs))}"


def _left(seconds: float | None) -> str:
    return "time left not known yet" if seconds is None else f"about {_duration(seconds)} of training left"


def _duration(seconds: float | None) -> str:
    return "–" if seconds is None else str(pd.Timedelta(seconds=round(seconds))).removeprefix("0 days ")
