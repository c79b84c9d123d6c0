"""One self-contained HTML file with the five claims, Fig. 1–5 and the runs behind them, for each reading."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape

import pandas as pd

from aat_explore import command_lines, readings
from aat_explore.errors import AATError
from aat_explore.views import charts, frames
from aat_explore.views.frames import claims
from aat_explore.views.protocols import Run
from aat_explore.views.recipes import Recipe

ABOUT = {
    "letter": "Algorithm 1 to the letter: once per epoch, the network at its start makes x′ of the samples in K, "
    "and x′ replaces x.",
    "paper": "The faithful reading closest to the paper's statements on clean accuracy: x′ is made in each batch by "
    "the current network, and its loss is averaged with that of x.",
    "small": "The paper reading with StdCNN in place of ResNet18, which needs a GPU: not the paper's network.",
    "frontier": "Not in the paper: PGD-7 on the fly at ε = 0.1, an attack known to make networks robust, to see "
    "how few perturbed samples are enough.",
    "fast": "Not in the paper: random-start FGSM on the fly at ε = 0.1 (Wong, Rice, Kolter 2020), with one gradient "
    "where PGD-7 needs seven.",
    "mini": "Algorithm 1 to the letter on the 5,000 included Fashion-MNIST images.",
}
PREFACE = (
    "The claims of Kamath, Deshpande, Subrahmanyam (ICML 2019 workshop), measured. Accuracy under an "
    "attack is an upper bound on robust accuracy. A verdict is given if the whole 95% interval agrees; with fewer "
    "than three seeds the interval covers only the choice of test images, and is too narrow."
)
NOT_MEASURED = "Not measured: no run of this reading in this cache has been tested. To train and test them:"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1f26; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1, h2, h3 { line-height: 1.2; margin-top: 2.2rem }
table { border-collapse: collapse; font-size: 13px; margin: 1rem 0; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #d9dce3; padding: .3rem .6rem; text-align: left; vertical-align: top }
td { white-space: nowrap } td.long { white-space: normal; min-width: 24rem }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.holds { color: #1a7f37 } .fails { color: #c0362c } .undecided { color: #8a6d00 }
figure { margin: 1.5rem 0 } figcaption { font-size: 14px; color: #555b66 } svg { max-width: 100%; height: auto }
code, pre { font: 13px/1.4 ui-monospace, monospace; background: #f4f5f8 } pre { padding: .6rem; overflow-x: auto }
"""
LONG = 64  # characters from which on a cell is wrapped
VERDICT_CLASS = {claims.HOLDS: "holds", claims.FAILS: "fails", claims.UNDECIDED: "undecided"}


