"""Clean and robust accuracy of many runs in one chart: against n, against ε, and against training time."""

import itertools
from typing import Any

import altair as alt
import pandas as pd

from aat_explore.budgets import epsilon_text
from aat_explore.views.charts.style import (
    CROSS,
    FAILS,
    HOLDS,
    INK,
    PAPER_COLOURS,
    RULE,
    SERIES,
    Chart,
    n_colour,
    n_dash,
    text_colour,
    with_verdict,
)

NORM_COLOURS = {"Norm": SERIES[0], "Squared Norm": SERIES[1], "Uniform": SERIES[4]}
UNSAMPLED = "n = 0 and all"  # the norm of runs that sample nothing
MEASURES = ["clean", "robust"]
DASHES = [[5, 3], [1, 0]]  # of clean and robust
HEIGHT = 440
DODGE = 0.02  # of the axis of n, between two norms at the same n
ROOM = 0.09  # of the axis of n, on its right, for the labels of the lines
Y_TITLE = "test accuracy"
# Alignment, dx and dy of the n beside a mean, by norm: norms at the same n take similar time.
LABELS: tuple[tuple[Any, int, int], ...] = (
    ("left", 5, -11), ("left", 5, -11), ("left", 5, 15), ("right", -5, -11), ("right", -5, 15),
)  # fmt: skip
ABOVE, BELOW = -7, 8  # pixels that the labels of two lines which end close together stand apart


def accuracy_against_n(points: pd.DataFrame, means: pd.DataFrame, *, dark: bool = False) -> Chart:
    """Clean and robust accuracy against n: a colour per norm, 95% bands around means, every run as a point.

    `points`: `frames.results.with_means`; `means`: `frames.results.with_intervals` by measure, norm, n and place.
    """
    ink = INK[dark]["text"]
    norms = _norms(points, means)
    ticks = dict(zip(means["place"], means["n"], strict=True))
    span = max(1.0, max(ticks) - min(ticks))
    points, means = (_dodged(frame, norms, DODGE * span) for frame in (points, means))
    words = "".join(f"abs(datum.value - {place}) < 1e-3 ? '{_n(n)}' : " for place, n in sorted(ticks.items()))
    axis = alt.Axis(values=sorted(ticks), labelExpr=f"{words}''", labelOverlap="greedy", grid=True)
    domain = [min(ticks) - 0.04 * span, max(ticks) + ROOM * span]
    x = alt.X("place:Q", title="n, samples perturbed per epoch", axis=axis, scale=alt.Scale(domain=domain, nice=False))
    y = _accuracy(points, means)
    colour = _norm_colour(norms, dark)
    mean = alt.Chart(means).encode(x=x, color=colour, strokeDash=_dash(), detail=["norm:N", "measure:N"])
    band = mean.mark_area(opacity=0.13, strokeWidth=0).encode(
        y=alt.Y("low:Q", title=Y_TITLE), y2="high:Q", strokeDash=alt.Undefined
    )
    line = mean.mark_line(strokeWidth=2).encode(y=alt.Y("mean:Q", title=Y_TITLE))
    bars = mean.mark_rule(strokeWidth=1.5, opacity=0.55).encode(
        y=alt.Y("low:Q", title=Y_TITLE), y2="high:Q", strokeDash=alt.Undefined
    )
    labels = [
        alt.Chart(pd.DataFrame([end]))
        .mark_text(align="left", dx=9, dy=end["dy"], color=ink, fontSize=12)
        .encode(x=x, y=alt.Y("mean:Q", title=Y_TITLE), text="measure:N")
        for end in _ends(means)
    ]
    return _sized(alt.layer(band, line, bars, _single(points, x, y, colour), *labels))


