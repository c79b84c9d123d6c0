"""Charts outside of the dashboard: in notebooks without a network, and as files."""

import importlib.util
from pathlib import Path

import altair as alt

from aat_explore.errors import AATError
from aat_explore.views.charts.style import Chart

PICTURES = (".svg", ".png", ".html")


def draw_offline() -> None:
    """Let JupyterLab draw charts by the code that it brings along; Altair's own default fetches it from the network.

    JupyterLab 4.6 knows Vega-Lite under the name of version 5 only, and draws what is used here.
    """
    kind = "application/vnd.vegalite.v5+json"
    alt.renderers.register("aat-offline", lambda spec, **options: ({kind: spec, "text/plain": "chart"}, {}))
    alt.renderers.enable("aat-offline")


def check_picture(path: Path) -> None:
    """Raise AATError unless a chart can be saved under this name."""
    if path.suffix not in PICTURES:
        raise AATError(f"plot={path} is no picture; end its name in {', '.join(PICTURES)}")
    if importlib.util.find_spec("vl_convert") is None:
        raise AATError("charts are drawn to files by vl-convert; pip install 'aat-explore[export]'")


def svg(chart: Chart) -> str:
    """The chart as SVG text, to stand in a page; AATError where vl-convert is missing."""
    check_picture(Path("chart.svg"))
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(chart.to_json())
    return drawn


def save(chart: Chart, path: Path) -> None:
    """Draw a chart into a file; HTML holds all that it needs."""
    check_picture(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.save(str(path), **({"inline": True} if path.suffix == ".html" else {}))
