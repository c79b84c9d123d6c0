"""Frames → Altair charts, in the paper's colours; the same for app and notebooks.

`dark` asks for colours that stay visible on a dark page; `alt.Chart`s come with fixed sizes, because Streamlit cannot
stretch facets.
"""

import importlib.util
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import altair as alt
import pandas as pd

from aat_explore.errors import AATError

Chart: TypeAlias = Any  # one of Altair's five chart classes; their own types promise less than they do

PAPER_COLOURS = {
    False: {"0": "#000000", "100": "#1f4fd8", "1000": "#d62728", "10000": "#1a8f2e", "all": "#8b4513"},
    True: {"0": "#f2f2f2", "100": "#6ea0ff", "1000": "#ff6b6b", "10000": "#4cd36a", "all": "#c98a5a"},
}
OTHER_COLOURS = {
    False: ("#7b7f8c", "#9467bd", "#e08a00", "#17a2b8", "#d35fa8", "#6b8e00"),
    True: ("#a9adba", "#c3a1e6", "#ffb347", "#54d1e3", "#f29ad0", "#b5d44a"),
}
OTHER_DASHES = ([10, 2], [1, 4], [5, 5], [6, 2, 1, 2, 1, 2], [12, 2, 2, 2], [3, 7])
PAPER_DASHES = {"0": [1, 0], "100": [7, 3], "1000": [2, 2], "10000": [8, 3, 2, 3], "all": [12, 4]}
GROUP_COLOURS = {False: {"all": "#9aa0ad", "drawn": "#d62728"}, True: {"all": "#7d8494", "drawn": "#ff6b6b"}}
SERIES = ["#4c8bf5", "#e08a00", "#e0526a", "#3fae6a", "#9a6fd0", "#8d93a1"]  # to be seen on light and dark
PERCENT = alt.Axis(format=".0%")
LINES = alt.Legend(
    orient="top", symbolType="stroke", symbolOpacity=1, symbolSize=400, symbolStrokeWidth=2, labelLimit=0
)
PICTURES = (".svg", ".png", ".html")
WIDTH = 820  # of a whole figure, in pixels: what a 1280-pixel window leaves beside Streamlit's sidebar


def draw_offline() -> None:
    """Let JupyterLab draw charts by the code that it brings along; Altair's own default fetches it from the network.

    JupyterLab 4.6 knows Vega-Lite under the name of version 5 only, and draws what is used here.
    """
    kind = "application/vnd.vegalite.v5+json"
    alt.renderers.register("aat-offline", lambda spec, **options: ({kind: spec, "text/plain": "chart"}, {}))
    alt.renderers.enable("aat-offline")


def order_of_n(names: Sequence[str]) -> list[str]:
    """n's names from 0 upwards, `all` last."""
    return sorted(set(names), key=lambda name: float("inf") if name == "all" else float(name))


def n_styles(names: Sequence[str], *, dark: bool = False) -> tuple[list[str], list[str], list[list[int]]]:
    """n's names in order with a colour and a dash pattern each: the paper's, or others, of which there are six."""
    ordered = order_of_n(names)
    spare = itertools.cycle(OTHER_COLOURS[dark])
    colours = [PAPER_COLOURS[dark].get(name) or next(spare) for name in ordered]
    free = itertools.cycle(OTHER_DASHES)
    return ordered, colours, [PAPER_DASHES.get(name) or next(free) for name in ordered]


def _n_colour(names: Sequence[str], dark: bool) -> alt.Color:
    ordered, colours, _ = n_styles(names, dark=dark)
    return alt.Color("n:N", scale=alt.Scale(domain=ordered, range=colours), sort=ordered, title="n", legend=LINES)


def _n_dash(names: Sequence[str]) -> alt.StrokeDash:
    ordered, _, dashes = n_styles(names)
    return alt.StrokeDash("n:N", scale=alt.Scale(domain=ordered, range=dashes), sort=ordered, title="n", legend=LINES)


# --- One run -------------------------------------------------------------------------------------------------------