def accuracy_against_epsilon(
    runs: pd.DataFrame,
    means: pd.DataFrame,
    by: str,
    epsilon: float,
    *,
    title: str = "",
    every: tuple[str, ...] = (),
    dark: bool = False,
) -> Chart:
    """Accuracy against ε: a line per value of `by` (n or settings) with a 95% band, every run as a point.

    `runs`: `frames.results.with_means` of `over_epsilon`; `means`: `with_intervals` by `by` and epsilon. A rule
    stands at `epsilon`. `every`: all values of `by`, where several charts share their colours.
    """
    names = list(every or dict.fromkeys(means[by]))
    legend = alt.Legend(
        orient="top-right",
        symbolType="stroke",
        symbolOpacity=1,
        symbolSize=400,
        symbolStrokeWidth=2,
        labelLimit=0,
        labelExpr="isNaN(+datum.label) ? datum.label : format(+datum.label, ',')",
    )
    colour: Any
    if by == "n":
        colour, dash = (channel.legend(legend) for channel in (n_colour(names, dark), n_dash(names)))
    else:
        scale = alt.Scale(domain=names, range=SERIES)
        colour = alt.Color(f"{by}:N", scale=scale, legend=legend, title="trained with")
        dash = alt.StrokeDash(f"{by}:N", scale=alt.Scale(domain=names), legend=legend, title="trained with")
    x = alt.X(
        "epsilon:Q", title="ε (pixel units)", axis=alt.Axis(tickCount=6, labelFlush=False), scale=alt.Scale(nice=False)
    )
    mean = alt.Chart(means).encode(x=x, color=colour)
    band = mean.mark_area(opacity=0.13, strokeWidth=0).encode(y=alt.Y("low:Q", title=Y_TITLE), y2="high:Q")
    line = mean.mark_line(strokeWidth=2).encode(y=alt.Y("mean:Q", title=Y_TITLE), strokeDash=dash)
    at = pd.DataFrame({"epsilon": [epsilon], "words": [f"ε {epsilon_text(epsilon)}"]})
    rule = alt.Chart(at).mark_rule(color=RULE, strokeDash=[3, 3]).encode(x=x)
    word = alt.Chart(at).mark_text(color=INK[dark]["text"], align="left", dx=4, dy=-6, baseline="bottom").encode(
        x=x, y=alt.value("height"), text="words:N"
    )  # fmt: skip
    y = alt.Y("accuracy:Q", title=Y_TITLE, axis=_percents(), scale=alt.Scale(domain=[0, 1]))
    chart = band + rule + word + line + _single(runs, x, y, colour, small=True)
    return _sized(chart.properties(title=alt.Title(title, anchor="start")) if title else chart)


def accuracy_against_seconds(points: pd.DataFrame, means: pd.DataFrame, *, dark: bool = False) -> Chart:
    """Clean and robust accuracy against training time, with n beside each mean; bars are 95% intervals.

    `points`: `frames.results.with_means`; `means`: `frames.results.in_time`. Both of one machine.
    """
    norms = _norms(points, means)
    last = float(points["seconds"].max())
    x = alt.X(
        "seconds:Q", title="training time in seconds, without validation", axis=alt.Axis(tickCount=8, labelFlush=False),
        scale=alt.Scale(domain=[0, 1.07 * last], nice=False),
    )  # fmt: skip
    y, colour = _accuracy(points, means), _norm_colour(norms, dark)
    mean = alt.Chart(means).encode(x=x, color=colour, detail=["norm:N", "measure:N"])
    mean_y = alt.Y("mean:Q", title=Y_TITLE)
    line = mean.mark_line(strokeWidth=1.5, opacity=0.6).encode(y=mean_y, order="position:Q", strokeDash=_dash())
    bars = mean.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title=Y_TITLE), y2="high:Q")
    words: list[Chart] = []
    inks = _norm_colours(norms, dark)
    for (norm, part), (align, dx, dy) in zip(_labels(means, norms).items(), itertools.cycle(LABELS), strict=False):
        ink = text_colour(inks[norm], dark=dark)
        mark = alt.Chart(part).mark_text(align=align, dx=dx, dy=dy, fontSize=12, color=ink)
        words.append(mark.encode(x=x, y=mean_y, text="word:N"))
    return _sized(alt.layer(line, bars, _single(points, x, y, colour), *words))


def _labels(means: pd.DataFrame, norms: list[str]) -> dict[str, pd.DataFrame]:
    """The means that n stands beside, of the baselines and by norm: robust ones, which differ most."""
    lower = means[means["measure"] == ("robust" if (means["measure"] == "robust").any() else "clean")]
    baseline = lower["n"].isin(["0", "all"])
    named = lower.assign(word=[_n(n) for n in lower["n"]], norm=lower["norm"].where(~baseline, UNSAMPLED))
    return {norm: named[named["norm"] == norm].drop_duplicates("n") for norm in [UNSAMPLED, *norms]}


# --- Shared ----------------------------------------------------------------------------------------------------------


def _norms(points: pd.DataFrame, means: pd.DataFrame) -> list[str]:
    """Norms in the order of the frames, without the baselines' place."""
    return [norm for norm in dict.fromkeys([*means["norm"], *points["norm"]]) if norm != UNSAMPLED]


