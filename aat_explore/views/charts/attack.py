"""Charts of one sample under attack."""

import altair as alt
import pandas as pd

from aat_explore.views.charts.style import GROUP_COLOURS, LINES, PERCENT, RULE, SERIES, WIDTH, Chart, sized, text_colour

DASHES = {"FGSM": [6, 3], "PGD": [1, 0]}
DASH_OF_OTHERS = [2, 2]


def attacked_classes(frame: pd.DataFrame, *, dark: bool = False) -> Chart:
    """`frames.attack.attacked_classes` as pairs of bars: each class's probability, clean and adversarial."""
    images = ["clean", "adversarial"]
    colours = GROUP_COLOURS[dark]
    chart = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X(
                "class:N",
                sort=list(frame["class"].unique()),
                title=None,
                axis=alt.Axis(labelAngle=-40, labelLimit=90, labelOverlap=False),
            ),
            xOffset=alt.XOffset("image:N", sort=images),
            y=alt.Y("probability:Q", axis=PERCENT, scale=alt.Scale(domain=[0, 1])),
            color=alt.Color(
                "image:N",
                title=None,
                legend=alt.Legend(orient="top"),
                scale=alt.Scale(domain=images, range=[colours["all"], colours["drawn"]]),
            ),
            tooltip=["class", "image", alt.Tooltip("probability:Q", format=".2%")],
        )
    )
    return sized(chart, WIDTH, 260)


def loss_along_epsilon(frame: pd.DataFrame) -> Chart:
    """`frames.attack.loss_along_epsilon` as one line per attack, with a rule at the chosen ε."""
    attacks = [*DASHES, *(attack for attack in frame["attack"].unique() if attack not in DASHES)]
    dashes = [DASHES.get(attack, DASH_OF_OTHERS) for attack in attacks]
    colours = [SERIES[1], SERIES[0], *SERIES[2:]][: len(attacks)]
    base = alt.Chart(frame).encode(
        x=alt.X("epsilon:Q", title="ε", scale=alt.Scale(nice=False)),
        y=alt.Y("loss:Q", title="loss J, nats", scale=alt.Scale(zero=True)),
        color=alt.Color("attack:N", title=None, legend=LINES, scale=alt.Scale(domain=attacks, range=colours)),
        strokeDash=alt.StrokeDash(
            "attack:N",
            title=None,
            legend=LINES,
            scale=alt.Scale(domain=attacks, range=dashes),
        ),
        tooltip=[
            "attack",
            alt.Tooltip("epsilon:Q", title="ε", format=".3g"),
            alt.Tooltip("loss:Q", format=".4g"),
        ],
    )
    rule = (
        alt.Chart(frame.head(1).assign(what="the chosen ε"))
        .mark_rule(strokeDash=[4, 3], color=RULE)
        .encode(x="chosen:Q", tooltip=["what"])
    )
    return sized(rule + base.mark_line() + base.mark_point(filled=True, size=25, shape="circle"), 400, 300)


def loss_along_steps(frame: pd.DataFrame, *, dark: bool = False) -> Chart:
    """`frames.attack.loss_along_steps`: PGD's loss after each step, with a rule at FGSM's."""
    base = alt.Chart(frame).encode(
        x=alt.X("step:Q", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False)),
        y=alt.Y("loss:Q", title="loss J, nats", scale=alt.Scale(zero=True)),
        tooltip=["step", alt.Tooltip("loss:Q", format=".4g")],
    )
    fgsm = alt.Chart(frame.head(1).assign(what="FGSM at this ε"))
    rule = fgsm.mark_rule(strokeDash=DASHES["FGSM"], color=SERIES[1], strokeWidth=2).encode(
        y="fgsm:Q", tooltip=["what", alt.Tooltip("fgsm:Q", title="loss", format=".4g")]
    )
    text = fgsm.mark_text(align="right", dx=-4, dy=10, color=text_colour(SERIES[1], dark=dark)).encode(
        x=alt.value("width"), y="fgsm:Q", text="what"
    )
    line = base.mark_line(color=SERIES[0]) + base.mark_point(filled=True, size=25, color=SERIES[0])
    return sized(rule + text + line, 400, 300)


def compared(frame: pd.DataFrame) -> Chart:
    """`attack_lab.compare`: accuracy of each network on clean images and under each attack, with 95% intervals."""
    networks = list(frame["network"].unique())
    base = alt.Chart(frame).encode(
        x=alt.X("attack:N", sort=list(frame["attack"].unique()), title=None, axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("network:N", sort=networks),
        color=alt.Color(
            "network:N",
            sort=networks,
            title=None,
            scale=alt.Scale(domain=networks, range=SERIES),
            legend=alt.Legend(orient="top", labelLimit=0),
        ),
        tooltip=[
            *("network", "attack", "images"),
            alt.Tooltip("accuracy:Q", format=".1%"),
            alt.Tooltip("least:Q", format=".1%", title="95% interval, from"),
            alt.Tooltip("most:Q", format=".1%", title="to"),
        ],
    )
    title = f"accuracy on {frame['images'].max():,} images"
    y = alt.Y("accuracy:Q", title=title, axis=PERCENT, scale=alt.Scale(domain=[0, 1]))
    intervals = base.mark_rule(strokeWidth=2, opacity=0.6).encode(y=alt.Y("least:Q", title=title), y2="most:Q")
    return sized(intervals + base.mark_point(filled=True, size=80, opacity=1).encode(y=y), WIDTH - 120, 300)
