"""Charts of runs side by side: their curves, and the overlap of their picks."""

from typing import Any

import altair as alt
import pandas as pd

from aat_explore.views.charts.style import (
    INKED,
    LINES,
    OTHER_DASHES,
    SERIES,
    WIDTH,
    Chart,
    inked,
    label_places,
    sized,
)

DASHES = ([1, 0], *OTHER_DASHES)
SHARES = alt.Axis(format=".1~%")  # no tick repeats another's label, however close they are
FEW = 4  # lines that are labelled at their ends
GAP = 0.08  # between two labels, as a share of the axis


def run_curves(frame: pd.DataFrame, measure: str, *, dark: bool = False) -> Chart:
    """`frames.compare.curves` of several runs over epochs, with a colour and a dash pattern per run."""
    accuracy = "accuracy" in measure
    y = alt.Y(
        "value:Q",
        title=measure if accuracy else f"{measure}, nats",
        axis=SHARES if accuracy else alt.Undefined,
        scale=alt.Scale(domain=[0, 1]) if accuracy else alt.Scale(zero=True),
    )
    value = alt.Tooltip("value:Q", format=".1%" if accuracy else ".4f")
    tooltip: list[Any] = ["run", "id", alt.Tooltip("failed:N", title="fails"), "epoch", value]
    top = 1.0 if accuracy else frame["value"].max()
    return _lines(frame, "run", "value", y, tooltip, SERIES, top, dark)


def drawn_overlap(frame: pd.DataFrame, *, dark: bool = False) -> Chart:
    """`frames.compare.overlap` per epoch, with a colour and a dash pattern per pair of runs."""
    y = alt.Y("overlap:Q", title="overlap of picks, Jaccard", axis=SHARES, scale=alt.Scale(zero=True))
    tooltip: list[Any] = [
        *("pair", "epoch"),
        alt.Tooltip("overlap:Q", format=".1%"),
        alt.Tooltip("chance:Q", format=".1%", title="by chance"),
        alt.Tooltip("drawn by both:Q", format=",", title="picked by both"),
        alt.Tooltip("drawn by the first:Q", format=",", title="picked by the first"),
        alt.Tooltip("drawn by the second:Q", format=",", title="picked by the second"),
    ]
    chance = (
        alt.Chart(frame).mark_line(strokeWidth=1, strokeDash=[1, 3]).encode(x="epoch:Q", y="chance:Q", color="pair:N")
    )
    colours = [*SERIES[3:], *SERIES[:3]]  # a pair has not the colour of either run
    top = frame[["overlap", "chance"]].to_numpy().max()
    return chance + _lines(frame, "pair", "overlap", y, tooltip, colours, top, dark)


def _lines(
    frame: pd.DataFrame,
    column: str,
    value: str,
    y: alt.Y,
    tooltip: list[Any],
    colours: list[str],
    top: float,
    dark: bool,
) -> Chart:
    """A line of `value`, drawn as `y`, per name in `column`, labelled at its end if they are few; y is 0 to `top`."""
    names = list(dict.fromkeys(frame[column]))
    few = len(names) <= FEW
    colours = [colours[at % len(colours)] for at in range(len(names))]
    # Six colours and seven dash patterns have no common divisor, so the first 42 lines differ.
    dashes = [DASHES[at % len(DASHES)] for at in range(len(names))]
    legend = None if few else alt.Legend(**LINES.to_dict(), columns=6)
    colour = alt.Color(f"{column}:N", title=column, legend=legend, scale=alt.Scale(domain=names, range=colours))
    x = alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False))
    base = alt.Chart(frame).encode(x=x, y=y, color=colour, tooltip=tooltip)
    dash = alt.StrokeDash(f"{column}:N", title=column, legend=legend, scale=alt.Scale(domain=names, range=dashes))
    chart = base.mark_line(strokeWidth=2).encode(strokeDash=dash) + base.mark_point(
        filled=True, size=18, shape="circle", opacity=1
    )
    if few and len(names) > 1:
        ends = inked(label_places(frame, column, value, GAP * top, top), column, names, colours, dark)
        label = alt.Chart(ends).mark_text(align="left", dx=5, fontWeight="bold")
        chart += label.encode(x=x, y="at:Q", text=f"{column}:N", color=INKED)
    return sized(chart, WIDTH, 380)
