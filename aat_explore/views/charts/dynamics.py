"""Charts of the sampler over all epochs of a run: small panels that share their axis of epochs.

Each has its title above it, so that panels of one column begin at one edge. Where there are several runs, a letter or
a name stands at the end of each line. `epoch` is marked: by a rule, or by a frame around its column of a map.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from aat_explore.views.charts.style import (
    INK,
    INKED,
    RULE,
    SERIES,
    WIDTH,
    Chart,
    inked,
    label_places,
    panel_width,
    percents,
    sized,
)
from aat_explore.views.frames.dynamics import ENTROPY, ESS, GINI, TOP

TITLES = {
    ESS: "effective sample size, share of T",
    ENTROPY: "entropy of p, nats",
    GINI: "Gini coefficient of p",
    TOP: "p held by the most likely 1%",
}
OVERLAP_TITLE = "overlap with the epoch before, Jaccard"
GAP = 0.08  # between two labels, as a share of the axis
LABELS = 34  # pixels at least for the labels of a vertical axis, so that panels one above the other align
SHORT = 20  # epochs; longer lines have no marks
LEAST_NATS = 0.2  # that the axis of entropy spans: less would show rounding
RATIOS = (1.5, 2, 3, 4)  # at which the colours of the class mix may end: a tenth of the cells is farther from 1
DIVERGING = {False: ["#2166ac", "#f3f3f3", "#b2182b"], True: ["#58aaf5", "#262a30", "#ff7f50"]}
# Squares, because the gradient of a legend refers to the page's address, and disappears when that changes.
LEGEND: dict[str, Any] = {
    "orient": "top", "title": None, "type": "symbol", "symbolType": "square", "symbolSize": 120,
    "symbolStrokeWidth": 0.5, "symbolStrokeColor": RULE, "symbolOpacity": 1, "columnPadding": 8, "offset": 2,
}  # fmt: skip


# --- How uneven p is -------------------------------------------------------------------------------------------------


def unevenness(frame: pd.DataFrame, *, dark: bool = False) -> Chart:
    """All panels of `measure_of_p` in one figure, for `frames.dynamics.unevenness` of one or more runs."""
    panels = [measure_of_p(frame, measure, dark=dark) for measure in dict.fromkeys(frame["measure"])]
    return alt.concat(*(sized(panel, panel_width(2), 170) for panel in panels), columns=2)


def measure_of_p(frame: pd.DataFrame, measure: str, *, epoch: int | None = None, dark: bool = False) -> Chart:
    """One measure of `frames.dynamics.unevenness` over epochs: a line per run, and a thin one for uniform p.

    The effective sample size is shown as a share of T, so that runs of different data sets can be compared.
    """
    rows = frame[frame["measure"] == measure]
    value, uniform = rows["value"], rows["uniform"]
    tooltip = [alt.Tooltip("value:Q", title=measure, format=",.4~g")]
    if measure == ESS:
        rows = rows.assign(samples=value, value=value / uniform, uniform=1.0)
        tooltip = [alt.Tooltip("samples:Q", title=measure, format=",.0f")]
        tooltip += [alt.Tooltip("value:Q", title="share of T", format=".1%")]
    elif measure == TOP:
        tooltip = [alt.Tooltip("value:Q", title=measure, format=".1%")]
    if measure == ENTROPY:
        top = float(max(value.max(), uniform.max()))
        span = max(top - float(value.min()), LEAST_NATS)
        low, high = top - 1.08 * span, top + 0.04 * span
    else:
        low, high = 0.0, 1.0 if measure == ESS else _top(rows, "value", "uniform")
    axis = percents(high, LABELS) if measure in (ESS, TOP) else alt.Axis(tickCount=5, minExtent=LABELS)
    rule = alt.Chart(rows.drop_duplicates("uniform")).mark_rule(color=RULE)
    within = _within((low, high))
    reference = [
        rule.encode(y=alt.Y("uniform:Q", title=None, scale=within)),
        _word("uniform", rows, "uniform", (low, high), dark),
    ]
    return _lines(rows, "value", (low, high), axis, tooltip, reference, TITLES[measure], epoch, dark)


def overlap_with_previous(frame: pd.DataFrame, *, epoch: int | None = None, dark: bool = False) -> Chart:
    """`frames.dynamics.overlap_with_previous` of one or more runs; thin lines are the overlap by chance."""
    high = _top(frame, "overlap", "chance")
    tooltip = [alt.Tooltip("overlap:Q", format=".1%"), alt.Tooltip("chance:Q", title="by chance", format=".1%")]
    thin = alt.Chart(frame).mark_line(color=RULE, strokeWidth=1)
    chance = thin.encode(x=_epochs(frame), y=alt.Y("chance:Q", title=None, scale=_within((0.0, high))), detail="run:N")
    reference = [chance, _word("by chance", frame, "chance", (0.0, high), dark)]
    return _lines(frame, "overlap", (0.0, high), percents(high, LABELS), tooltip, reference, OVERLAP_TITLE, epoch, dark)


def _lines(
    frame: pd.DataFrame,
    value: str,
    domain: tuple[float, float],
    axis: alt.Axis,
    tooltip: list[alt.Tooltip],
    reference: list[Chart],
    title: str,
    epoch: int | None,
    dark: bool,
) -> Chart:
    """A line of `value` per run within `domain`, over what it is compared with."""
    names, x = list(dict.fromkeys(frame["run"])), _epochs(frame)
    y = alt.Y(f"{value}:Q", title=None, axis=axis, scale=_within(domain))
    colour = alt.Color("run:N", legend=None, sort=None, scale=alt.Scale(domain=names, range=SERIES))
    says: list[Any] = [*(["run"] if len(names) > 1 else []), "epoch", *tooltip]
    base = alt.Chart(frame).encode(x=x, y=y, color=colour, tooltip=says)
    short = frame["epoch"].nunique() <= SHORT
    marks = base.mark_point(filled=True, opacity=1 if short else 0, size=16 if short else 60)
    here = alt.Chart(pd.DataFrame({"epoch": [epoch]})).mark_rule(color=RULE, strokeDash=[3, 3])
    layers = [*([] if epoch is None else [here.encode(x=x)]), *reference, base.mark_line(strokeWidth=2), marks]
    if len(names) > 1:
        low, high = domain
        ends = label_places(frame, "run", value, GAP * (high - low), high)
        label = alt.Chart(inked(ends, "run", names, SERIES, dark)).mark_text(align="left", dx=5, fontWeight="bold")
        at = alt.Y("at:Q", title=None, scale=_within(domain))
        layers.append(label.encode(x=x, y=at, text="run:N", color=INKED))
    return _panel(alt.layer(*layers), title)


def _word(word: str, frame: pd.DataFrame, column: str, domain: tuple[float, float], dark: bool) -> Chart:
    """What the thin line of the first run is, at its end, on the side of the panel's middle."""
    end = float(frame[frame["run"] == frame["run"].iloc[0]][column].iloc[-1])
    low = end < sum(domain) / 2
    mark = alt.Chart(pd.DataFrame({"end": [end], "word": [word]})).mark_text(
        align="right", dx=-3, dy=-2 if low else 3, baseline="bottom" if low else "top", color=INK[dark]["text"]
    )
    return mark.encode(x=alt.value("width"), y=alt.Y("end:Q", title=None, scale=_within(domain)), text="word:N")


