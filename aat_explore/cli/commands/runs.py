"""`aat list`, `aat show` and `aat copy`: runs that are in the cache."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from aat_explore.cli import printable
from aat_explore.cli.flags import CacheDir, Command, Json, RunId, default_cache, optional
from aat_explore.errors import AATError

if TYPE_CHECKING:
    from aat_explore.store import Run


@dataclasses.dataclass
class List(Command):
    """List the runs of the cache, one per line: the newest first, those of the showcase last."""

    wide: Annotated[
        bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Show all columns, however narrow the terminal.")
    ] = False
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    json: Json = False

    def run(self) -> int:
        """Print one line per run, and the reason for each that does not open (on stderr, or in the JSON)."""
        from aat_explore.cli.output import json_text
        from aat_explore.store import Store

        listing = Store(self.cache_dir).list()
        rows, newest, damaged = [], [], dict(listing.damaged)
        for run in listing.runs:
            try:
                rows.append(row := _summary(run))
                newest.append(((run.showcase, 0 if run.showcase else -run.modified, run.id), row))
            except AATError as error:
                damaged[run.id] = str(error)
        if self.json:
            broken = [{"run_id": name, "status": "damaged", "reason": reason} for name, reason in damaged.items()]
            print(json_text(rows + broken))
            return 0
        for reason in damaged.values():
            print(f"aat: {printable(reason)}", file=sys.stderr)
        if not rows:
            print(f"no runs in {self.cache_dir}; `aat demo` makes four, `aat train --help` says how to make others")
        else:
            from aat_explore.cli.listing import print_list

            print_list([row for _, row in sorted(newest, key=lambda item: item[0])], wide=self.wide)
        return 0


@dataclasses.dataclass
class Show(Command):
    """Verify every file of a run, and print its settings, epochs and evaluations."""

    run_id: RunId
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    json: Json = False

    def run(self) -> int:
        """Verify a run and print all that is known of it."""
        from aat_explore.cli.output import evaluation_fields, json_text
        from aat_explore.store import Store

        run = Store(self.cache_dir).named(self.run_id)
        run.verify()
        if not self.json:
            _print(run)
            return 0
        shown = {
            "run": run.id,
            "path": str(run.path),
            "config": run.config.model_dump(mode="json"),
            "epoch": run.epoch,
            "complete": run.complete,
            "training": run.training,
            "checkpoints": run.checkpoints(),
            "metrics": [row.model_dump() for row in run.metrics_file().rows],
            "evaluations": [evaluation_fields(evaluation) for evaluation in run.evaluations()],
        }
        print(json_text(shown))
        return 0


@dataclasses.dataclass
class Copy(Command):
    """Copy complete runs into another cache without optimiser states and early weights: small enough to send."""

    run_ids: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="Runs' names.")]
    to: Annotated[Path, tyro.conf.arg(help="The other cache folder.")]
    picks: Annotated[bool, tyro.conf.arg(help="Copy p, the picks and the recorded x′ of every epoch as well.")] = False
    images: Annotated[int | None, optional("INT", "With picks: the first x′ of each epoch; None = all.")] = None
    scores: Annotated[bool, tyro.conf.arg(help="With picks: copy the scores of all samples of every epoch too.")] = True
    weights: Annotated[bool, tyro.conf.arg(help="Copy the weights after the last epoch.")] = True
    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)

    def run(self) -> int:
        """Make light copies of runs and print where they are."""
        from aat_explore.store import Contents, Store, light_copy

        if not self.run_ids:
            raise AATError("no run is named; `aat list` shows them")
        if self.images is not None and not self.picks:
            raise AATError(f"images={self.images} has no meaning without picks; add --picks, or drop it")
        if not self.scores and not self.picks:
            raise AATError("scores=False has no meaning without picks; add --picks, or drop it")
        contents = Contents(weights=self.weights, picks=self.picks, images=self.images, scores=self.scores)
        for run in [Store(self.cache_dir).named(run_id) for run_id in self.run_ids]:
            print(f"in {light_copy(run, self.to, contents).path}")
        return 0


def _summary(run: "Run") -> dict[str, Any]:
    from aat_explore.views.summary import summary

    config, row = run.config, summary(run, run.training)
    columns = (
        *("attack", "status", "clean accuracy", "robust accuracy", "tested with", "seconds per epoch", "total seconds"),
        "flag",
    )
    return {
        "run_id": run.id,
        **{name: getattr(config, name) for name in ("dataset", "num_perturbed", "norm_power", "epsilon", "seed")},
        "epochs_done": run.epoch,
        "epochs": config.epochs,
        **{name.replace(" ", "_"): row[name] for name in columns},
    }


def _print(run: "Run") -> None:
    import pandas as pd

    from aat_explore.cli.console import Console
    from aat_explore.cli.output import cell, print_evaluation, print_frame
    from aat_explore.presets import PRESETS
    from aat_explore.states import standing

    console = Console()
    console.print(
        f"{run.id}: epoch {run.epoch} of {run.config.epochs}, {standing(run.config, run, busy=run.training).status}",
        soft_wrap=True,
    )
    verified = f"in {run.path}, all {len(run.head.files)} files verified"
    console.print(verified, highlight=False, markup=False, soft_wrap=True)
    default = PRESETS["mini"].model_dump()
    for name, value in run.config.model_dump().items():
        mark = "" if value == default[name] else "  *"
        console.print(printable(f"  {name} = {value}{mark}"), highlight=False, markup=False, soft_wrap=True)
    console.print("  (* differs from the default)")
    accuracies = ["clean_accuracy_val", "fgsm_accuracy_val", "robust_accuracy_val"]
    metrics = run.metrics()
    seconds = metrics.filter(like="seconds_").sum(axis=1).rename("seconds")
    columns = metrics[["epoch", "loss", *accuracies, "num_drawn", "shortfall"]]
    print_frame(pd.concat([columns, seconds], axis=1).tail(20), cell, left=())
    for evaluation in run.evaluations():
        print_evaluation(console, evaluation)
    if not run.evaluations():
        console.print(f"not evaluated yet; run: aat evaluate {run.id}", soft_wrap=True)
