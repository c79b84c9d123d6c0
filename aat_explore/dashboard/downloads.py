"""Charts and tables with downloads: CSV, and with vl-convert PNG and SVG at print size."""

import hashlib
import io
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import streamlit as st

from aat_explore.optional import installed, remedy
from aat_explore.views import charts
from aat_explore.views.protocols import Frame

Look = tuple[int | None, bool]  # height in pixels, whether the theme is dark
PRINT_SCALE = 3  # file pixels per screen pixel: a figure 860 wide prints 22 cm wide at 300 dpi


def chart(
    draw: partial[charts.style.Chart],
    frame: Frame,
    name: str,
    *,
    alt: str,
    height: int | None = None,
    key: str | None = None,
    on_select: Any = "ignore",
    selection_mode: str | Sequence[str] | None = None,
) -> Any:
    """Draw a chart of `frame` as wide as its place, with a button to download its numbers and images under `name`.

    `draw` is a function of `views.charts` with its arguments; for the same function and data the chart is reused.
    `height` in pixels replaces the chart's. Returns `st.altair_chart`'s result with `on_select`, else None. Files are
    made on demand.
    """
    look = (height, st.context.theme.type == "dark")
    fingerprint = _fingerprint(draw)
    with st.container(key=f"figure {key or name}"):  # lasting: for another key the browser builds the chart anew
        if on_select == "ignore":
            result = _replayed(fingerprint, look, alt, draw)
        else:  # a widget, which Streamlit does not replay
            spec = _built(fingerprint, look, draw)
            result = st.vega_lite_chart(
                spec,
                width=_width(spec),
                theme=None,
                alt=alt,
                key=key,
                on_select=on_select,
                selection_mode=selection_mode,
            )
        with st.popover(":material/download:", type="tertiary", help="Download numbers or image"):
            _files(draw, frame, name)
    return result


def _files(draw: partial[charts.style.Chart], frame: Frame, name: str) -> None:
    _button("Numbers, CSV", lambda: frame.to_csv(index=False).encode(), name, "csv", "text/csv")
    if not installed("vl_convert"):
        st.caption(f"`{remedy('vl_convert')}` adds PNG and SVG.")
        return
    _button("Image, PNG", lambda: _picture(draw(), "png"), name, "png", "image/png")
    _button("Image, SVG", lambda: _picture(draw(), "svg"), name, "svg", "image/svg+xml")


def table(frame: Frame, *, alt: str, column_config: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    """Show a table, whose toolbar downloads it as CSV; returns `st.dataframe`'s result."""
    return st.dataframe(frame, hide_index=True, column_config=column_config, alt=alt, **kwargs)


@st.cache_data(max_entries=64, show_spinner=False)
def _replayed(key: str, look: Look, alt: str, _draw: partial[charts.style.Chart]) -> None:
    """Show a chart; Streamlit replays it from the second time on."""
    height, dark = look
    spec = charts.style.page_spec(_draw, height=height, dark=dark)
    st.vega_lite_chart(spec, width=_width(spec), theme=None, alt=alt)


def _width(spec: dict[str, Any]) -> Literal["stretch", "content"]:
    """How wide a chart is drawn: Streamlit would widen each panel of several to all the space, and cut them off."""
    return "stretch" if spec.get("width") == "container" else "content"


@st.cache_resource(max_entries=16, show_spinner=False)
def _built(key: str, look: Look, _draw: partial[charts.style.Chart]) -> dict[str, Any]:
    height, dark = look
    return charts.style.page_spec(_draw, height=height, dark=dark)


def _fingerprint(draw: partial[charts.style.Chart]) -> str:
    """Identifies the function and all it draws: Streamlit itself would hash only a sample of large frames."""
    content = io.BytesIO()
    pickler = pickle.Pickler(content, protocol=5)
    pickler.fast = True  # equal numbers give equal bytes, even if two cells share one object
    pickler.dump((draw.func.__qualname__, draw.args, sorted(draw.keywords.items())))
    return f"{id(draw.func)} {hashlib.sha256(content.getvalue()).hexdigest()}"


def _button(label: str, make: Callable[[], bytes], name: str, ending: str, kind: str) -> None:
    st.download_button(
        label, make, f"{name}.{ending}", kind, key=f"download {name}.{ending}", on_click="ignore", width="stretch"
    )


def _picture(chart: charts.style.Chart, kind: str) -> bytes:
    file = io.BytesIO() if kind == "png" else io.StringIO()
    chart.save(file, format=kind, **({"scale_factor": PRINT_SCALE} if kind == "png" else {}))
    content = file.getvalue()
    return content if isinstance(content, bytes) else content.encode()
