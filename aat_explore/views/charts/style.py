"""Shared style of all charts: the paper's colours for n, dash patterns, axes, sizes."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import altair as alt
import pandas as pd
from altair.utils.schemapi import debug_mode

from aat_explore.views.charts.contrast import readable

Chart: TypeAlias = Any  # one of Altair's five chart classes, whose type annotations are too narrow

PAPER_COLOURS = {
    False: {"0": "#000000", "100": "#1f4fd8", "1000": "#d62728", "10000": "#1a8f2e", "all": "#8b4513"},
    True: {"0": "#f2f2f2", "100": "#6ea0ff", "1000": "#ff6b6b", "10000": "#4cd36a", "all": "#c98a5a"},
}
OTHER_COLOURS = {
    False: ("#7b7f8c", "#9467bd", "#e08a00", "#17a2b8", "#d35fa8", "#6b8e00"),
    True: ("#a9adba", "#c3a1e6", "#ffb347", "#54d1e3", "#f29ad0", "#b5d44a"),
}
OTHER_DASHES = ([10, 2], [1, 4], [5, 5], [6, 2, 1, 2, 1, 2], [12, 2, 2, 2], [3, 7])
PAPER_DASHES = {"0": [1, 0], "100": [7, 3], "1000": [2, 2], "10000": [8, 3, 2, 3], "all": [12, 4]}
GROUP_COLOURS = {
    False: {"all": "#9aa0ad", "drawn": "#d62728", "shown": "#1f4fd8"},
    True: {"all": "#7d8494", "drawn": "#ff6b6b", "shown": "#6ea0ff"},
}
SERIES = ["#4c8bf5", "#e08a00", "#e0526a", "#3fae6a", "#9a6fd0", "#8d93a1"]  # visible on light and dark
RULE = "#808495"  # of rules, such as uniform p; visible on light and dark
HOLDS, FAILS = "fails no check", "fails a check"
CROSS = "M-.7,-1L0,-.3L.7,-1L1,-.7L.3,0L1,.7L.7,1L0,.3L-.7,1L-1,.7L-.3,0L-1,-.7Z"
INKED = alt.Color("ink:N", scale=None)
PERCENT = alt.Axis(format=".0%")
LINES = alt.Legend(
    orient="top", symbolType="stroke", symbolOpacity=1, symbolSize=400, symbolStrokeWidth=2, labelLimit=0
)
WIDTH = 820  # pixels of a whole figure: the space beside Streamlit's sidebar in a 1280-pixel window


GROUND = {False: "#ffffff", True: "#171614"}  # of a page in either theme, as in .streamlit/config.toml
INK = {  # text, axes and grid on either theme; text has a contrast of at least 4.5 : 1 to the page
    False: {"text": "#3c4048", "axis": "#9aa0ad", "grid": "#e6e8ec"},
    True: {"text": "#d3d7df", "axis": "#7d8494", "grid": "#31363f"},
}


def theme(*, dark: bool = False) -> dict[str, Any]:
    """Vega-Lite's `config` in the dashboard's colours and type."""
    ink = INK[dark]
    words = {"labelColor": ink["text"], "titleColor": ink["text"], "labelFontSize": 11, "titleFontSize": 12}
    plain = words | {"titleFontWeight": "normal"}
    axis = {"gridColor": ink["grid"], "domainColor": ink["axis"], "tickColor": ink["axis"]}
    return {
        "background": "transparent",
        "font": "Source Sans, sans-serif",
        "axis": plain | axis | {"tickSize": 4, "labelPadding": 3, "titlePadding": 6},
        "legend": plain | {"labelLimit": 0},
        "header": plain,
        "title": {"color": ink["text"], "fontSize": 12, "fontWeight": 600},
        "text": {"fontSize": 11},
        "view": {"stroke": "transparent"},
    }


def page_spec(draw: Callable[[], Chart], *, height: int | None = None, dark: bool = False) -> dict[str, Any]:
    """A chart's specification for a page: in `theme`, and as wide as its place; charts of several panels keep theirs.

    Altair's checks are left out: they took half of the time, and the tests draw every chart with them.
    """
    with debug_mode(False):
        spec: dict[str, Any] = _with_lasting_names(draw().to_dict(validate=False))
    spec["config"] = theme(dark=dark)
    spec["padding"] = {"top": 6, "right": 4}  # half of a label at an axis's end, which Streamlit would cut off
    if "mark" in spec or "layer" in spec:
        spec["width"] = "container"
        if height is not None:
            spec["height"] = height
    return spec


def _with_lasting_names(spec: dict[str, Any]) -> dict[str, Any]:
    """The specification with data sets called by their place in it, where Altair calls them by a hash of their content.

    So what a chart looks like stays the same text while its numbers change, and the browser only moves the marks
    instead of building the chart anew.
    """
    datasets = spec.pop("datasets", {})
    names = {name: f"data-{at}" for at, name in enumerate(datasets)}

    def renamed(part: Any) -> Any:
        if isinstance(part, list):
            return [renamed(each) for each in part]
        if not isinstance(part, dict):
            return part
        return {
            key: names.get(of, of) if key == "name" and isinstance(of, str) else renamed(of) for key, of in part.items()
        }

    shape: dict[str, Any] = renamed(spec)
    return shape | {"datasets": {names[name]: rows for name, rows in datasets.items()}}


def text_colour(colour: str, *, dark: bool = False) -> str:
    """The colour of a label beside a line or point of this colour: the same, or one near it that can be read."""
    return readable(colour, GROUND[dark])


def inked(labels: pd.DataFrame, column: str, names: Sequence[str], colours: Sequence[str], dark: bool) -> pd.DataFrame:
    """Labels with `ink`: the `text_colour` of what each names in `column`; `colours`, in turn, are those of `names`."""
    inks = {name: text_colour(of, dark=dark) for name, of in zip(names, itertools.cycle(colours), strict=False)}
    return labels.assign(ink=labels[column].map(inks))


def log_ticks(low: float, high: float, at_most: int = 6) -> list[float]:
    """Ticks of a log axis for values from `low` > 0 to `high`, the outermost at or beyond both ends.

    1, 2, 5, 10, … if these are at most `at_most`, else 1, 10, 100, …, else every second power of ten, and so on.
    """
    bottom, top = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    fine = [digit * 10.0**power for power in range(bottom, max(top, bottom + 1) + 1) for digit in (1, 2, 5)]
    first = max(at for at, tick in enumerate(fine) if tick <= low * (1 + 1e-9))
    last = max(first + 1, min(at for at, tick in enumerate(fine) if tick >= high * (1 - 1e-9)))
    if last - first < at_most:
        return fine[first : last + 1]
    step = -(-(top - bottom) // (at_most - 1))
    return [10.0**power for power in range(bottom, top + step, step)]


def in_multiples(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells of a data map with the edges of their mean p as multiples of uniform: times_low and times_high."""
    return cells.assign(
        times_low=cells["mean_low"] / cells["uniform"], times_high=cells["mean_high"] / cells["uniform"]
    )


