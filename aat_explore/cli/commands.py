"""What each command does; torch is imported by those that compute, so that `list` and `show` answer at once."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

import aat_explore
from aat_explore import datasets
from aat_explore.cli import printable
from aat_explore.cli.tables import print_frame
from aat_explore.config import EvaluationConfig, RunConfig, checked, checked_config
from aat_explore.errors import AATError
from aat_explore.presets import PRESETS, preset
from aat_explore.records import Evaluation
from aat_explore.states import standing
from aat_explore.store import KEEP_EVERY, Run, Store, light_copy, rows_of
from aat_explore.views import checks, frames
from aat_explore.views.recipes import evaluation_name

DEMO_EPOCHS = 8
DEMO_NUM_PERTURBED = (0, 100, 1000, "all")


@dataclass(frozen=True)
class Where:
    """Which cache, and on what to compute."""

    cache_dir: Path
    device: str | None
    threads: int | None


def train(
    fields: dict[str, Any], where: Where, evaluate: bool, quiet: bool, *, resize: int | None, keep_every: int
) -> int:
    """Train one run and print its id, or its course; images in a folder become a data set of the cache first."""
    config = checked_config(fields)
    if _names_folder(config.dataset, where.cache_dir):
        config = config.model_copy(update={"dataset": _added(config.dataset, resize, where.cache_dir, quiet)})
    elif resize is not None:
        raise AATError(f"resize={resize} has no meaning for dataset={config.dataset}; give it with a folder of images")
    _train(config, where, evaluate, quiet, keep_every)
    if quiet:
        print(config.run_id)
    return 0


def _names_folder(dataset: str, cache_dir: Path) -> bool:
    """Whether a data set is given as a path: one with a separator, or a folder that is no data set's name."""
    known = dataset in datasets.names(cache_dir)
    return any(mark in dataset for mark in (os.sep, "~")) or (Path(dataset).is_dir() and not known)


def _added(folder: str, resize: int | None, cache_dir: Path, quiet: bool) -> str:
    """Add a folder's images to the cache and say under which name."""
    name = datasets.add(folder, resize=resize, cache_dir=cache_dir)
    data = datasets.load(name, cache_dir=cache_dir)
    channels, height, width = data.image_shape
    sizes = " / ".join(f"{len(split):,}" for split in (data.train, data.validation, data.test))
    said = f"data set {name}: {sizes} images to train / validate / test, {data.num_classes} classes, "
    Console(quiet=quiet).print(said + f"{channels}×{height}×{width}", highlight=False, markup=False, soft_wrap=True)
    return name


def _train(config: RunConfig, where: Where, evaluate: bool, quiet: bool, keep_every: int = KEEP_EVERY) -> None:
    from aat_explore import experiment
    from aat_explore.cli.progress import Display

    console = Console(quiet=quiet)
    with Display(console) as display:
        run = experiment.train(
            config,
            **asdict(where),
            evaluate_with=EvaluationConfig() if evaluate else None,
            keep_every=keep_every,
            listener=display,
        )
    for evaluation in run.evaluations()[-1:]:
        _print_evaluation(console, evaluation)
    console.print(f"in {run.path}", highlight=False, markup=False, soft_wrap=True)


def list_runs(cache_dir: Path, *, as_json: bool) -> int:
    """Print one line a run, and what is wrong with those that do not open (on stderr, or in the JSON)."""
    listing = Store(cache_dir).list()
    rows, damaged = [], dict(listing.damaged)
    for run in listing.runs:
        try:
            rows.append(_summary(run))
        except AATError as error:
            damaged[run.id] = str(error)
    if as_json:
        print(_json(rows + [{"run_id": name, "status": "damaged", "reason": why} for name, why in damaged.items()]))
        return 0
    for reason in damaged.values():
        print(f"aat: {printable(reason)}", file=sys.stderr)
    if not rows:
        print(f"no runs in {cache_dir}; `aat demo` makes four, `aat train --help` says how to make others")
    else:
        columns = ["run_id", "epochs_done", "epochs", "status", "clean_accuracy", "robust_accuracy", "seconds_an_epoch"]
        print_frame(pd.DataFrame(rows)[[*columns, "flag"]], _cell, left=("run_id", "status", "flag"))
    return 0


