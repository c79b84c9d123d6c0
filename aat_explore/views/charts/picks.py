"""Charts of one epoch: p of all samples and of the drawn ones, and their classes.

They are redrawn at each step through the epochs, so each is built once without its numbers: Altair takes 30 to 90 ms
to build one, and only the numbers differ from epoch to epoch.
"""

from functools import lru_cache

import altair as alt
import pandas as pd

from aat_explore.views.charts.style import GROUP_COLOURS, INK, PERCENT, RULE, Chart, filled, sized

BRUSH = "p_brush"  # names under which Streamlit reports the selections
CLICK = "class_click"
GROUPS = {"all": "all T samples", "drawn": "picked", "shown": "shown"}


def _groups(frame: pd.DataFrame, dark: bool) -> tuple[dict[str, str], list[str]]:
    """Labels and colours of the groups in a frame, in order."""
    present = set(frame["group"])
    return {group: label for group, label in GROUPS.items() if group in present}, [
        colour for group, colour in GROUP_COLOURS[dark].items() if group in present
    ]


def legend(frame: pd.DataFrame, *, dark: bool = False) -> dict[str, str]:
    """Label → colour of the groups in `p_histogram` or `class_mix`, for a legend outside of the chart."""
    labels, colours = _groups(frame, dark)
    return dict(zip(labels.values(), colours, strict=True))


def p_histogram(frame: pd.DataFrame, *, top: float = 0.01, dark: bool = False, legend: bool = True) -> Chart:
    """`frames.picks.p_histogram` on a log axis of p: shares of all T and of the picked, and a rule at p = 1/T.

    `top`: a share that the axis reaches at least.
    """
    labels, colours = _groups(frame, dark)
    top = 1.15 * max(frame["share"].max(), top, 0.01)  # room above the bars for the rule's label
    uniform = pd.DataFrame({"p": frame["uniform"].head(1), "what": "uniform p = 1/T"})
    chart = _p_histogram(tuple(labels.values()), tuple(colours), float(top), dark, legend)
    return filled(chart, bars=frame.assign(group=frame["group"].map(labels)), uniform=uniform)


@lru_cache(maxsize=32)
def _p_histogram(labels: tuple[str, ...], colours: tuple[str, ...], top: float, dark: bool, legend: bool) -> Chart:
    log = alt.Scale(type="log", nice=False)
    bars = (
        alt.Chart(alt.NamedData("bars"))
        .mark_bar(opacity=0.6)
        .encode(
            x=alt.X("p_low:Q", scale=log, title="p (log scale)", axis=alt.Axis(format=".0e", tickCount=4)),
            x2=alt.X2("p_high:Q"),
            y=alt.Y("share:Q", title="share of its group", axis=PERCENT, stack=None, scale=alt.Scale(domain=[0, top])),
            y2=alt.Y2Datum(0),
            color=_group_colour(labels, colours, legend),
            tooltip=[
                alt.Tooltip("group:N"),
                alt.Tooltip("p_low:Q", format=".2e", title="p from"),
                alt.Tooltip("p_high:Q", format=".2e", title="to"),
                alt.Tooltip("count:Q", format=",", title="samples"),
                alt.Tooltip("share:Q", format=".2%"),
            ],
        )
    )
    uniform = alt.Chart(alt.NamedData("uniform"))
    x = alt.X("p:Q", scale=log)
    rule = uniform.mark_rule(strokeDash=[4, 3], color=RULE).encode(x=x, tooltip=alt.Tooltip("what:N"))
    text = uniform.mark_text(align="right", dx=-4, y=8, color=INK[dark]["text"]).encode(x=x, text=alt.Text("what:N"))
    brush = alt.selection_interval(
        name=BRUSH, encodings=["x"], mark=alt.BrushConfig(fill=colours[-1], fillOpacity=0.15)
    )
    return sized(bars.add_params(brush) + rule + text, 400, 300)


def class_mix(frame: pd.DataFrame, *, top: float = 0.01, dark: bool = False, legend: bool = True) -> Chart:
    """`frames.picks.class_mix` as pairs of bars: each class's share of all T samples and of the picked ones.

    `top`: a share that the axis reaches at least.
    """
    labels, colours = _groups(frame, dark)
    classes, top = tuple(frame["class"].unique()), float(max(frame["share"].max(), top, 0.01))
    chart = _class_mix(classes, tuple(labels.values()), tuple(colours), top, legend)
    return filled(chart, bars=frame.assign(group=frame["group"].map(labels)))


@lru_cache(maxsize=32)
def _class_mix(
    classes: tuple[str, ...], labels: tuple[str, ...], colours: tuple[str, ...], top: float, legend: bool
) -> Chart:
    chart = (
        alt.Chart(alt.NamedData("bars"))
        .mark_bar()
        .encode(
            y=alt.Y("class:N", sort=list(classes), title=None, axis=alt.Axis(labelLimit=140, labelOverlap=False)),
            yOffset=alt.YOffset("group:N", sort=list(labels)),
            x=alt.X("share:Q", title="share of its group", axis=PERCENT, scale=alt.Scale(domain=[0, top])),
            color=_group_colour(labels, colours, legend),
            tooltip=[
                alt.Tooltip("class:N"),
                alt.Tooltip("group:N"),
                alt.Tooltip("count:Q", format=","),
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
    )
    click = alt.selection_point(name=CLICK, fields=["class"])
    return sized(chart.add_params(click), 400, 300)


def _group_colour(labels: tuple[str, ...], colours: tuple[str, ...], legend: bool) -> alt.Color:
    shown = alt.Legend(orient="top") if legend else None
    return alt.Color("group:N", title=None, legend=shown, scale=alt.Scale(domain=list(labels), range=list(colours)))
