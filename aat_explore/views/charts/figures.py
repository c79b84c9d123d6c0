"""The paper's figures: accuracy against ε and against n."""

from collections.abc import Callable
from typing import Any

import altair as alt
import pandas as pd

from aat_explore.views.charts.style import (
    LINES,
    PAPER_COLOURS,
    PERCENT,
    SERIES,
    Chart,
    n_colour,
    n_dash,
    n_styles,
    panel_width,
    sized,
    text_colour,
    verdict_shape,
    with_verdict,
)

# An empty cell in a grid of plots.
EMPTY_CELL = alt.Chart(pd.DataFrame()).mark_point().properties(view=alt.ViewBackground(stroke=None, fill=None))


def robustness(runs: pd.DataFrame, means: pd.DataFrame, test: str, *, dark: bool = False) -> Chart:
    """Fig. 1–3: accuracy against ε, a panel per norm: mean over seeds as a line, ± sd as a band, runs as points.

    `runs`: `frames.figures.robustness`; `means`: its `frames.figures.over_seeds` by panel, n and epsilon.
    """
    style = {"color": n_colour(list(runs["n"]), dark), "strokeDash": n_dash(list(runs["n"]))}
    return _against_epsilon(runs, means, style, ["panel", "n"], test)


def pgd_on_all(runs: pd.DataFrame, means: pd.DataFrame, test: str) -> Chart:
    """Fig. 5: the same for networks trained with PGD on all samples, a panel per data set, a colour per recipe."""
    domain = sorted(runs["recipe"].unique())
    shared: dict[str, Any] = {"title": "trained with", "legend": alt.Legend(**(LINES.to_dict() | {"columns": 1}))}
    style = {  # Vega merges the two legends, because they are equal
        "color": alt.Color("recipe:N", scale=alt.Scale(domain=domain, range=SERIES), **shared),
        "strokeDash": alt.StrokeDash("recipe:N", scale=alt.Scale(domain=domain), **shared),
    }
    return _against_epsilon(runs, means, style, ["panel", "recipe"], test)


def _against_epsilon(
    runs: pd.DataFrame, means: pd.DataFrame, style: dict[str, Any], groups: list[str], test: str
) -> Chart:
    panels = list(dict.fromkeys(runs["panel"]))
    runs = with_verdict(runs)
    shape = verdict_shape(runs)
    width = panel_width(min(2, len(panels)))
    rows = []
    for panel in panels:
        x = alt.X("epsilon:Q", title="ε (pixel units)", axis=alt.Axis(tickCount=8), scale=alt.Scale(nice=False))
        y_title = f"robust accuracy ({test.split(',')[0]}, ε)"
        mean = alt.Chart(means[means["panel"] == panel], title=panel).encode(x=x, **style)
        y = alt.Y("mean:Q", title=y_title, axis=PERCENT, scale=alt.Scale(domain=[0, 1]))
        tooltip: list[Any] = [
            *groups[1:],
            alt.Tooltip("epsilon:Q", format=".3g"),
            alt.Tooltip("mean:Q", format=".1%", title="mean accuracy"),
            alt.Tooltip("sd:Q", format=".1%"),
            "seeds",
        ]
        band = mean.mark_area(opacity=0.15, strokeWidth=0).encode(
            y=alt.Y("low:Q", title=y_title), y2="high:Q", strokeDash=alt.Undefined
        )
        line = mean.mark_line(strokeWidth=2).encode(y=y, tooltip=tooltip)
        single = (
            alt.Chart(runs[runs["panel"] == panel])
            .mark_point(filled=True, opacity=0.7)
            .encode(
                x=x,
                y=alt.Y("accuracy:Q", title=y_title),
                color=style["color"],
                shape=shape,
                size=_larger_if_it_fails(20, 70),
                tooltip=["run", "seed", alt.Tooltip("epsilon:Q", format=".3g"), *_run_tooltip(".1%")],
            )
        )
        rows.append(sized(band + line + single, width, 320))
    return alt.concat(*rows, columns=2)


def _run_tooltip(accuracy_format: str) -> list[Any]:
    """Tooltip fields of a single run: its accuracy, the 95% interval, and the checks that it fails."""
    return [
        alt.Tooltip("accuracy:Q", format=accuracy_format),
        alt.Tooltip("least:Q", format=accuracy_format, title="95% interval, from"),
        alt.Tooltip("most:Q", format=accuracy_format, title="to"),
        alt.Tooltip("failed:N", title="fails"),
    ]


def _larger_if_it_fails(size: int, larger: int) -> Any:
    return alt.condition(alt.datum["failed"] != "", alt.value(larger), alt.value(size))


def accuracy_against_n(runs: pd.DataFrame, means: pd.DataFrame, title: str, *, dark: bool = False) -> Chart:
    """Fig. 4: accuracy against n on a symlog axis, a column per data set, a row per norm: mean ± sd over single runs.

    `runs`: `frames.figures.accuracy_against_n`; `means`: its `over_seeds` by dataset, panel, n, position.
    """
    ink = PAPER_COLOURS[dark]["0"]
    return _panels(runs, means, title, lambda panel_runs, spread, y: _n_panel(panel_runs, spread, y, ink))


def accuracy_against_seconds(runs: pd.DataFrame, means: pd.DataFrame, title: str, *, dark: bool = False) -> Chart:
    """The same against training time, with n beside each mean in the paper's colour, one line per machine.

    `runs`: `frames.figures.accuracy_against_n`; `means`: its `frames.figures.over_seeds_in_time`.
    """
    ordered, colours, _ = n_styles(list(runs["n"]), dark=dark)
    colour = alt.Color("n:N", scale=alt.Scale(domain=ordered, range=colours), legend=None)
    ink = PAPER_COLOURS[dark]["0"]
    inks = {n: text_colour(hue, dark=dark) for n, hue in zip(ordered, colours, strict=True)}
    means = means.assign(ink=means["n"].map(inks))
    return _panels(runs, means, title, lambda panel_runs, spread, y: _seconds_panel(panel_runs, spread, y, colour, ink))