def _summary(run: Run) -> dict[str, Any]:
    config, row = run.config, frames.summary(run, run.training)
    said = ("attack", "status", "clean accuracy", "robust accuracy", "tested with", "seconds an epoch", "total seconds")
    return {
        "run_id": run.id,
        **{name: getattr(config, name) for name in ("dataset", "num_perturbed", "norm_power", "epsilon", "seed")},
        "epochs_done": run.epoch,
        "epochs": config.epochs,
        **{name.replace(" ", "_"): row[name] for name in (*said, "flag")},
    }


def show(run_id: str, cache_dir: Path, *, as_json: bool) -> int:
    """Verify a run and print all that is known of it."""
    run = Store(cache_dir).open(run_id)
    run.verify()
    metrics, evaluations = run.metrics(), run.evaluations()
    if as_json:
        shown = {
            "run": run.id,
            "path": str(run.path),
            "config": run.config.model_dump(mode="json"),
            "epoch": run.epoch,
            "complete": run.complete,
            "training": run.training,
            "checkpoints": run.checkpoints(),
            "metrics": [row.model_dump() for row in rows_of(metrics)],
            "evaluations": [_fields(evaluation) for evaluation in evaluations],
        }
        print(_json(shown))
        return 0
    console = Console()
    console.print(
        f"{run.id}: epoch {run.epoch} of {run.config.epochs}, {standing(run.config, run, busy=run.training).status}",
        soft_wrap=True,
    )
    verified = f"in {run.path}, all {len(run.head.files)} files verified"
    console.print(verified, highlight=False, markup=False, soft_wrap=True)
    usual = PRESETS["mini"].model_dump()
    for name, value in run.config.model_dump().items():
        mark = "" if value == usual[name] else "  *"
        console.print(printable(f"  {name} = {value}{mark}"), highlight=False, markup=False, soft_wrap=True)
    console.print("  (* differs from the default)")
    columns = [
        "epoch",
        "loss",
        "clean_accuracy_val",
        "fgsm_accuracy_val",
        "robust_accuracy_val",
        "num_drawn",
        "shortfall",
    ]
    seconds = metrics.filter(like="seconds_").sum(axis=1).rename("seconds")
    print_frame(pd.concat([metrics[columns], seconds], axis=1).tail(20), _cell, left=())
    for evaluation in evaluations:
        _print_evaluation(console, evaluation)
    if not evaluations:
        console.print(f"not evaluated yet; run: aat evaluate {run.id}", soft_wrap=True)
    return 0


def evaluate(
    run_id: str, fields: dict[str, Any], epoch: int | None, every: int | None, where: Where, *, as_json: bool
) -> int:
    """Evaluate a run, or its checkpoints one after another, and print each curve."""
    config = checked(EvaluationConfig, fields)
    if epoch is not None and every is not None:
        raise AATError(f"epoch={epoch} names one checkpoint and every={every} many; drop one of them")
    Store(where.cache_dir).open(run_id)  # a wrong name must not wait for torch
    from aat_explore import experiment
    from aat_explore.cli.progress import Display

    console = Console(stderr=as_json)
    with Display(console) as display:
        if every is None:
            made = [experiment.evaluate(run_id, config, epoch=epoch, **asdict(where), listener=display)]
        else:
            made = experiment.evaluate_every(run_id, config, every, **asdict(where), listener=display)
    if as_json:
        shown = [_fields(evaluation) for evaluation in made]
        print(_json(shown[0] if every is None else shown))
    else:
        for evaluation in made:
            _print_evaluation(console, evaluation)
    return 0


