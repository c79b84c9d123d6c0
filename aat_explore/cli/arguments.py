"""From words to a command: tyro reads flags and types, the pydantic models check values.

The flags of `train` are the fields of `RunConfig` and their defaults come from a preset, so neither is written twice.
"""

import contextlib
import dataclasses
import io
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, cast

import tyro
from pydantic import BaseModel

import aat_explore
from aat_explore import readings
from aat_explore.cli import bench, commands, grids
from aat_explore.config import AttackConfig, EvaluationConfig, RunConfig
from aat_explore.errors import AATError
from aat_explore.presets import PRESETS, preset_of
from aat_explore.store import default_cache


class Command(Protocol):
    """A parsed command."""

    def run(self) -> int:
        """Do it and return the exit code."""


COMMANDS = ("train", "list", "show", "evaluate", "check", "grid", "report", "copy", "demo", "app", "bench", "fidelity")

CacheDir = Annotated[Path, tyro.conf.arg(help="The cache folder (AAT_CACHE).")]
Device = Annotated[
    Literal["cuda", "mps", "cpu"] | None, tyro.conf.arg(help="Where to compute; None = the best there is.")
]
Threads = Annotated[int | None, tyro.conf.arg(help="CPU threads, part of what repeats bit for bit; None = all cores.")]
RunId = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="A run's name, from `aat list`.")]
Json = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Print JSON.")]


ALIASES: dict[tuple[type[BaseModel], str], list[str]] = {(AttackConfig, "kind"): ["--attack"]}


def flags_of(model: type[BaseModel]) -> type:
    """Return a dataclass with the fields, types and help of a pydantic model, for tyro to fill.

    Values are checked once, by the model itself, so that the command line and Python give the same message.
    """
    defaults = model()
    fields = []
    for name, info in model.model_fields.items():
        kind, default = info.annotation, getattr(defaults, name)
        if kind is AttackConfig:
            kind, default = AttackFlags, dataclasses.field(default_factory=AttackFlags)
        aliases = ALIASES.get((model, name))
        fields.append((name, Annotated[kind, tyro.conf.arg(help=info.description, aliases=aliases)], default))
    return dataclasses.make_dataclass(f"{model.__name__}Flags", fields)


AttackFlags: Any = flags_of(AttackConfig)
RunFlags: Any = flags_of(RunConfig)
EvaluationFlags: Any = flags_of(EvaluationConfig)


def _run_flags(config: RunConfig) -> Any:
    fields = dict(config)
    return RunFlags(**fields | {"attack": AttackFlags(**dict(config.attack))})


@dataclasses.dataclass
class Train:
    """Train one run into the cache and evaluate it; go on where it was cut off, and do nothing if it is complete."""

    flags: Annotated[RunFlags, tyro.conf.arg(name="")]
    preset: Annotated[
        Literal[*PRESETS] | None,  # type: ignore[valid-type]
        tyro.conf.arg(help="Defaults of all other flags; None = the preset of --dataset."),
    ] = None
    resize: Annotated[int | None, tyro.conf.arg(help="Crop and resize a --dataset folder's images to this side.")] = (
        None
    )
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    device: Device = None
    threads: Threads = None
    evaluate: Annotated[bool, tyro.conf.arg(help="Attack the test set with PGD-40 over a grid of ε at the end.")] = True
    keep_every: Annotated[int, tyro.conf.arg(help="Keep the weights of every k-th epoch, besides best and last.")] = 10
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Print only the run id.")] = False

    def run(self) -> int:
        """Train."""
        where = commands.Where(self.cache_dir, self.device, self.threads)
        fields = dataclasses.asdict(self.flags)
        return commands.train(fields, where, self.evaluate, self.quiet, resize=self.resize, keep_every=self.keep_every)


@dataclasses.dataclass
class List:
    """List the runs of the cache, one a line."""

    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    json: Json = False

    def run(self) -> int:
        """List."""
        return commands.list_runs(self.cache_dir, as_json=self.json)


@dataclasses.dataclass
class Show:
    """Verify every file of a run, and print its settings, epochs and evaluations."""

    run_id: RunId
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    json: Json = False

    def run(self) -> int:
        """Show."""
        return commands.show(self.run_id, self.cache_dir, as_json=self.json)