def epoch_metrics(frame: pd.DataFrame, kind: str) -> Chart:
    """Losses (`kind` loss) or validation accuracies (`accuracy`) of `frames.epoch_metrics` against the epoch."""
    data = frame[frame["kind"] == kind]
    accuracy = kind == "accuracy"
    y = alt.Y(
        "value:Q",
        title="validation accuracy" if accuracy else "training loss, nats",
        axis=PERCENT if accuracy else alt.Undefined,
        scale=alt.Scale(domain=[0, 1]) if accuracy else alt.Scale(zero=True),
    )
    base = alt.Chart(data).encode(
        x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False)),
        y=y,
        color=alt.Color("measure:N", title=None, legend=LINES, sort=None, scale=alt.Scale(range=SERIES)),
        strokeDash=alt.StrokeDash("measure:N", title=None, legend=LINES, sort=None),
        tooltip=["epoch", "measure", alt.Tooltip("value:Q", format=".1%" if accuracy else ".4f")],
    )
    return _sized(base.mark_line() + base.mark_point(filled=True, size=18, shape="circle"), 380, 300)


def p_histogram(frame: pd.DataFrame, *, dark: bool = False) -> Chart:
    """`frames.p_histogram` on a log axis of p: shares of all T and of the drawn, with a rule at the uniform p = 1/T."""
    colours = GROUP_COLOURS[dark]
    labels = {"all": "all T samples", "drawn": "the drawn samples"}
    data = frame.assign(group=frame["group"].map(labels))
    log = alt.Scale(type="log", nice=False)
    room = alt.Scale(domain=[0, 1.15 * max(data["share"].max(), 0.01)])  # above the bars, for the rule's label
    bars = (
        alt.Chart(data)
        .mark_bar(opacity=0.6)
        .encode(
            x=alt.X("p_low:Q", scale=log, title="p (log scale)", axis=alt.Axis(format=".0e", tickCount=5)),
            x2="p_high:Q",
            y=alt.Y("share:Q", title="share of its group", axis=PERCENT, stack=None, scale=room),
            y2=alt.datum(0),
            color=alt.Color(
                "group:N",
                title=None,
                legend=alt.Legend(orient="top"),
                scale=alt.Scale(domain=list(labels.values()), range=[colours["all"], colours["drawn"]]),
            ),
            tooltip=[
                "group",
                alt.Tooltip("p_low:Q", format=".2e", title="p from"),
                alt.Tooltip("p_high:Q", format=".2e", title="to"),
                alt.Tooltip("count:Q", format=",", title="samples"),
                alt.Tooltip("share:Q", format=".2%"),
            ],
        )
    )
    uniform = alt.Chart(pd.DataFrame({"p": frame["uniform"].head(1), "what": "uniform p = 1/T"}))
    rule = uniform.mark_rule(strokeDash=[4, 3], color="#808495").encode(x=alt.X("p:Q", scale=log), tooltip="what")
    text = uniform.mark_text(align="right", dx=-4, y=8, color="#808495").encode(x="p:Q", text="what")
    return _sized(bars + rule + text, 400, 340)


def class_mix(frame: pd.DataFrame, *, dark: bool = False) -> Chart:
    """`frames.class_mix` as pairs of bars: each class's share of all T samples and of the drawn."""
    labels = {"all": "all T samples", "drawn": "the drawn samples"}
    colours = GROUP_COLOURS[dark]
    chart = (
        alt.Chart(frame.assign(group=frame["group"].map(labels)))
        .mark_bar()
        .encode(
            y=alt.Y("class:N", sort=list(frame["class"].unique()), title=None, axis=alt.Axis(labelLimit=140)),
            yOffset=alt.YOffset("group:N", sort=list(labels.values())),
            x=alt.X("share:Q", title="share of its group", axis=PERCENT),
            color=alt.Color(
                "group:N",
                title=None,
                legend=alt.Legend(orient="top"),
                scale=alt.Scale(domain=list(labels.values()), range=[colours["all"], colours["drawn"]]),
            ),
            tooltip=["class", "group", alt.Tooltip("count:Q", format=","), alt.Tooltip("share:Q", format=".1%")],
        )
    )
    return _sized(chart, 400, 340)


# --- Many runs: the paper's figures --------------------------------------------------------------------------------