def _panels(
    runs: pd.DataFrame,
    means: pd.DataFrame,
    title: str,
    panel_of: Callable[[pd.DataFrame, pd.DataFrame, alt.Y], Chart],
) -> Chart:
    """A grid of accuracy plots: a column per data set, a row per norm, and one accuracy axis per data set.

    The cell of a norm without runs is empty.
    """
    runs = with_verdict(runs)
    names = sorted(runs["dataset"].unique())
    panels = list(dict.fromkeys(runs["panel"]))
    cells = []
    width = panel_width(len(names))
    for panel in panels:
        for name in names:
            if not ((runs["dataset"] == name) & (runs["panel"] == panel)).any():
                cells.append(sized(EMPTY_CELL, width, 240))
                continue
            of_dataset, spread = runs[runs["dataset"] == name], means[means["dataset"] == name]
            low, high = (
                min(of_dataset["accuracy"].min(), spread["low"].min()),
                max(of_dataset["accuracy"].max(), spread["high"].max()),
            )
            # One scale per data set, so that its norms can be compared.
            room = 0.002 + 0.06 * (high - low)
            inside = alt.Scale(domain=[max(0, low - room), min(1, high + room)], nice=False, zero=False)
            y = alt.Y(
                "accuracy:Q",
                title=title if name == names[0] else None,
                axis=alt.Axis(format=".4~p", tickCount=6),
                scale=inside,
            )
            chart = panel_of(of_dataset[of_dataset["panel"] == panel], spread[spread["panel"] == panel], y)
            cells.append(sized(chart.properties(title=alt.Title(f"{name}: {panel}", limit=width + 60)), width, 240))
    return alt.concat(*cells, columns=len(names))


def _seconds_panel(runs: pd.DataFrame, means: pd.DataFrame, y: alt.Y, colour: alt.Color, ink: str) -> Chart:
    last = max(runs["seconds"].max(), means["upper"].max())
    x = alt.X(
        "seconds:Q",
        title="training time in seconds, without validation",
        scale=alt.Scale(domain=[0, 1.05 * last], nice=False),
    )
    several = runs["machine"].nunique() > 1
    shape = alt.Shape("machine:N", legend=alt.Legend(orient="bottom", labelLimit=0)) if several else alt.Undefined
    seconds = alt.Tooltip("seconds:Q", format=",.4~g")
    single = alt.Chart(runs).mark_point(opacity=0.5)
    tooltip: list[Any] = [
        *("n", alt.Tooltip("mean:Q", format=".2%"), alt.Tooltip("sd:Q", format=".2%"), seconds, "seeds", "machine"),
    ]
    mean = alt.Chart(means).encode(x=x, y="mean:Q")
    line = mean.mark_line(color=ink, strokeWidth=1, opacity=0.5).encode(order="position:Q", detail="machine:N")
    return (
        line
        + single.encode(
            x=x,
            y=y,
            color=colour,
            shape=shape if several else verdict_shape(runs),
            size=_larger_if_it_fails(30, 90),
            tooltip=["run", "n", "seed", *_run_tooltip(".2%"), seconds, "machine"],
        )
        + alt.Chart(means).mark_rule(strokeWidth=2).encode(x=x, y="low:Q", y2="high:Q", color=colour)
        + alt.Chart(means).mark_rule(strokeWidth=2).encode(x="lower:Q", x2="upper:Q", y="mean:Q", color=colour)
        + mean.mark_point(filled=True, size=70, opacity=1).encode(color=colour, shape=shape, tooltip=tooltip)
        + mean.mark_text(align="left", dx=9, dy=-10, fontSize=13).encode(
            text="n:N", color=alt.Color("ink:N", scale=None)
        )
    )


def _n_panel(runs: pd.DataFrame, means: pd.DataFrame, y: alt.Y, ink: str) -> Chart:
    ticks = dict(sorted(zip(means["position"].astype(int), means["n"], strict=True)))
    words = "".join(f"datum.value === {at} ? 'all' : " for at, name in ticks.items() if name == "all")
    labels = f"{words}format(datum.value, ',')"
    axis = alt.Axis(values=list(ticks), labelExpr=labels, labelOverlap="greedy")
    # Linear up to 50, logarithmic above: 0 is set apart without taking half of the axis.
    scale = alt.Scale(type="symlog", constant=50, padding=8, nice=False)
    x = alt.X("position:Q", title="n, samples perturbed per epoch", axis=axis, scale=scale)
    single = alt.Chart(runs).mark_point(opacity=0.5, color=ink)
    tooltip: list[Any] = ["n", alt.Tooltip("mean:Q", format=".2%"), alt.Tooltip("sd:Q", format=".2%"), "seeds"]
    mean = alt.Chart(means).encode(x=x, y="mean:Q", tooltip=tooltip)
    bars = alt.Chart(means).mark_rule(strokeWidth=2, color=ink).encode(x=x, y="low:Q", y2="high:Q")
    return (
        single.encode(
            x=x,
            y=y,
            shape=verdict_shape(runs),
            size=_larger_if_it_fails(30, 90),
            tooltip=["run", "n", "seed", *_run_tooltip(".2%")],
        )
        + bars
        + mean.mark_line(color=ink, strokeWidth=1.5)
        + mean.mark_point(filled=True, size=60, color=ink, opacity=1)
    )