@dataclasses.dataclass
class Evaluate:
    """Attack a run's network over a grid of ε and store the result with the run."""

    run_id: RunId
    flags: Annotated[EvaluationFlags, tyro.conf.arg(name="")] = dataclasses.field(default_factory=EvaluationFlags)
    epoch: Annotated[int | None, tyro.conf.arg(help="Epoch whose weights are attacked; None = the last.")] = None
    every: Annotated[int | None, tyro.conf.arg(help="Attack the kept weights of every k-th epoch, and the last.")] = (
        None
    )
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    device: Device = None
    threads: Threads = None
    json: Json = False

    def run(self) -> int:
        """Evaluate."""
        where = commands.Where(self.cache_dir, self.device, self.threads)
        fields = dataclasses.asdict(self.flags)
        return commands.evaluate(self.run_id, fields, self.epoch, self.every, where, as_json=self.json)


@dataclasses.dataclass
class Check:
    """Look for signs that a run's robustness is not real, and store what is found; exit code 1 if a check fails."""

    run_id: RunId
    images: Annotated[int, tyro.conf.arg(help="First images of the test split, and as many to train.")] = 1000
    epsilon: Annotated[float | None, tyro.conf.arg(help="ε of the attacks; None = the training ε.")] = None
    epoch: Annotated[int | None, tyro.conf.arg(help="Epoch whose weights are checked; None = the last.")] = None
    seed: Annotated[int, tyro.conf.arg(help="Seed of all that the attacks draw.")] = 0
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    device: Device = None
    threads: Threads = None
    json: Json = False

    def run(self) -> int:
        """Check."""
        where = commands.Where(self.cache_dir, self.device, self.threads)
        options = {"images": self.images, "epsilon": self.epsilon, "epoch": self.epoch, "seed": self.seed}
        return commands.check(self.run_id, options, where, as_json=self.json)


@dataclasses.dataclass
class Grid:
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
        return grids.grid(self)


@dataclasses.dataclass
class Report:
    """Write what the paper's claims and figures come to, by the runs in the cache, into one HTML file."""

    name: Annotated[Literal[*readings.names()], tyro.conf.Positional, tyro.conf.arg(help="Which runs.")]  # type: ignore[valid-type]
    out: Annotated[Path | None, tyro.conf.arg(help="The HTML file; None = report-NAME.html in the cache.")] = None
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)

    def run(self) -> int:
        """Write it."""
        return grids.report(self.name, self.out, self.cache_dir)


@dataclasses.dataclass
class Copy:
    """Copy complete runs into another cache, without what each epoch drew: small enough to be committed."""

    run_ids: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="Runs' names.")]
    to: Annotated[Path, tyro.conf.arg(help="The other cache folder.")]
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)

    def run(self) -> int:
        """Copy."""
        return commands.copy(self.run_ids, self.to, self.cache_dir)


@dataclasses.dataclass
class Demo:
    """Train n = 0, 100, 1000 and all on the embedded data set, then serve the dashboard on these runs."""

    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    device: Device = None
    threads: Threads = None
    app: Annotated[bool, tyro.conf.arg(help="Serve the dashboard afterwards.")] = True
    port: Annotated[int, tyro.conf.arg(help="The dashboard's port, on this machine only.")] = 8501

    def run(self) -> int:
        """Train the demo's runs and serve them."""
        commands.check_port(self.port)
        code = commands.demo(commands.Where(self.cache_dir, self.device, self.threads))
        return commands.app(self.cache_dir, self.port) if self.app else code


@dataclasses.dataclass
class App:
    """Serve the dashboard, on this machine only."""

    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    port: Annotated[int, tyro.conf.arg(help="Port on 127.0.0.1.")] = 8501

    def run(self) -> int:
        """Serve."""
        return commands.app(self.cache_dir, self.port)