def check(run_id: str, options: dict[str, Any], where: Where, *, as_json: bool) -> int:
    """Check a run, print what was found and all else that is on record; 1 if anything fails."""
    Store(where.cache_dir).open(run_id)  # a wrong name must not wait for torch
    from aat_explore import checking
    from aat_explore.cli.progress import Display

    console = Console(stderr=as_json)
    with Display(console) as display:
        report = checking.check(run_id, **options, **asdict(where), listener=display)
    run = Store(where.cache_dir).open(run_id)
    found = checks.of_run(run) | checks.of_report(report)
    if as_json:
        print(_json({where: [one.model_dump(mode="json") for one in some] for where, some in found.items()}))
    else:
        said = f"{run_id}, epoch {report.epoch}, ε = {report.epsilon:g}, {report.seconds:.0f} s"
        console.print(said, highlight=False, markup=False, soft_wrap=True)
        table = checks.table(found)
        print_frame(table, _cell, left=list(table.columns))
        for name in table.loc[table["status"] != "pass", "check"].unique():
            console.print(f"{name}: see {checks.link(name)}", highlight=False, markup=False, soft_wrap=True)
    return int(checks.worst([one for some in found.values() for one in some]) == "fail")


def copy(run_ids: Sequence[str], to: Path, cache_dir: Path) -> int:
    """Make light copies of runs and say where they are."""
    if not run_ids:
        raise AATError("no run is named; `aat list` shows them")
    for run in [Store(cache_dir).open(run_id) for run_id in run_ids]:
        print(f"in {light_copy(run, to).path}")
    return 0


def demo(where: Where) -> int:
    """Train the demo's runs on the embedded data set."""
    for num_perturbed in DEMO_NUM_PERTURBED:
        config = preset("mini", num_perturbed=num_perturbed, epochs=DEMO_EPOCHS)
        _train(config, where, evaluate=True, quiet=False)
    return 0


def check_port(port: int) -> None:
    """Raise AATError unless a server can listen there."""
    if not 1 <= port <= 65535:
        raise AATError(f"port={port} is not in 1..65535; use e.g. 8501")


def app(cache_dir: Path, port: int) -> int:
    """Serve the dashboard until it is stopped."""
    check_port(port)
    package = Path(aat_explore.__file__).parent
    pages = next(
        (path for path in (package / "dashboard" / "app.py", package.parent / "app.py") if path.exists()), None
    )
    if pages is None:
        raise AATError("app.py is not beside the package; run `streamlit run app.py` in the project's folder")
    flags = [  # the project's .streamlit/config.toml says the same, but holds only in the project's folder
        "--server.address=127.0.0.1",
        f"--server.port={port}",
        "--server.allowedHosts=127.0.0.1",
        "--server.allowedHosts=localhost",
        "--server.headless=true",
        "--browser.gatherUsageStats=false",
    ]
    print(f"dashboard on http://127.0.0.1:{port} (Ctrl-C stops it)", flush=True)
    try:
        command = [sys.executable, "-m", "streamlit", "run", str(pages), *flags]
        return subprocess.run(command, env=os.environ | {"AAT_CACHE": str(cache_dir.resolve())}, check=False).returncode
    except KeyboardInterrupt:
        return 0


def _fields(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation for JSON, with what is derived from its counts."""
    derived = {"accuracies": evaluation.accuracies, "intervals": evaluation.intervals}
    return evaluation.model_dump(mode="json") | derived


def _print_evaluation(console: Console, evaluation: Evaluation) -> None:
    title = f"accuracy under {evaluation_name(evaluation)}, epoch {evaluation.epoch}, {evaluation.seconds:.0f} s"
    console.print(printable(title), highlight=False, markup=False, soft_wrap=True)
    table = Table("ε", "accuracy", "95 % interval")
    for column in table.columns:
        column.justify = "right"
    rows = zip(evaluation.epsilons, evaluation.accuracies, evaluation.intervals, strict=True)
    for epsilon, accuracy, (low, high) in rows:
        clean = "  (clean)" if epsilon == 0 else ""
        table.add_row(f"{epsilon:.4g}", f"{accuracy:.2%}{clean}", f"{low:.2%} – {high:.2%}")
    console.print(table)


def _cell(name: str, value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return "–"
    if "accuracy" in name:
        return f"{value:.1%}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _json(value: object) -> str:
    text = json.dumps(value, indent=1, ensure_ascii=False, default=float)
    return re.sub(r"[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text)  # controls that JSON lets pass
