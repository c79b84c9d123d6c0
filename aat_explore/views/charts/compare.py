"""Charts of runs side by side: their curves, and the overlap of their picks."""

from typing import Any

import altair as alt
import pandas as pd

from aat_explore.views.charts.style import LINES, OTHER_DASHES, PERCENT, SERIES, WIDTH, Chart, sized

DASHES = ([1, 0], *OTHER_DASHES)


def run_curves(frame: pd.DataFrame, measure: str) -> Chart:
    """`frames.compare.curves` of several runs over epochs, with a colour and a dash pattern per run."""
    accuracy = "accuracy" in measure
    y = alt.Y(
        "value:Q",
        title=f"{measure}, validation" if accuracy else f"{measure}, nats",
        axis=PERCENT if accuracy else alt.Undefined,
        scale=alt.Scale(domain=[0, 1]) if accuracy else alt.Scale(zero=True),
    )
    value = alt.Tooltip("value:Q", format=".1%" if accuracy else ".4f")
    tooltip: list[Any] = ["run", "id", alt.Tooltip("failed:N", title="fails"), "epoch", value]
    return _lines(frame, "run", y, tooltip)


def drawn_overlap(frame: pd.DataFrame) -> Chart:
    """`frames.compare.overlap` per epoch, with a colour and a dash pattern per pair of runs."""
    y = alt.Y("overlap:Q", title="overlap of the drawn sets (Jaccard)", axis=PERCENT, scale=alt.Scale(zero=True))
    tooltip: list[Any] = [
        *("pair", "epoch"),
        alt.Tooltip("overlap:Q", format=".1%"),
        alt.Tooltip("chance:Q", format=".1%", title="by chance"),
        alt.Tooltip("drawn by both:Q", format=","),
        alt.Tooltip("drawn by the first:Q", format=","),
        alt.Tooltip("drawn by the second:Q", format=","),
    ]
    chance = (
        alt.Chart(frame).mark_line(strokeWidth=1, strokeDash=[1, 3]).encode(x="epoch:Q", y="chance:Q", color="pair:N")
    )
    return chance + _lines(frame, "pair", y, tooltip)


def _lines(frame: pd.DataFrame, column: str, y: alt.Y, tooltip: list[Any]) -> Chart:
    names = list(dict.fromkeys(frame[column]))
    colours = [SERIES[at % len(SERIES)] for at in range(len(names))]
    # Six colours and seven dash patterns have no common divisor, so the first 42 lines differ.
    dashes = [DASHES[at % len(DASHES)] for at in range(len(names))]
    legend = alt.Legend(**LINES.to_dict(), columns=6)
    base = alt.Chart(frame).encode(
        x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False)),
        y=y,
        color=alt.Color(f"{column}:N", title=column, legend=legend, scale=alt.Scale(domain=names, range=colours)),
        tooltip=tooltip,
    )
    dash = alt.StrokeDash(f"{column}:N", title=column, legend=legend, scale=alt.Scale(domain=names, range=dashes))
    return sized(
        base.mark_line(strokeWidth=2).encode(strokeDash=dash)
        + base.mark_point(filled=True, size=24, shape="circle", opacity=1),
        WIDTH,
        380,
    )