def html(name: str, runs: Sequence[Run]) -> str:
    """Return a report on the grid or group `name` as one self-contained HTML page.

    `paper` also shows the letter reading, and CIFAR10 with StdCNN if that was run. If a cache holds several settings
    (epochs), the report shows those with most runs. AATError for an unknown name, or if vl-convert, which draws the
    charts, is missing.
    """
    if name not in readings.names():
        raise AATError(f"report={name} is unknown; choose one of {', '.join(readings.names())}")
    beside = ("letter", *(["small-cifar10"] if readings.members("small-cifar10", runs) else []))
    names = (name, *beside) if name == "paper" else (name,)
    parts = [part for reading in names for part in _reading(reading, runs)]
    created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    title = escape(f"Adaptive adversarial training: {name}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"</head><body><h1>{title}</h1><p>{PREFACE} Made by <code>aat report {escape(name)}</code> on {created}.</p>"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def _reading(name: str, runs: Sequence[Run]) -> list[str]:
    grids, members = readings.GROUPS.get(name, (name,)), readings.members(name, runs)
    about = ABOUT.get(name.split("-")[0], "")
    parts = [f"<h2>The {escape(name)} reading</h2>", f"<p>{escape(about)}</p>"]
    frame = frames.figures.evaluated(members)
    if frame.empty:
        return [*parts, _commands(NOT_MEASURED, [f"aat grid {grid}" for grid in grids])]
    chosen, test = frames.figures.usual_choices(frame)
    missing = [grid for grid in grids if readings.dataset_of(grid) not in chosen]
    settings = "; ".join(f"{dataset}: {recipe}" for dataset, recipe in chosen.items())
    parts.append(f"<p>Tested with {escape(test)}. Settings: {escape(settings)}.</p>")
    if missing:
        parts.append(_commands("Not run here:", [f"aat grid {grid}" for grid in missing]))
    if name.startswith(("frontier", "fast")):
        parts += _frontier(frame, chosen)
    else:
        parts += _claims(frame, chosen, test)
    parts += _figures(frame, chosen, test)
    return parts + _runs(members, frame)


def _claims(frame: pd.DataFrame, chosen: Mapping[str, Recipe], test: str) -> list[str]:
    comparisons = claims.claims(frame, chosen, test)
    parts = ["<h3>The five claims</h3>", _table(claims.summary(comparisons))]
    numbers = zip(*(comparisons[name] for name in ("value", "low", "high", "unit")), strict=True)
    details = comparisons.assign(value=[_estimate(*row) for row in numbers])
    columns = ["claim", "dataset", "panel", "what", "value", "means", "seeds", "verdict"]
    renamed = {"panel": "norm", "value": "points or ratio [95 %]"}
    return [*parts, "<h3>Comparisons behind the verdicts</h3>", _table(details[columns].rename(columns=renamed))]


def _frontier(frame: pd.DataFrame, chosen: Mapping[str, Recipe]) -> list[str]:
    """Which n is enough, and whether norms pick better than chance, for each strong test of two or more runs."""
    parts = []
    for dataset, recipe in chosen.items():
        for test in frames.figures.strong_tests(frame):
            tested = frames.figures.tested_with(frame, test)
            if tested.loc[tested["dataset"] == dataset, "run"].nunique() < 2:
                continue
            losses = claims.against_all(frame, dataset, recipe, test)
            where, smallest = escape(f"{dataset}, {test}"), escape(claims.smallest_enough(losses))
            parts += [f"<h3>How small may n be? {where}</h3>", _table(losses)]
            parts += [f"<p>The smallest n that loses at most {claims.NEARLY:g} points to all: {smallest}.</p>"]
            parts += [f"<h3>Does picking by score beat picking at random? {where}</h3>"]
            parts += [_table(claims.against_uniform(frame, dataset, recipe, test))]
    return parts


def _figures(frame: pd.DataFrame, chosen: Mapping[str, Recipe], test: str) -> list[str]:
    parts = ["<h3>Figures</h3>"]
    for dataset, recipe in chosen.items():
        runs = frames.figures.robustness(frame, dataset, recipe, test)
        means = frames.figures.over_seeds(runs, ["panel", "position", "n", "epsilon"])
        caption = f"Fig. 1–3, {dataset}: accuracy under {test} against ε. Lines are means over seeds, bands ± sd."
        parts.append(_figure(charts.figures.robustness(runs, means, test), caption))
    for robust, measure in ((False, "clean test accuracy"), (True, "robust accuracy at the training ε")):
        runs = frames.figures.accuracy_against_n(frame, chosen, test, robust=robust)
        if runs.empty:
            continue
        means = frames.figures.over_seeds(runs, ["dataset", "panel", "position", "n"])
        label = "Fig. 4" if not robust else "The same for robust accuracy"
        parts.append(_figure(charts.figures.accuracy_against_n(runs, means, measure), f"{label}: {measure} against n."))
        in_time = frames.figures.over_seeds_in_time(runs)
        caption = f"{measure} against training time, with n beside each mean. A machine under other load is slower."
        parts.append(_figure(charts.figures.accuracy_against_seconds(runs, in_time, measure), caption))
    pgd = frames.figures.pgd_on_all(frame, test)
    if not pgd.empty:
        means = frames.figures.over_seeds(pgd, ["panel", "recipe", "epsilon"])
        caption = "Fig. 5: as Fig. 1–3, for networks trained with PGD on all samples."
        parts.append(_figure(charts.figures.pgd_on_all(pgd, means, test), caption))
    return parts


def _runs(runs: Sequence[Run], frame: pd.DataFrame) -> list[str]:
    failed = frames.figures.failing(frame)
    parts = ["<h3>Runs</h3>"]
    if failed:
        rows = pd.DataFrame({"run": list(failed), "fails": list(failed.values())})
        parts += ["<p>These runs fail checks and are crosses in the figures:</p>", _table(rows)]
    table = frames.runs.runs_table(runs).drop(columns=["flag", "status", "attack"])
    evaluations = [evaluation for run in runs for evaluation in run.evaluations()]
    where = sorted({f"{each.device}, {each.num_threads} threads" for each in evaluations})
    versions = sorted(
        {" ".join(f"{name} {version}" for name, version in each.versions.items()) for each in evaluations}
    )
    dates = sorted(each.created[:10] for each in evaluations)
    parts.append(_table(table))
    made = f"On {'; '.join(where)}; {'; '.join(versions)}; {dates[0]} to {dates[-1]}."
    parts.append(f"<p>{escape(made)}</p>")
    return [*parts, _commands("Made by:", [f"aat {command_lines.train_like(run.config)}" for run in runs])]


def _commands(text: str, lines: Sequence[str]) -> str:
    return f"<p>{escape(text)}</p><pre>{escape(chr(10).join(lines))}</pre>"


def _figure(chart: charts.style.Chart, caption: str) -> str:
    return f"<figure>{charts.files.svg(chart)}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(frame: pd.DataFrame) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in frame.columns)
    rows = "".join(
        "<tr>" + "".join(_cell(str(name), value) for name, value in zip(frame.columns, row, strict=True)) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(name: str, value: object) -> str:
    if value is None or value != value:
        return "<td>–</td>"
    if isinstance(value, float):
        text = f"{value:.2%}" if "accuracy" in name else f"{value:.4g}"
        return f'<td class="number">{text}</td>'
    text = escape(str(value))
    kind = VERDICT_CLASS.get(str(value))
    if kind:
        return f'<td class="{kind}"><strong>{text}</strong></td>'
    return f'<td class="long">{text}</td>' if len(text) > LONG else f"<td>{text}</td>"


def _estimate(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    if value is None or value != value:
        return "not measured"
    digits = ".2f" if unit == "ratio" else "+.2f"
    return f"{value:{digits}} [{low:{digits}}, {high:{digits}}]"
