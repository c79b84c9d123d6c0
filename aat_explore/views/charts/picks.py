"""Charts of one epoch: p of all samples and of the drawn ones, and their classes.

They are redrawn at each step through the epochs, so their channels are written out: each one given as a bare string
costs Altair 3 ms.
"""

import altair as alt
import pandas as pd

from aat_explore.views.charts.style import GROUP_COLOURS, INK, PERCENT, RULE, Chart, sized

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


def p_histogram(frame: pd.DataFrame, *, dark: bool = False, legend: bool = True) -> Chart:
    """`frames.picks.p_histogram` on a log axis of p: shares of all T and of the picked, and a rule at p = 1/T."""
    labels, colours = _groups(frame, dark)
    data = frame.assign(group=frame["group"].map(labels))
    log = alt.Scale(type="log", nice=False)
    room = alt.Scale(domain=[0, 1.15 * max(data["share"].max(), 0.01)])  # above the bars, for the rule's label
    bars = (
        alt.Chart(data)
        .mark_bar(opacity=0.6)
        .encode(
            x=alt.X("p_low:Q", scale=log, title="p (log scale)", axis=alt.Axis(format=".0e", tickCount=4)),
            x2=alt.X2("p_high:Q"),
            y=alt.Y("share:Q", title="share of its group", axis=PERCENT, stack=None, scale=room),
            y2=alt.Y2Datum(0),
            color=alt.Color(
                "group:N",
                title=None,
                legend=alt.Legend(orient="top") if legend else None,
                scale=alt.Scale(domain=list(labels.values()), range=colours),
            ),
            tooltip=[
                alt.Tooltip("group"),
                alt.Tooltip("p_low:Q", format=".2e", title="p from"),
                alt.Tooltip("p_high:Q", format=".2e", title="to"),
                alt.Tooltip("count:Q", format=",", title="samples"),
                alt.Tooltip("share:Q", format=".2%"),
            ],
        )
    )
    uniform = alt.Chart(pd.DataFrame({"p": frame["uniform"].head(1), "what": "uniform p = 1/T"}))
    x = alt.X("p:Q", scale=log)
    rule = uniform.mark_rule(strokeDash=[4, 3], color=RULE).encode(x=x, tooltip=alt.Tooltip("what"))
    text = uniform.mark_text(align="right", dx=-4, y=8, color=INK[dark]["text"]).encode(x=x, text=alt.Text("what"))
    brush = alt.selection_interval(
        name=BRUSH, encodings=["x"], mark=alt.BrushConfig(fill=colours[-1], fillOpacity=0.15)
    )
    return sized(bars.add_params(brush) + rule + text, 400, 300)


def class_mix(frame: pd.DataFrame, *, dark: bool = False, legend: bool = True) -> Chart:
    """`frames.picks.class_mix` as pairs of bars: each class's share of all T samples and of the picked ones."""
    labels, colours = _groups(frame, dark)
    chart = (
        alt.Chart(frame.assign(group=frame["group"].map(labels)))
        .mark_bar()
        .encode(
            y=alt.Y(
                "class:N",
                sort=list(frame["class"].unique()),
                title=None,
                axis=alt.Axis(labelLimit=140, labelOverlap=False),
            ),
            yOffset=alt.YOffset("group:N", sort=list(labels.values())),
            x=alt.X("share:Q", title="share of its group", axis=PERCENT),
            color=alt.Color(
                "group:N",
                title=None,
                legend=alt.Legend(orient="top") if legend else None,
                scale=alt.Scale(domain=list(labels.values()), range=colours),
            ),
            tooltip=[
                alt.Tooltip("class"),
                alt.Tooltip("group"),
                alt.Tooltip("count:Q", format=","),
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
    )
    click = alt.selection_point(name=CLICK, fields=["class"])
    return sized(chart.add_params(click), 400, 300)