def robustness(runs: pd.DataFrame, means: pd.DataFrame, test: str, *, dark: bool = False) -> Chart:
    """Fig. 1–3: accuracy against ε, a panel a norm: mean over seeds as a line, ± sd as a band, single runs as points.

    `runs`: `frames.robustness`; `means`: the same through `frames.over_seeds` by panel, n and epsilon.
    """
    style = {"color": _n_colour(list(runs["n"]), dark), "strokeDash": _n_dash(list(runs["n"]))}
    return _against_epsilon(runs, means, style, ["panel", "n"], test)


def pgd_on_all(runs: pd.DataFrame, means: pd.DataFrame, test: str) -> Chart:
    """Fig. 5: the same for networks trained with PGD on all samples, a panel a data set, a colour a recipe."""
    style = {
        "color": alt.Color("recipe:N", title="trained with", legend=LINES, scale=alt.Scale(range=SERIES)),
        "strokeDash": alt.StrokeDash("recipe:N", title="trained with", legend=LINES),
    }
    return _against_epsilon(runs, means, style, ["panel", "recipe"], test)


def _against_epsilon(
    runs: pd.DataFrame, means: pd.DataFrame, style: dict[str, Any], groups: list[str], test: str
) -> Chart:
    panels = list(dict.fromkeys(runs["panel"]))
    width = _panel_width(min(2, len(panels)))
    rows = []
    for panel in panels:
        x = alt.X("epsilon:Q", title="ε (pixel units)", axis=alt.Axis(tickCount=8), scale=alt.Scale(nice=False))
        y_title = f"robust accuracy ({test.split(',')[0]}, ε)"
        mean = alt.Chart(means[means["panel"] == panel], title=panel).encode(x=x, **style)
        y = alt.Y("mean:Q", title=y_title, axis=PERCENT, scale=alt.Scale(domain=[0, 1]))
        told: list[Any] = [
            *groups[1:],
            alt.Tooltip("epsilon:Q", format=".3g"),
            alt.Tooltip("mean:Q", format=".1%", title="mean accuracy"),
            alt.Tooltip("sd:Q", format=".1%"),
            "seeds",
        ]
        band = mean.mark_area(opacity=0.15, strokeWidth=0).encode(
            y=alt.Y("low:Q", title=y_title), y2="high:Q", strokeDash=alt.Undefined
        )
        line = mean.mark_line(strokeWidth=2).encode(y=y, tooltip=told)
        single = (
            alt.Chart(runs[runs["panel"] == panel])
            .mark_point(filled=True, size=20, opacity=0.6)
            .encode(
                x=x,
                y=alt.Y("accuracy:Q", title=y_title),
                color=style["color"],
                tooltip=[
                    "run",
                    "seed",
                    alt.Tooltip("epsilon:Q", format=".3g"),
                    alt.Tooltip("accuracy:Q", format=".1%"),
                ],
            )
        )
        rows.append(_sized(band + line + single, width, 320))
    return alt.concat(*rows, columns=2)


def accuracy_against_n(runs: pd.DataFrame, means: pd.DataFrame, title: str, *, dark: bool = False) -> Chart:
    """Fig. 4: accuracy against n on a symlog axis, a column a data set, a row a norm: mean ± sd, single runs behind.

    `runs`: `frames.accuracy_against_n`; `means`: the same through `frames.over_seeds` by dataset, panel, n, position.
    """
    ink = PAPER_COLOURS[dark]["0"]
    names = sorted(runs["dataset"].unique())
    panels = list(dict.fromkeys(runs.sort_values("norm_power", kind="stable")["panel"]))
    cells = []
    for panel in panels:
        for name in names:
            mine, spread = runs[runs["dataset"] == name], means[means["dataset"] == name]
            low, high = (
                min(mine["accuracy"].min(), spread["low"].min()),
                max(mine["accuracy"].max(), spread["high"].max()),
            )
            # One scale a data set, so that its norms can be compared.
            room = 0.002 + 0.06 * (high - low)
            inside = alt.Scale(domain=[max(0, low - room), min(1, high + room)], nice=False, zero=False)
            y = alt.Y(
                "accuracy:Q", title=title if name == names[0] else None, axis=alt.Axis(format=".3~p"), scale=inside
            )
            chart = _n_panel(mine[mine["panel"] == panel], spread[spread["panel"] == panel], y, ink)
            width = _panel_width(len(names))
            cells.append(_sized(chart.properties(title=alt.Title(f"{name}: {panel}", limit=width + 60)), width, 240))
    return alt.concat(*cells, columns=len(names))


