"""Charts of one sample over the epochs, and of its place in the data map."""

from typing import Any

import altair as alt
import pandas as pd

from aat_explore.views.charts.style import LINES, RULE, SERIES, WIDTH, Chart, sized

MARKS = ["circle", "diamond"]
POWERS = [10**k for k in range(8)]
DASHES = [[1, 0], [6, 3]]


def sample_history(frame: pd.DataFrame) -> Chart:
    """`frames.sample.together` of one or two samples: p and rank over epochs, log; marks: epochs that drew it."""
    names = list(dict.fromkeys(frame["sample"]))
    width = WIDTH - 90
    positive = frame[frame["p"] > 0]
    low, high = min(positive["p"].min(), frame["uniform"].min()), max(positive["p"].max(), frame["uniform"].max())
    # Never empty: under uniform p there is a single value, 1/T.
    scale = alt.Scale(type="log", nice=False, domain=[low / 1.25, high * 1.25])
    p = alt.Y("p:Q", title="p (log scale)", scale=scale, axis=alt.Axis(format=".0e"))
    ranks = alt.Scale(type="log", reverse=True, domain=[1, int(frame["T"].max())], nice=False)
    rank = alt.Y("rank:Q", title="rank of p, 1 on top (log)", scale=ranks, axis=alt.Axis(format=",", values=POWERS))
    uniform = frame[["uniform"]].drop_duplicates().assign(what="uniform p = 1/T")
    rule = alt.Chart(uniform).mark_rule(strokeDash=[4, 3], color=RULE).encode(y="uniform:Q", tooltip="what")
    text = (
        alt.Chart(uniform)
        .mark_text(align="right", baseline="bottom", dy=-2, color=RULE)
        .encode(x=alt.value(width), y="uniform:Q", text="what")
    )
    above = _lines(positive, p, names, None) + rule + text
    return alt.vconcat(sized(above, width, 230), sized(_lines(frame, rank, names, "epoch"), width, 180))


def _lines(frame: pd.DataFrame, y: alt.Y, names: list[str], title: str | None) -> Chart:
    ticks = alt.Axis(tickMinStep=1, format="d")
    x = alt.X("epoch:Q", title=title, axis=ticks, scale=alt.Scale(nice=False, padding=8))
    colour = alt.Color("sample:N", title=None, legend=LINES, sort=None, scale=alt.Scale(domain=names, range=SERIES[:2]))
    dash = alt.StrokeDash("sample:N", title=None, legend=LINES, sort=None, scale=alt.Scale(domain=names, range=DASHES))
    tooltip: list[Any] = [
        "sample",
        "epoch",
        alt.Tooltip("p:Q", format=".3e"),
        alt.Tooltip("rank:Q", format=","),
        "drawn",
    ]
    base = alt.Chart(frame).encode(x=x, y=y, tooltip=tooltip)
    lines = base.mark_line(strokeWidth=1.5).encode(color=colour, strokeDash=dash)
    hovered = base.mark_point(opacity=0, size=120)  # invisible, but it makes the tooltip easy to reach
    marks = [  # one layer each: a shape channel would add its marks to the legend of lines
        alt.Chart(frame[frame["drawn"] & (frame["sample"] == name)])
        .mark_point(filled=True, size=75, opacity=1, shape=mark, color=ink)
        .encode(x=x, y=y, tooltip=tooltip)
        for name, mark, ink in zip(names, MARKS, SERIES, strict=False)
        if (frame["drawn"] & (frame["sample"] == name)).any()
    ]
    return alt.layer(lines, hovered, *marks)


def sample_map(grid: pd.DataFrame, places: pd.DataFrame, *, dark: bool = False) -> Chart:
    """`frames.sample.SampleMap.grid` as a heat map of mean p against sd / mean, with marks at the `sample_places`."""
    scale = alt.Scale(type="log", nice=False)
    axis = alt.Axis(format=".1~e", tickCount=6)
    x = alt.X("mean_low:Q", title="mean of p over the epochs (log scale)", scale=scale, axis=axis)
    cells = (
        alt.Chart(grid)
        .mark_rect()
        .encode(
            x=x,
            x2="mean_high:Q",
            y=alt.Y("variability_low:Q", title="variability: sd / mean of p"),
            y2="variability_high:Q",
            color=alt.Color(
                "count:Q",
                title="samples",
                scale=alt.Scale(type="log", scheme="greys", reverse=dark, domainMin=0.5),
                legend=alt.Legend(format=",d"),
            ),
            tooltip=[
                alt.Tooltip("count:Q", format=",", title="samples"),
                alt.Tooltip("mean_low:Q", format=".2e", title="mean of p from"),
                alt.Tooltip("mean_high:Q", format=".2e", title="to"),
                alt.Tooltip("variability_low:Q", format=".2f", title="variability from"),
                alt.Tooltip("variability_high:Q", format=".2f", title="to"),
            ],
        )
    )
    names = list(places["sample"])
    marks = (
        alt.Chart(places)
        .mark_point(filled=True, size=200, opacity=1, stroke="white" if dark else "black", strokeWidth=1.5)
        .encode(
            x=alt.X("mean:Q", scale=scale),
            y="variability:Q",
            fill=alt.Fill(
                "sample:N",
                title=None,
                sort=None,
                scale=alt.Scale(domain=names, range=SERIES[:2]),
                legend=alt.Legend(orient="top", labelLimit=0, symbolSize=150, symbolStrokeWidth=1),
            ),
            shape=alt.Shape("sample:N", title=None, sort=None, scale=alt.Scale(domain=names, range=MARKS)),
            tooltip=[
                "sample",
                alt.Tooltip("mean:Q", format=".3e", title="mean of p"),
                alt.Tooltip("variability:Q", format=".2f"),
            ],
        )
    )
    return sized(alt.layer(cells, marks).resolve_scale(color="independent"), WIDTH - 220, 320)