def _top(frame: pd.DataFrame, value: str, reference: str) -> float:
    """Where an axis from 0 ends; the Gini coefficient of uniform p is 0 up to rounding."""
    return max(0.01, 1.08 * float(frame[[value, reference]].to_numpy().max()))


def _within(domain: tuple[float, float]) -> alt.Scale:
    return alt.Scale(domain=list(domain), nice=False, zero=False)


# --- Which samples, and which classes --------------------------------------------------------------------------------


def overlaps(frame: pd.DataFrame, *, epoch: int | None = None, of: str = "", dark: bool = False) -> Chart:
    """`frames.dynamics.overlaps` as a heat map, epoch against epoch, without the diagonal, which is always 1.

    `of` names the run in the title.
    """
    edges = _edges(frame["epoch"])
    apart = frame[frame["epoch"] != frame["other"]]
    apart = apart.assign(
        left=[edges[epoch][0] for epoch in apart["epoch"]],
        right=[edges[epoch][1] for epoch in apart["epoch"]],
        bottom=[edges[other][0] for other in apart["other"]],
        top=[edges[other][1] for other in apart["other"]],
    )
    first, last = min(edges.values())[0], max(edges.values())[1]
    across = alt.Axis(tickMinStep=1, tickCount=6, format="d", grid=False)
    upwards = alt.Axis(tickMinStep=1, tickCount=6, format="d", grid=False, minExtent=LABELS)
    scale = alt.Scale(domain=[first, last])
    x = alt.X("left:Q", title="epoch", axis=across, scale=scale)
    y = alt.Y("bottom:Q", title=None, axis=upwards, scale=scale)
    legend = alt.Legend(**LEGEND, format=".0%", tickCount=4)
    cells = alt.Chart(apart).mark_rect().encode(
        x=x, x2="right:Q", y=y, y2="top:Q",
        color=alt.Color("overlap:Q", scale=alt.Scale(scheme="viridis"), legend=legend),
        tooltip=["epoch", alt.Tooltip("other", title="and epoch"), alt.Tooltip("overlap:Q", format=".1%")],
    )  # fmt: skip
    return _panel(alt.layer(cells, *_frames(epoch, edges, x, dark)), f"overlap of every two epochs, Jaccard{_of(of)}")