def _n_panel(runs: pd.DataFrame, means: pd.DataFrame, y: alt.Y, ink: str) -> Chart:
    ticks = dict(sorted(zip(means["position"].astype(int), means["n"], strict=True)))
    words = "".join(f"datum.value === {at} ? 'all' : " for at, name in ticks.items() if name == "all")
    axis = alt.Axis(values=list(ticks), labelExpr=f"{words}format(datum.value, ',')")
    # Linear up to 50, logarithmic above: 0 stands apart without taking half of the axis.
    scale = alt.Scale(type="symlog", constant=50, padding=8, nice=False)
    x = alt.X("position:Q", title="n, perturbed an epoch", axis=axis, scale=scale)
    single = alt.Chart(runs).mark_point(opacity=0.4, size=30, color=ink)
    told: list[Any] = ["n", alt.Tooltip("mean:Q", format=".2%"), alt.Tooltip("sd:Q", format=".2%"), "seeds"]
    mean = alt.Chart(means).encode(x=x, y="mean:Q", tooltip=told)
    bars = alt.Chart(means).mark_rule(strokeWidth=2, color=ink).encode(x=x, y="low:Q", y2="high:Q")
    return (
        single.encode(x=x, y=y, tooltip=["run", "n", "seed", alt.Tooltip("accuracy:Q", format=".2%")])
        + bars
        + mean.mark_line(color=ink, strokeWidth=1.5)
        + mean.mark_point(filled=True, size=60, color=ink, opacity=1)
    )


def speed(frame: pd.DataFrame) -> Chart:
    """Seconds of an epoch by phase, one bar a contender (`speed.epochs`); what has no phases is all one."""
    phases = ["scoring", "perturb", "train"]
    parts = frame[["epoch of", "seconds", *phases]].copy()
    parts["train"] = parts["train"].fillna(parts["seconds"])
    long = parts.melt(["epoch of", "seconds"], phases, var_name="phase", value_name="share").fillna({"share": 0.0})
    bars = (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title="seconds an epoch, median").stack("zero"),
            y=alt.Y("epoch of:N", title=None, sort=None, axis=alt.Axis(labelLimit=0)),
            color=alt.Color(
                "phase:N", scale=alt.Scale(domain=phases, range=SERIES[:3]), legend=alt.Legend(orient="top")
            ),
            order=alt.Order("order:Q"),
        )
        .transform_calculate(order="indexof(['scoring', 'perturb', 'train'], datum.phase)")
    )
    said = (
        alt.Chart(frame)
        .mark_text(align="left", dx=4, color="#7d8494")
        .encode(x="seconds:Q", y=alt.Y("epoch of:N", sort=None), text=alt.Text("seconds:Q", format=".3~g"))
    )
    return _sized(bars + said, WIDTH - 250, 22 * len(frame))


def check_picture(path: Path) -> None:
    """Raise AATError unless a chart can be saved under this name."""
    if path.suffix not in PICTURES:
        raise AATError(f"plot={path} is no picture; end its name in {', '.join(PICTURES)}")
    if importlib.util.find_spec("vl_convert") is None:
        raise AATError("charts are drawn to files by vl-convert; pip install 'aat-explore[export]'")


def save(chart: Chart, path: Path) -> None:
    """Draw a chart into a file; HTML holds all that it needs."""
    check_picture(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.save(str(path), **({"inline": True} if path.suffix == ".html" else {}))


def _panel_width(panels: int) -> int:
    """Width of a plot, less its axis, in a row of that many."""
    return max(120, WIDTH // panels - 95)


def _sized(chart: Chart, width: int, height: int) -> Chart:
    return chart.properties(width=width, height=height)