def times_axis(cells: pd.DataFrame) -> alt.Axis:
    """The axis of mean p of a data map's cells, labelled in multiples of uniform, with ticks inside the data."""
    T = round(1 / cells["uniform"].iloc[0])
    low, high = cells["mean_low"].min() * T, cells["mean_high"].max() * T
    ticks = [tick / T for tick in log_ticks(low, high, 8) if low <= tick <= high]
    return alt.Axis(values=ticks, labelExpr=f"format(datum.value * {T}, '.3~g')", grid=False)


def order_of_n(names: Sequence[str]) -> list[str]:
    """Values of n in ascending order, `all` last."""
    return sorted(set(names), key=lambda name: float("inf") if name == "all" else float(name))


def n_styles(names: Sequence[str], *, dark: bool = False) -> tuple[list[str], list[str], list[list[int]]]:
    """Values of n in order, each with a colour and a dash pattern: the paper's, else one of six others."""
    ordered = order_of_n(names)
    spare = itertools.cycle(OTHER_COLOURS[dark])
    colours = [PAPER_COLOURS[dark].get(name) or next(spare) for name in ordered]
    free = itertools.cycle(OTHER_DASHES)
    return ordered, colours, [PAPER_DASHES.get(name) or next(free) for name in ordered]


def verdict_shape(runs: pd.DataFrame) -> Any:
    """The shape channel of single runs: a cross for those that fail checks; undefined if none does.

    `runs` has the column `verdict` that `with_verdict` adds.
    """
    if not (runs["verdict"] == FAILS).any():
        return alt.Undefined
    scale = alt.Scale(domain=[HOLDS, FAILS], range=["circle", CROSS])
    legend = alt.Legend(orient="top", symbolStrokeColor=RULE, symbolSize=120, labelLimit=0, symbolFillColor=RULE)
    return alt.Shape("verdict:N", title="single runs", scale=scale, legend=legend)


