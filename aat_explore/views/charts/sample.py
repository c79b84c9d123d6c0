"""Charts of one sample over the epochs, and of its place in the data map."""

from typing import Any

import altair as alt
import pandas as pd

from aat_explore.views.charts.style import LINES, RULE, SERIES, WIDTH, Chart, in_multiples, log_ticks, sized, times_axis

MARKS = ["circle", "diamond"]
Y_LABELS = 40  # pixels for the labels of y, so that charts below one another share their axis of epochs
POWERS = [10**k for k in range(8)]
DASHES = [[1, 0], [6, 3]]
DECADE = 10  # ratio of largest to smallest value from which an axis is logarithmic


def sample_history(frame: pd.DataFrame) -> Chart:
    """`p_history` above `rank_history`."""
    width = WIDTH - 90
    return alt.vconcat(sized(p_history(frame), width, 230), sized(rank_history(frame), width, 180))


def p_history(frame: pd.DataFrame, *, epoch: int | None = None, legend: bool = True) -> Chart:
    """`frames.sample.together` of one or two samples: p·T over epochs, log; filled marks: epochs that drew it.

    A rule marks `epoch`. p = 0 has no place on the axis.
    """
    positive = frame[frame["times uniform"] > 0]
    ticks = log_ticks(min(1.0, positive["times uniform"].min()), max(1.0, positive["times uniform"].max()))
    y = alt.Y(
        "times uniform:Q",
        title="p, × uniform",
        scale=alt.Scale(type="log", nice=False, domain=[ticks[0], ticks[-1]]),
        axis=alt.Axis(values=ticks, format=".4~g", minExtent=Y_LABELS),
    )
    uniform = pd.DataFrame({"times uniform": [1.0], "what": ["uniform p = 1/T"]})
    rule = (
        alt.Chart(uniform)
        .mark_rule(strokeDash=[4, 3], color=RULE)
        .encode(y="times uniform:Q", tooltip=alt.Tooltip("what:N", title="rule"))
    )
    return alt.layer(rule, *_lines(frame, positive, y, epoch, legend, _of_p()))


def rank_history(frame: pd.DataFrame, *, epoch: int | None = None, legend: bool = True) -> Chart:
    """`frames.sample.together` of one or two samples: rank of p over epochs, log, 1 on top; marks as in `p_history`."""
    T = int(frame["T"].max())
    y = alt.Y(
        "rank:Q",
        title="rank of p",
        scale=alt.Scale(type="log", reverse=True, domain=[1, T], nice=False),
        axis=alt.Axis(format=",", values=[power for power in POWERS if power <= T], minExtent=Y_LABELS),
    )
    return alt.layer(*_lines(frame, frame, y, epoch, legend, _of_p()))


def _of_p() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("times uniform:Q", title="p, × uniform", format=".3~g"),
        alt.Tooltip("p:Q", format=".3e"),
        alt.Tooltip("rank:Q", format=","),
    ]


def score_history(frame: pd.DataFrame, *, epoch: int | None = None, legend: bool = True) -> Chart:
    """One score of `frames.scores.history`, of one or two samples, over epochs; marks as in `p_history`.

    The axis is logarithmic where the values are positive and span a decade.
    """
    low, high = frame["value"].min(), frame["value"].max()
    axis = alt.Axis(format=".3~g", tickCount=3, minExtent=Y_LABELS)
    scale = alt.Scale(zero=True)
    if low > 0 and high >= DECADE * low:
        ticks = log_ticks(low, high, 4)
        axis = alt.Axis(format=".3~g", values=ticks, minExtent=Y_LABELS)
        scale = alt.Scale(type="log", nice=False, domain=[ticks[0], ticks[-1]])
    y = alt.Y("value:Q", title=None, scale=scale, axis=axis)
    value = alt.Tooltip("value:Q", title=str(frame["title"].iloc[0]), format=".3~g")
    return alt.layer(*_lines(frame, frame, y, epoch, legend, [value], x_title=None))


def _lines(
    frame: pd.DataFrame,
    shown: pd.DataFrame,
    y: alt.Y,
    epoch: int | None,
    legend: bool,
    says: list[alt.Tooltip],
    x_title: str | None = "epoch",
) -> list[Chart]:
    names = list(dict.fromkeys(frame["sample"]))
    x = alt.X(
        "epoch:Q",
        title=x_title,
        axis=alt.Axis(tickMinStep=1, format="d"),
        scale=alt.Scale(nice=False, padding=8, domain=[int(frame["epoch"].min()), int(frame["epoch"].max())]),
    )
    key = LINES if legend else None
    colour = alt.Color("sample:N", title=None, legend=key, sort=None, scale=alt.Scale(domain=names, range=SERIES[:2]))
    dash = alt.StrokeDash("sample:N", title=None, legend=key, sort=None, scale=alt.Scale(domain=names, range=DASHES))
    tooltip: list[Any] = ["sample", "epoch", *says, alt.Tooltip("drawn", title="picked")]
    base = alt.Chart(shown).encode(x=x, y=y, tooltip=tooltip)
    lines = base.mark_line(strokeWidth=1.5).encode(color=colour, strokeDash=dash)
    hovered = base.mark_point(opacity=0, size=120)  # invisible, but it makes the tooltip easy to reach
    picks = [shown[shown["drawn"] & (shown["sample"] == name)] for name in names]
    marks = [  # one layer each: a shape channel would add its marks to the legend of lines
        alt.Chart(of_sample)
        .mark_point(filled=True, size=60, opacity=1, shape=mark, color=ink)
        .encode(x=x, y=y, tooltip=tooltip)
        for of_sample, mark, ink in zip(picks, MARKS, SERIES, strict=False)
        if len(of_sample)
    ]
    here = [] if epoch is None else [alt.Chart(pd.DataFrame({"epoch": [epoch]})).mark_rule(color=RULE).encode(x=x)]
    return [*here, lines, hovered, *marks]


def sample_map(grid: pd.DataFrame, places: pd.DataFrame, *, dark: bool = False, legend: bool = True) -> Chart:
    """`frames.sample.SampleMap.grid` as a heat map of mean p against sd / mean, with marks at the `sample_places`.

    Without `legend`, several places are still named.
    """
    scale = alt.Scale(type="log", nice=False)
    x = alt.X("mean_low:Q", title="mean of p over the epochs, × uniform", scale=scale, axis=times_axis(grid))
    cells = (
        alt.Chart(in_multiples(grid))
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
                legend=alt.Legend(format=",d") if legend else None,
            ),
            tooltip=[
                alt.Tooltip("count:Q", format=",", title="samples"),
                alt.Tooltip("times_low:Q", format=".2~g", title="mean of p from, × uniform"),
                alt.Tooltip("times_high:Q", format=".2~g", title="to, × uniform"),
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
                legend=alt.Legend(orient="top", labelLimit=0, symbolSize=150, symbolStrokeWidth=1)
                if legend or len(names) > 1
                else None,
            ),
            shape=alt.Shape("sample:N", title=None, sort=None, scale=alt.Scale(domain=names, range=MARKS)),
            tooltip=[
                "sample",
                alt.Tooltip("times_uniform:Q", format=".3~g", title="mean of p, × uniform"),
                alt.Tooltip("variability:Q", format=".2f"),
            ],
        )
    )
    return sized(alt.layer(cells, marks).resolve_scale(color="independent"), WIDTH - 220, 320)
