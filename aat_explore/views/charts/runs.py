"""Charts of one run's metrics, and of the cost of epochs."""

import altair as alt
import pandas as pd

from aat_explore.budgets import epsilon_text
from aat_explore.views.charts.style import INK, LINES, PERCENT, SERIES, WIDTH, Chart, sized
from aat_explore.views.frames.runs import KINDS, SHARE


def epoch_metrics(frame: pd.DataFrame, kind: str) -> Chart:
    """The measures of one of `frames.runs.KINDS` in `frames.runs.epoch_metrics`, against the epoch."""
    data = frame[frame["kind"] == kind]
    title, unit = KINDS[kind]
    is_share = unit == SHARE
    y = alt.Y(
        "value:Q",
        title=title if is_share else f"{title}, {unit}",
        axis=PERCENT if is_share else alt.Undefined,
        scale=alt.Scale(domain=[0, 1]) if is_share else alt.Scale(zero=True),
    )
    base = alt.Chart(data).encode(
        x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False)),
        y=y,
        color=alt.Color("measure:N", title=None, legend=LINES, sort=None, scale=alt.Scale(range=SERIES)),
        strokeDash=alt.StrokeDash("measure:N", title=None, legend=LINES, sort=None),
        tooltip=["epoch", "measure", alt.Tooltip("value:Q", format=".1%" if is_share else ".4f")],
    )
    return sized(base.mark_line() + base.mark_point(filled=True, size=18, shape="circle"), 380, 300)


def robustness_over_epochs(frame: pd.DataFrame) -> Chart:
    """`frames.runs.robustness_over_epochs`: test accuracy per epoch, a colour per test and ε, 95% bands.

    If all are of one test, the axis names it, else the legend does.
    """
    tests = list(frame["test"].unique())
    named = frame.assign(
        measured=[
            ("clean" if epsilon == 0 else f"robust, ε = {epsilon_text(epsilon)}")
            + (f": {test}" if len(tests) > 1 else "")
            for test, epsilon in zip(frame["test"], frame["epsilon"], strict=True)
        ]
    )
    title = f"accuracy, {tests[0]}" if len(tests) == 1 else "test accuracy"
    legend = LINES if len(tests) == 1 else alt.Legend(**LINES.to_dict(), columns=1)
    colour = alt.Color("measured:N", title=None, legend=legend, sort=None)
    base = alt.Chart(named).encode(
        x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False)),
        color=colour.scale(range=SERIES),
    )
    y = alt.Y("accuracy:Q", title=title, axis=PERCENT, scale=alt.Scale(domain=[0, 1]))
    tooltip = ["epoch", "measured", *(alt.Tooltip(f"{name}:Q", format=".2%") for name in ("accuracy", "least", "most"))]
    band = base.mark_area(opacity=0.2).encode(y=alt.Y("least:Q", title=title), y2="most:Q")
    line = base.mark_line(point=True).encode(y=y, tooltip=tooltip)
    return sized(band + line, WIDTH, 300)


def speed(frame: pd.DataFrame) -> Chart:
    """Seconds per epoch by phase, a bar per contender (`speed.epochs`); without phases all count as training."""
    phases = ["scoring", "perturb", "train"]
    parts = frame[["epoch of", "seconds", *phases]].copy()
    parts["train"] = parts["train"].fillna(parts["seconds"])
    long = parts.melt(["epoch of", "seconds"], phases, var_name="phase", value_name="share").fillna({"share": 0.0})
    bars = (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title="median seconds per epoch").stack("zero"),
            y=alt.Y("epoch of:N", title=None, sort=None, axis=alt.Axis(labelLimit=0)),
            color=alt.Color(
                "phase:N", scale=alt.Scale(domain=phases, range=SERIES[:3]), legend=alt.Legend(orient="top")
            ),
            order=alt.Order("order:Q"),
        )
        .transform_calculate(order="indexof(['scoring', 'perturb', 'train'], datum.phase)")
    )
    labels = (
        alt.Chart(frame)
        .mark_text(align="left", dx=4, color=INK[False]["text"])
        .encode(x="seconds:Q", y=alt.Y("epoch of:N", sort=None), text=alt.Text("seconds:Q", format=".3~g"))
    )
    return sized(bars + labels, WIDTH - 250, 22 * len(frame))
