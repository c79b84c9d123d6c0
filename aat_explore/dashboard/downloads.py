"""Charts and tables that can be taken away: CSV, and with vl-convert PNG and SVG at print size."""

import hashlib
import io
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import streamlit as st

from aat_explore.optional import installed, remedy
from aat_explore.views import charts
from aat_explore.views.protocols import Frame

PRINT_SCALE = 3  # pixels of the file for one on the screen: a figure 860 wide prints at 300 dpi in 22 cm


def chart(
    draw: partial[charts.style.Chart],
    frame: Frame,
    name: str,
    *,
    alt: str,
    key: str | None = None,
    on_select: Any = "ignore",
    selection_mode: str | Sequence[str] | None = None,
) -> Any:
    """Draw a chart of `frame`, with its numbers and pictures to be downloaded under `name`.

    `draw` is a function of `views.charts` with its arguments; of the same function and data the chart is not made anew.
    With `on_select` the answer is `st.altair_chart`'s, else None. The files are made when they are asked for.
    """
    drawn = _fingerprint(draw)
    if on_select == "ignore":
        answer = _replayed(drawn, alt, draw)
    else:  # a widget, which Streamlit does not replay
        answer = st.altair_chart(
            _made(drawn, draw), width="content", alt=alt, key=key, on_select=on_select, selection_mode=selection_mode
        )
    with st.popover("Download", icon=":material/download:", type="tertiary"):
        _button("Numbers, CSV", lambda: frame.to_csv(index=False).encode(), name, "csv", "text/csv")
        if not installed("vl_convert"):
            st.caption(f"`{remedy('vl_convert')}` adds PNG and SVG.")
        else:
            _button("Picture, PNG", lambda: _picture(draw(), "png"), name, "png", "image/png")
            _button("Picture, SVG", lambda: _picture(draw(), "svg"), name, "svg", "image/svg+xml")
    return answer


def table(frame: Frame, *, alt: str, column_config: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    """Show a table, with its CSV to be downloaded from the toolbar over it; `st.dataframe`'s answer."""
    return st.dataframe(frame, hide_index=True, column_config=column_config, alt=alt, **kwargs)


@st.cache_data(max_entries=64, show_spinner=False)
def _replayed(key: str, alt: str, _draw: partial[charts.style.Chart]) -> None:
    """Show a chart; the second time Streamlit sends it again as it was. Altair takes 20 to 200 ms (Zen 5 core)."""
    st.altair_chart(_draw(), width="content", alt=alt)


@st.cache_resource(max_entries=16, show_spinner=False)
def _made(key: str, _draw: partial[charts.style.Chart]) -> charts.style.Chart:
    return _draw()


def _fingerprint(draw: partial[charts.style.Chart]) -> str:
    """A name for the function and all that it draws: Streamlit itself would hash only a sample of large frames."""
    content = io.BytesIO()
    pickler = pickle.Pickler(content, protocol=5)
    pickler.fast = True  # equal numbers give equal bytes, whether two cells are one object or not
    pickler.dump((draw.func.__qualname__, draw.args, sorted(draw.keywords.items())))
    return f"{id(draw.func)} {hashlib.sha256(content.getvalue()).hexdigest()}"


def _button(label: str, make: Callable[[], bytes], name: str, ending: str, kind: str) -> None:
    st.download_button(
        label, make, f"{name}.{ending}", kind, key=f"download {name}.{ending}", on_click="ignore", width="stretch"
    )


def _picture(drawn: charts.style.Chart, kind: str) -> bytes:
    file = io.BytesIO() if kind == "png" else io.StringIO()
    drawn.save(file, format=kind, **({"scale_factor": PRINT_SCALE} if kind == "png" else {}))
    content = file.getvalue()
    return content if isinstance(content, bytes) else content.encode()