def mix_over_epochs(frame: pd.DataFrame, *, epoch: int | None = None, of: str = "", dark: bool = False) -> Chart:
    """`frames.dynamics.mix_over_epochs` as a heat map of each class's share of the drawn over its share of all T.

    Classes that were drawn most above chance come first. `of` names the run in the title.
    """
    names = list(frame.groupby("class", sort=False)["ratio"].mean().sort_values(ascending=False, kind="stable").index)
    edges = _edges(frame["epoch"])
    doublings = np.log2(frame["ratio"].clip(lower=1e-9))
    end = math.log2(next((ratio for ratio in RATIOS if ratio >= 2 ** doublings.abs().quantile(0.9)), RATIOS[-1]))
    cells = frame.assign(
        left=[edges[epoch][0] for epoch in frame["epoch"]],
        right=[edges[epoch][1] for epoch in frame["epoch"]],
        doublings=doublings.clip(-end, end),
    )
    domain = [min(edges.values())[0], max(edges.values())[1]]
    x = alt.X(
        "left:Q", title="epoch", axis=alt.Axis(tickMinStep=1, tickCount=6, format="d", grid=False),
        scale=alt.Scale(domain=domain),
    )  # fmt: skip
    words = "(datum.value < 0 ? '≤ ' : datum.value > 0 ? '≥ ' : '') + format(pow(2, datum.value), '.2~g') + '×'"
    legend = alt.Legend(**LEGEND, values=[-end, 0, end], labelExpr=words)
    colour = alt.Color(
        "doublings:Q", scale=alt.Scale(domain=[-end, 0, end], range=DIVERGING[dark], interpolate="rgb"), legend=legend
    )
    axis = alt.Axis(labelLimit=80, labelOverlap=True, ticks=False, domain=False)
    y = alt.Y("class:N", title=None, sort=names, axis=axis)
    share = alt.Tooltip("share:Q", title="share of the picks", format=".1%")
    tooltip = ["epoch", "class", share, alt.Tooltip("ratio:Q", title="× chance", format=".2f")]
    rects = alt.Chart(cells).mark_rect().encode(x=x, x2="right:Q", y=y, color=colour, tooltip=tooltip)
    return _panel(alt.layer(rects, *_frames(epoch, edges, x, dark)), f"class mix of the picks, × chance{_of(of)}")


def _of(run: str) -> str:
    return f" · {run}" if run else ""


def _edges(epochs: Sequence[int] | pd.Series) -> dict[int, tuple[float, float]]:
    """Where the column of each epoch begins and ends: halfway to its neighbours."""
    ordered = sorted({int(epoch) for epoch in epochs})
    between = [(one + other) / 2 for one, other in itertools.pairwise(ordered)]
    lows, highs = [ordered[0] - 0.5, *between], [*between, ordered[-1] + 0.5]
    return dict(zip(ordered, zip(lows, highs, strict=True), strict=True))


