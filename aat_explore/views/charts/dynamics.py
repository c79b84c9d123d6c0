"""Charts of the sampler over all epochs of a run."""

from typing import Any

import altair as alt
import pandas as pd

from aat_explore.views.charts.style import GROUP_COLOURS, LINES, RULE, SERIES, WIDTH, Chart, panel_width, sized

MAP_BRUSH = "map_brush"  # name under which Streamlit reports the selection
TEN = [*SERIES, "#17a2b8", "#b5834a", "#c3a1e6", "#6b8e00"]
# Colour and dash share a legend only if both are given the domain; with `sort` each would get its own.
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4]]


def unevenness(frame: pd.DataFrame) -> Chart:
    """`frames.dynamics.unevenness` of one or more runs: a panel per measure, a line per run, a rule at uniform p."""
    panels = []
    for measure in dict.fromkeys(frame["measure"]):
        rows = frame[frame["measure"] == measure]
        names = list(dict.fromkeys(rows["run"]))
        base = alt.Chart(rows).encode(
            x=_epochs(),
            y=alt.Y("value:Q", title=measure, scale=alt.Scale(zero=True)),
            color=alt.Color("run:N", title=None, legend=LINES, scale=alt.Scale(domain=names, range=SERIES)),
            strokeDash=alt.StrokeDash("run:N", title=None, legend=LINES, scale=alt.Scale(domain=names, range=DASHES)),
            tooltip=["run", "epoch", alt.Tooltip("value:Q", format=",.4~g"), alt.Tooltip("uniform:Q", format=",.4~g")],
        )
        line = base.mark_line() + base.mark_point(filled=True, size=14, opacity=1)
        uniform = rows[["uniform"]].drop_duplicates().assign(what="uniform p")
        rule = alt.Chart(uniform).mark_rule(strokeDash=[4, 3], color=RULE).encode(y="uniform:Q", tooltip="what")
        panels.append(sized(line + rule, panel_width(2), 170))
    return alt.concat(*panels, columns=2)


def overlaps(frame: pd.DataFrame) -> Chart:
    """`frames.dynamics.overlaps` as a heat map, epoch against epoch, without the diagonal, which is always 1."""
    apart = frame[frame["epoch"] != frame["other"]]
    axis = alt.Axis(
        labelOverlap=True, values=sorted(frame["epoch"].unique())[:: max(1, frame["epoch"].nunique() // 12)]
    )
    chart = (
        alt.Chart(apart)
        .mark_rect()
        .encode(
            x=alt.X("epoch:O", title="epoch", axis=axis),
            y=alt.Y("other:O", title="epoch", axis=axis, sort="descending"),
            color=alt.Color(
                "overlap:Q", title="Jaccard", scale=alt.Scale(scheme="viridis"), legend=alt.Legend(format=".2~p")
            ),
            tooltip=["epoch", alt.Tooltip("other", title="and epoch"), alt.Tooltip("overlap:Q", format=".1%")],
        )
    )
    return sized(chart, 420, 380)


def mix_over_epochs(frame: pd.DataFrame) -> Chart:
    """`frames.dynamics.mix_over_epochs`: a class's share of the drawn divided by its share of all T; chance is 1."""
    names, legend = list(dict.fromkeys(frame["class"])), alt.Legend(columns=1)
    line = (
        alt.Chart(frame)
        .mark_line()
        .encode(
            x=_epochs(),
            y=alt.Y("ratio:Q", title="share of drawn / share of all"),
            color=alt.Color("class:N", legend=legend, scale=alt.Scale(domain=names, range=TEN)),
            strokeDash=alt.StrokeDash("class:N", legend=legend, scale=alt.Scale(domain=names, range=DASHES)),
            tooltip=["epoch", "class", alt.Tooltip("share:Q", format=".1%"), alt.Tooltip("ratio:Q", format=".2f")],
        )
    )
    rule = alt.Chart(pd.DataFrame({"ratio": [1.0]})).mark_rule(strokeDash=[4, 3], color=RULE).encode(y="ratio:Q")
    return sized(line + rule, WIDTH - 220, 260)


def times_drawn_histogram(frame: pd.DataFrame, *, dark: bool = False) -> Chart:
    """`frames.dynamics.times_drawn_histogram`: bars of samples by times drawn, points for uniform draws."""
    whole = alt.Scale(domain=[-0.5, float(frame["times"].max()) + 0.5], nice=False)
    ticks = alt.Axis(tickMinStep=1, format="d")
    base = alt.Chart(frame).encode(x=alt.X("times:Q", title="times drawn", axis=ticks, scale=whole))
    scale = alt.Scale(type="symlog", constant=1)
    y = alt.Y(
        "samples:Q",
        title="samples (symlog)",
        scale=scale,
        axis=alt.Axis(format=",d", values=[0, 1, 10, 100, 1e3, 1e4, 1e5]),
    )
    tooltip: list[Any] = ["times", alt.Tooltip("samples:Q", format=","), alt.Tooltip("expected:Q", format=",.1f")]
    bars = base.mark_bar(
        color=GROUP_COLOURS[dark]["drawn"], opacity=0.75, size=max(2, 500 // max(1, len(frame)))
    ).encode(y=y, tooltip=tooltip)
    points = base.mark_point(color=GROUP_COLOURS[dark]["shown"], shape="diamond", size=30, filled=True).encode(
        y=alt.Y("expected:Q", scale=scale), tooltip=tooltip
    )
    return sized(bars + points, WIDTH - 80, 240)


def data_map(frame: pd.DataFrame) -> Chart:
    """`frames.dynamics.map_cells`: mean of p against its variability, coloured by mean times drawn; with a brush."""
    brush = alt.selection_interval(name=MAP_BRUSH, encodings=["x", "y"])
    chart = (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X(
                "mean_low:Q",
                title="mean of p (log scale)",
                scale=alt.Scale(type="log", nice=False),
                axis=alt.Axis(format=".1~e", tickCount=6),
            ),
            x2="mean_high:Q",
            y=alt.Y("variability_low:Q", title="variability of p: sd / mean"),
            y2="variability_high:Q",
            color=alt.Color("times:Q", title="mean times drawn", scale=alt.Scale(scheme="viridis")),
            tooltip=[
                alt.Tooltip("mean_low:Q", format=".2e", title="mean p from"),
                alt.Tooltip("variability_low:Q", format=".2f", title="variability from"),
                alt.Tooltip("samples:Q", format=","),
                alt.Tooltip("times:Q", format=".2f", title="mean times drawn"),
            ],
        )
        .add_params(brush)
    )
    return sized(chart, WIDTH - 200, 360)


def _epochs() -> alt.X:
    return alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False))
