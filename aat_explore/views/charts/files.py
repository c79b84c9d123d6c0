"""Charts outside the dashboard: in notebooks without a network connection, and as files."""

from pathlib import Path
from typing import Any

import altair as alt

from aat_explore.errors import AATError
from aat_explore.optional import installed, remedy
from aat_explore.views.charts.style import Chart

PICTURES = (".svg", ".png", ".html")
JUPYTERLABS_KIND = "application/vnd.vegalite.v5+json"


def offline_bundle(chart: Chart) -> dict[str, Any]:
    """A chart by MIME type, as `draw_offline` hands it to JupyterLab, for outputs filled in by code."""
    return _bundle(chart.to_dict())


def draw_offline() -> None:
    """Let JupyterLab draw charts with its bundled Vega-Lite; by default Altair loads it from the network.

    JupyterLab 4.6 accepts Vega-Lite charts only under the name of version 5, and draws all charts made here. If
    vl-convert is installed, a chart is also an SVG, for pages without JavaScript such as nbconvert's.
    """
    alt.renderers.register("aat-offline", lambda spec, **options: (_bundle(spec) | _picture(spec), {}))
    alt.renderers.enable("aat-offline")


def _bundle(spec: dict[str, Any]) -> dict[str, Any]:
    return {JUPYTERLABS_KIND: spec, "text/plain": "chart"}


def _picture(spec: dict[str, Any]) -> dict[str, Any]:
    return {"image/svg+xml": _svg(spec)} if installed("vl_convert") else {}


def check_picture(path: Path) -> None:
    """Raise AATError unless a chart can be saved under this name."""
    if path.suffix not in PICTURES:
        raise AATError(f"plot={path} is not a picture; its name must end in {', '.join(PICTURES)}")
    if not installed("vl_convert"):
        raise AATError(f"charts are drawn to files by vl-convert; {remedy('vl_convert')}")


def svg(chart: Chart) -> str:
    """The chart as SVG text, to embed in a page; AATError if vl-convert is missing."""
    check_picture(Path("chart.svg"))
    return _svg(chart.to_dict())


def _svg(spec: dict[str, Any]) -> str:
    import vl_convert

    text: str = vl_convert.vegalite_to_svg(spec)
    return text


def save(chart: Chart, path: Path) -> None:
    """Draw a chart into a file; an HTML file is self-contained."""
    check_picture(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.save(str(path), **({"inline": True} if path.suffix == ".html" else {}))