def with_verdict(runs: pd.DataFrame) -> pd.DataFrame:
    """An `evaluated` frame with the column `verdict`: whether the run fails checks."""
    return runs.assign(verdict=[FAILS if failed else HOLDS for failed in runs["failed"]])


def n_colour(names: Sequence[str], dark: bool) -> alt.Color:
    """The colour channel of charts with one line per n."""
    ordered, colours, _ = n_styles(names, dark=dark)
    return alt.Color("n:N", scale=alt.Scale(domain=ordered, range=colours), sort=ordered, title="n", legend=LINES)


def n_dash(names: Sequence[str]) -> alt.StrokeDash:
    """The dash channel of charts with one line per n."""
    ordered, _, dashes = n_styles(names)
    return alt.StrokeDash("n:N", scale=alt.Scale(domain=ordered, range=dashes), sort=ordered, title="n", legend=LINES)


def percents(top: float, extent: float = 0) -> alt.Axis:
    """An axis of shares up to `top`, `extent` pixels wide at least: all labels with as many decimals, none twice."""
    decimals = 0 if top >= 0.03 else 1
    return alt.Axis(format=f".{decimals}%", tickMinStep=10.0 ** (-2 - decimals), tickCount=5, minExtent=extent)


def label_places(frame: pd.DataFrame, column: str, value: str, gap: float, top: float) -> pd.DataFrame:
    """The last point of the line of each name in `column`, with `at`: where its label stands beside it.

    Labels are `gap` apart, in units of the axis, and the highest is not above `top` or its line.
    """
    ends = frame.loc[frame.groupby(column)["epoch"].idxmax()].sort_values(value, ignore_index=True)
    at = [float(end) for end in ends[value]]
    for upper in range(1, len(at)):
        at[upper] = max(at[upper], at[upper - 1] + gap)
    highest = max([top, *ends[value]])
    for lower in reversed(range(len(at))):
        at[lower] = min(at[lower], highest - gap * (len(at) - 1 - lower))
    return ends.assign(at=at)


def panel_width(panels: int) -> int:
    """Width of a plot, without its axis, in a row of `panels` plots."""
    return max(120, WIDTH // panels - 95)


def sized(chart: Chart, width: int, height: int) -> Chart:
    """The chart with this width and height of its plot in pixels."""
    return chart.properties(width=width, height=height)


def filled(chart: Chart, **frames: pd.DataFrame) -> Chart:
    """A copy of a chart, or of layers, of named data, with these frames in place of the names."""
    copy = chart.copy(deep=False)
    if isinstance(copy.data, alt.NamedData):
        copy.data = frames[copy.data.name]
    if isinstance(copy, alt.LayerChart):
        copy.layer = [filled(layer, **frames) for layer in chart.layer]
    return copy