def _norm_colours(norms: list[str], dark: bool) -> dict[str, str]:
    spare = iter([SERIES[2], SERIES[3], SERIES[5]] * (1 + len(norms) // 3))
    colours = {norm: NORM_COLOURS.get(norm) or next(spare) for norm in norms}
    return colours | {UNSAMPLED: PAPER_COLOURS[dark]["0"]}


def _norm_colour(norms: list[str], dark: bool) -> alt.Color:
    colours = _norm_colours(norms, dark)
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    legend = alt.Legend(
        orient="top",
        values=norms,
        symbolType="stroke",
        symbolSize=200,
        symbolStrokeWidth=3,
        symbolOpacity=1,
        title=None,
    )
    return alt.Color("norm:N", scale=scale, legend=legend)


def _dash() -> alt.StrokeDash:
    return alt.StrokeDash("measure:N", scale=alt.Scale(domain=MEASURES, range=DASHES), legend=None)


def _percents() -> alt.Axis:
    return alt.Axis(format=".0%", tickCount=6)


def _accuracy(points: pd.DataFrame, means: pd.DataFrame) -> alt.Y:
    """An axis from 0, so that a small accuracy looks small, up to the next ten percent."""
    top = max(float(points["accuracy"].max()), float(means["high"].max()))
    return alt.Y(
        "accuracy:Q", title=Y_TITLE, axis=_percents(), scale=alt.Scale(domain=[0, min(1.0, -(-top * 10 // 1) / 10)])
    )


def _single(points: pd.DataFrame, x: alt.X, y: alt.Y, colour: alt.Color, *, small: bool = False) -> Chart:
    """Every run: a dot, or a cross if it fails a check, with its name, numbers and failed checks on hovering."""
    judged = with_verdict(points)
    scale = alt.Scale(domain=[HOLDS, FAILS], range=["circle", CROSS])
    legend = alt.Legend(
        orient="top", values=[FAILS], title=None, symbolOpacity=1, symbolSize=150, symbolFillColor=RULE,
        symbolStrokeColor=RULE,
    )  # fmt: skip
    shown = (judged["verdict"] == FAILS).any() and not small
    shape: Any = alt.Shape("verdict:N", scale=scale, legend=legend if shown else None)
    measure = ["measure:N"] if "measure" in points else []
    tooltip = [
        alt.Tooltip("name:N", title="run"),
        *measure,
        alt.Tooltip("epsilon:Q", format=".3g", title="ε"),
        alt.Tooltip("accurate:N", title="accuracy"),
        alt.Tooltip("interval:N", title="95% interval"),
        alt.Tooltip("summary:N", title="mean"),
        alt.Tooltip("fails:N"),
        alt.Tooltip("tested:N"),
        alt.Tooltip("seconds:Q", format=",.4~g", title="training seconds"),
    ]
    size = alt.condition(alt.datum["failed"] != "", alt.value(60 if small else 110), alt.value(14 if small else 45))
    return (
        alt.Chart(judged)
        .mark_point(filled=True, opacity=0.85)
        .encode(x=x, y=y, color=colour, shape=shape, size=size, tooltip=tooltip)
    )


def _dodged(frame: pd.DataFrame, norms: list[str], step: float) -> pd.DataFrame:
    """The frame with norms at the same n moved apart; baselines, which belong to all, stay."""
    middle = (len(norms) - 1) / 2
    moved = [
        place if norm == UNSAMPLED or n in ("0", "all") else place + step * (norms.index(norm) - middle)
        for place, norm, n in zip(frame["place"], frame["norm"], frame["n"], strict=True)
    ]
    return frame.assign(place=moved)


def _ends(means: pd.DataFrame) -> list[dict[str, Any]]:
    """The last mean of each measure, averaged over norms, and how far its label is moved from the other's."""
    last = means[means["place"] == means["place"].max()]
    ends = last.groupby("measure", as_index=False)[["place", "mean"]].agg({"place": "max", "mean": "mean"})
    close = len(ends) == 2 and ends["mean"].max() - ends["mean"].min() < 0.05
    upper = int(ends["mean"].to_numpy().argmax())
    dy = [(ABOVE if at == upper else BELOW) * close for at in range(len(ends))]
    return [{str(name): value for name, value in end.items()} for end in ends.assign(dy=dy).to_dict("records")]


def _n(n: str) -> str:
    return n if n == "all" else f"{int(n):,}"


def _sized(chart: Chart) -> Chart:
    return chart.properties(width=720, height=HEIGHT)