def _frames(epoch: int | None, edges: dict[int, tuple[float, float]], x: alt.X, dark: bool) -> list[Chart]:
    """A frame around the column that holds `epoch`, if there is one."""
    around = [] if epoch is None else [ends for ends in edges.values() if ends[0] <= epoch <= ends[1]][:1]
    return [
        alt.Chart(pd.DataFrame({"left": [left], "right": [right]}))
        .mark_rect(filled=False, stroke=stroke, strokeWidth=width)
        .encode(x=x, x2="right:Q", y=alt.value(0), y2=alt.value("height"))
        for left, right in around
        for stroke, width in ((INK[not dark]["text"], 3.5), (INK[dark]["text"], 1.5))  # seen on dark and light cells
    ]


def times_drawn_histogram(frame: pd.DataFrame, *, dark: bool = False) -> Chart:
    """`frames.dynamics.times_drawn_histogram` of one or more runs: bars for the first, lines for the others.

    A thin line is what uniform draws of the first run's sizes would give.
    """
    names, ink = list(dict.fromkeys(frame["run"])), INK[dark]["text"]
    most = 2 * float(frame[["samples", "expected"]].to_numpy().max())  # the upper half has room for the key
    ends = alt.Scale(domain=[-0.5, int(frame["times"].max()) + 0.5], nice=False)
    axis = alt.Axis(tickMinStep=1, tickCount=8, format="d", grid=False)
    x = alt.X("times:Q", title="times picked", axis=axis, scale=ends)
    powers = alt.Axis(
        format=",d", values=[0, *(10**power for power in range(7) if 10**power <= most)], minExtent=LABELS
    )
    scale = alt.Scale(type="symlog", constant=1, domain=[0, most], nice=False)
    y = alt.Y("samples:Q", title=None, axis=powers, scale=scale)
    colour = alt.Color("run:N", legend=None, sort=None, scale=alt.Scale(domain=names, range=SERIES))
    tooltip: list[Any] = [
        *(["run"] if len(names) > 1 else []),
        alt.Tooltip("times:Q", title="times picked"),
        alt.Tooltip("samples:Q", format=","),
        alt.Tooltip("expected:Q", title="by uniform draws", format=",.1f"),
    ]
    first = frame[frame["run"] == names[0]]
    edges = first.assign(left=first["times"] - 0.42, right=first["times"] + 0.42)
    bars = alt.Chart(edges).mark_bar(opacity=1 if len(names) == 1 else 0.4).encode(
        x=alt.X("left:Q", title="times picked", axis=axis, scale=ends), x2="right:Q",
        y=y, y2=alt.datum(0), color=colour, tooltip=tooltip,
    )  # fmt: skip
    others = alt.Chart(frame[frame["run"] != names[0]]).mark_line(interpolate="step", strokeWidth=2)
    uniform = alt.Chart(first).mark_line(interpolate="step", color=ink, strokeWidth=1.5)
    key = alt.Chart(pd.DataFrame({"what": ["— uniform draws"]})).mark_text(align="right", baseline="top", color=ink)
    layers = [bars, uniform.encode(x=x, y=alt.Y("expected:Q", title=None, scale=scale))]
    if len(names) > 1:
        layers.append(others.encode(x=x, y=y, color=colour, tooltip=tooltip))
        last = frame[frame["samples"] > 0].groupby("run", sort=False).tail(1)
        label = alt.Chart(inked(last, "run", names, SERIES, dark))
        label = label.mark_text(align="left", baseline="bottom", dx=2, dy=-2, fontWeight="bold")
        layers.append(label.encode(x=x, y=y, text="run:N", color=INKED))
    layers.append(key.encode(x=alt.value("width"), y=alt.value(0), text="what:N"))
    return _panel(alt.layer(*layers), "samples by times picked")


def data_map(frame: pd.DataFrame) -> Chart:
    """`frames.dynamics.map_cells`: mean of p against its variability, coloured by mean times drawn."""
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
    )
    return sized(chart, WIDTH - 200, 360)


# --- Shared ----------------------------------------------------------------------------------------------------------


def _epochs(frame: pd.DataFrame) -> alt.X:
    axis = alt.Axis(tickMinStep=1, tickCount=6, format="d", grid=False)
    last = int(frame["epoch"].max())
    return alt.X("epoch:Q", axis=axis, scale=alt.Scale(domain=[0.5, last + 0.5], nice=False))


def _panel(chart: Chart, title: str) -> Chart:
    return sized(chart, 420, 300).properties(title=alt.Title(title, anchor="start", frame="bounds", offset=6))
