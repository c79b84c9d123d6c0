"""`aat grid`, with a live table on a terminal, otherwise one line per run; and `aat report` on its runs."""

import dataclasses
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import tyro
from rich.live import Live
from rich.table import Table

from aat_explore import readings
from aat_explore.cli import printable
from aat_explore.cli.console import Console
from aat_explore.cli.flags import CacheDir, Command, PlaceFlags, Where, default_cache, optional
from aat_explore.config import EvaluationConfig, checked
from aat_explore.errors import AATError
from aat_explore.jobs import grid as grids
from aat_explore.states import Standing
from aat_explore.store import Store


@dataclasses.dataclass
class Grid(Command):
    """Train, test and check all runs of the paper's figures under one reading; finished work is not repeated."""

    name: Annotated[Literal[*readings.names()], tyro.conf.Positional, tyro.conf.arg(help="Which runs.")]  # type: ignore[valid-type]
    epochs: Annotated[int | None, optional("INT", "Epochs of each run; None = the preset's.")] = None
    seeds: Annotated[int, tyro.conf.arg(help="Runs of each kind.")] = 3
    n: Annotated[tuple[int | Literal["all"], ...] | None, optional("INT|all …", "n; None = the grid's.")] = None
    norm_powers: Annotated[tuple[float, ...] | None, optional("FLOAT …", "Powers of p; None = the grid's.")] = None
    num_recorded: Annotated[int | None, optional("INT", "x′ saved in each epoch; None = the preset's.")] = None
    jobs: Annotated[int, tyro.conf.arg(help="Runs at a time, the cores divided among them.")] = 1
    images: Annotated[int | None, optional("INT", "Test images of PGD-40; None = all.")] = None
    check_images: Annotated[int, tyro.conf.arg(help="Images of `aat check`; 0 = no checks.")] = 1000
    dry: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Only show what would be done.")] = False
    place: Where = dataclasses.field(default_factory=PlaceFlags)

    def run(self) -> int:
        """Train them."""
        return grid(self)


@dataclasses.dataclass
class Report(Command):
    """Write what the paper's claims and figures come to, by the runs in the cache, into one HTML file."""

    name: Annotated[Literal[*readings.names()], tyro.conf.Positional, tyro.conf.arg(help="Which runs.")]  # type: ignore[valid-type]
    out: Annotated[Path | None, optional("PATH", "The HTML file; None = report-NAME.html in the cache.")] = None
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)

    def run(self) -> int:
        """Write it."""
        return report(self.name, self.out, self.cache_dir)


def grid(command: Grid) -> int:
    """Do what remains of a grid; 1 if a run failed or was stopped."""
    configs = readings.configs(
        command.name,
        seeds=command.seeds,
        n=command.n,
        norm_powers=command.norm_powers,
        epochs=command.epochs,
        num_recorded=command.num_recorded,
    )
    if command.check_images < 0:
        raise AATError(f"check_images={command.check_images} is negative; use 0 for no checks")
    work = grids.Work(
        place=command.place,
        test=checked(EvaluationConfig, {"images": command.images}),
        check_images=command.check_images,
    )
    console = Console()
    if command.dry:
        console.print(_table(grids.standings(configs, work), command.jobs))
        return 0
    live = Live(console=console, refresh_per_second=2) if console.is_terminal else nullcontext()
    printed: set[str] = set()
    with live as table:

        def hear(standings: list[Standing]) -> None:
            if table is not None:
                table.update(_table(standings, command.jobs))
                return
            for run in standings:
                if run.state in ("done", "failed", "stopped") and run.config.run_id not in printed:
                    printed.add(run.config.run_id)
                    console.print(_line(run, standings, command.jobs), highlight=False, markup=False, soft_wrap=True)

        standings = grids.run(configs, work, jobs=command.jobs, hear=hear)
        hear(standings)
    unfinished = [run for run in standings if run.state in ("failed", "stopped")]
    for run in unfinished:
        reason = f": {run.reason}" if run.reason else ""
        console.print(
            printable(f"{run.config.run_id} {run.state}{reason}"), highlight=False, markup=False, soft_wrap=True
        )
    return int(bool(unfinished))


def report(name: str, out: Path | None, cache_dir: Path) -> int:
    """Write the report and print its path."""
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


def _table(standings: Sequence[Standing], jobs: int) -> Table:
    done = sum(run.state == "done" for run in standings)
    table = Table(title=f"{done} of {len(standings)} done, {_remaining(grids.seconds_left(standings, jobs))}")
    for name in ("run", "epoch", "state", "left"):
        table.add_column(name, justify="left" if name in ("run", "state") else "right")
    for run in standings:
        epochs = f"{run.epoch}/{run.config.epochs}"
        table.add_row(
            run.config.run_id, epochs, run.activity, "" if run.state == "done" else _duration(run.seconds_left)
        )
    return table


def _line(run: Standing, standings: Sequence[Standing], jobs: int) -> str:
    done = sum(standing.state == "done" for standing in standings)
    remaining = _remaining(grids.seconds_left(standings, jobs))
    return f"{run.config.run_id} {run.state}; {done} of {len(standings)} done, {remaining}"


def _remaining(seconds: float | None) -> str:
    return "time left not known yet" if seconds is None else f"about {_duration(seconds)} of training left"


def _duration(seconds: float | None) -> str:
    return "–" if seconds is None else str(pd.Timedelta(seconds=round(seconds))).removeprefix("0 days ")