@dataclasses.dataclass
class Bench:
    """Time an epoch of ours against what one would write or install instead, and write table and JSON."""

    dataset: Annotated[str, tyro.conf.arg(help="Whose training images an epoch has.")] = "fashion-mnist"
    samples: Annotated[int | None, tyro.conf.arg(help="T, its first samples; None = all.")] = None
    images: Annotated[int, tyro.conf.arg(help="Test images of the robustness curves.")] = 2000
    rounds: Annotated[int, tyro.conf.arg(help="Timed rounds; medians are of these.")] = 5
    quick: Annotated[
        bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="fashion-mini, 600 samples: under a minute.")
    ] = False
    out: Annotated[Path | None, tyro.conf.arg(help="The JSON file; None = bench/ in the cache.")] = None
    plot: Annotated[Path | None, tyro.conf.arg(help="Draw a chart into this .svg, .png or .html file.")] = None
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    device: Device = None
    threads: Threads = None

    def run(self) -> int:
        """Measure."""
        return bench.bench(self)


@dataclasses.dataclass
class Fidelity:
    """Compare what cheap ways of scoring draw from with the paper's scores, over epochs, attacks and seeds."""

    dataset: Annotated[str, tyro.conf.arg(help="Data set.")] = "fashion-mini"
    num_perturbed: Annotated[int, tyro.conf.arg(help="n.")] = 1000
    epsilon: Annotated[float, tyro.conf.arg(help="Of training and of the final PGD-40.")] = 0.1
    epochs: Annotated[int, tyro.conf.arg(help="Epochs of each run.")] = 15
    seeds: Annotated[int, tyro.conf.arg(help="Runs of each kind.")] = 3
    out: Annotated[Path | None, tyro.conf.arg(help="The JSON file; None = bench/ in the cache.")] = None
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    device: Device = None
    threads: Threads = None

    def run(self) -> int:
        """Compare."""
        return bench.fidelity(self)


def parse(argv: list[str]) -> Command:
    """Return the command that the words ask for; AATError says in one line what cannot be read."""
    train = Train(_run_flags(PRESETS[_preset_asked_for(argv)]))
    kinds: Any = (
        Annotated[Train, tyro.conf.subcommand("train", default=train)]
        | Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Show, tyro.conf.subcommand("show")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Grid, tyro.conf.subcommand("grid")]
        | Annotated[Report, tyro.conf.subcommand("report")]
        | Annotated[Copy, tyro.conf.subcommand("copy")]
        | Annotated[Demo, tyro.conf.subcommand("demo")]
        | Annotated[App, tyro.conf.subcommand("app")]
        | Annotated[Bench, tyro.conf.subcommand("bench")]
        | Annotated[Fidelity, tyro.conf.subcommand("fidelity")]
    )
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return cast(Command, tyro.cli(kinds, prog="aat", args=argv, description=aat_explore.__doc__))
    except SystemExit as exit_:
        if exit_.code in (0, None):
            raise
        raise AATError(_one_line(said.getvalue(), argv)) from None


def _preset_asked_for(argv: list[str]) -> str:
    """Find --preset among the words, or else the preset of --dataset; what is wrong with them is tyro's to say."""
    found = {}
    for name in ("preset", "dataset"):
        for position, word in enumerate(argv):
            if match := re.fullmatch(rf"--{name}(?:=(.*))?", word):
                found[name] = match[1] or "".join(argv[position + 1 : position + 2])
    chosen = found.get("preset")
    return chosen if chosen in PRESETS else preset_of(found.get("dataset", ""))


def _one_line(box: str, argv: list[str]) -> str:
    """Make one line of tyro's error box: its first section, and where to read more."""
    lines = [line.strip(" │╭╮╰╯") for line in re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()]
    # The first rule holds the title, or stands below it where the terminal has no box characters.
    rules = [k for k, line in enumerate(lines) if re.fullmatch(r"─.*─|-+", line)] + [len(lines)] * 2
    body = [line for line in lines[rules[0] + 1 : rules[1]] or lines if line]
    end = next((k for k, line in enumerate(body) if re.match("Got errors|Argument helptext|For full help", line)), None)
    command = [word for word in argv[:1] if word in COMMANDS]
    return f"{' '.join(body[:end]).rstrip('.')}; see `{' '.join(['aat', *command, '--help'])}`"
