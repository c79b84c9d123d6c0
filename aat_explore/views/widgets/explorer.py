"""The base of all explorers: controls, text, a sheet, a chart; one redraw per burst of events; a static picture."""

import asyncio
import base64
import html
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import ipywidgets

from aat_explore.errors import AATError
from aat_explore.views import charts
from aat_explore.views.protocols import UInt8
from aat_explore.views.widgets.sheet import Sheet

PAUSE = 0.15  # seconds without events before a redraw: dragging a slider sends dozens per second


@dataclass(frozen=True)
class State:
    """The content of an explorer: lines of text, and optionally images and a chart.

    `images` are columns of a contact sheet, by heading; `strip` are rows of a strip, by label.
    """

    words: Sequence[str]
    images: Mapping[str, UInt8] = field(default_factory=dict)
    captions: Sequence[str] = ()
    titles: Sequence[str] = ()
    rows: Sequence[int] = ()  # rows of the training split, in the order of `titles`
    chart: charts.style.Chart | None = None
    strip: Mapping[str, UInt8] = field(default_factory=dict)


class Debounced:
    """Calls `act` once per burst of requests, `PAUSE` after the last one; immediately if no event loop runs.

    A kernel may receive widget events in one thread and run cells in another, hence the lock. The last request is
    always drawn, from the values that the controls have by then.
    """

    def __init__(self, act: Callable[[], None]) -> None:
        self._act, self._lock = act, RLock()
        self._requested = self._drawn = 0

    def request(self) -> None:
        """Act soon, unless another request follows."""
        with self._lock:
            self._requested += 1
            request = self._requested
        try:
            asyncio.get_running_loop().call_later(PAUSE, self._if_last, request)
        except RuntimeError:
            self.flush()

    def _if_last(self, request: int) -> None:
        if request == self._requested:
            self.flush()

    def flush(self) -> None:
        """Act now if a request is waiting."""
        with self._lock:
            if self._drawn < self._requested:
                self._drawn = self._requested
                self._act()


class Explorer(ABC):
    """Controls, with the result below them; `box` holds everything in one widget.

    An `AATError`, which the user can fix, appears as text in place of the result. `rows` are the samples selected so
    far: a click on an image with Shift, Ctrl or ⌘ (or the key s) selects its sample, or no longer.
    """

    def __init__(self, *rows: Sequence[Any]) -> None:
        self.words, self.sheet, self.chart = ipywidgets.HTML(), Sheet(), ipywidgets.Output()
        self.state = State([])
        self._selected: set[int] = set()
        self.sheet.on_select(self._flip)
        wrapped = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        controls = [ipywidgets.HBox(row, layout=wrapped) for row in rows]
        self.box = ipywidgets.VBox([*controls, self.words, self.sheet, self.chart])
        self._redraw = Debounced(self._show)

    @property
    def rows(self) -> list[int]:
        """The selected samples, as rows of the training split in ascending order; settable."""
        return sorted(self._selected)

    @rows.setter
    def rows(self, rows: Iterable[int]) -> None:
        self._selected = {int(row) for row in rows}
        self._mark()

    def _flip(self, at: int) -> None:
        if at < len(self.state.rows):
            self.rows = self._selected ^ {int(self.state.rows[at])}

    def _mark(self) -> None:
        self.sheet.selected = [at for at, row in enumerate(self.state.rows) if row in self._selected]

    @abstractmethod
    def _draw(self) -> State:
        """The content for the current values of the controls."""

    def _watch(self, *controls: Any) -> None:
        """Draw now, and again whenever a control's value changes."""
        for control in controls:
            control.observe(lambda _: self._redraw.request(), "value")
        self._show()

    def _show(self) -> None:
        try:
            self.state = state = self._draw()
        except AATError as error:
            self.state = state = State([str(error)])
        self.words.value = "".join(f"<p style='line-height: 1.4'>{html.escape(line)}</p>" for line in state.words)
        if state.images:
            self.sheet.show(state.images, state.captions, state.titles)
        elif state.strip:
            self.sheet.show_strip(state.strip, state.titles)
        else:
            self.sheet.clear()
        self._mark()
        bundles = [] if state.chart is None else [charts.files.offline_bundle(state.chart)]
        self.chart.outputs = tuple({"output_type": "display_data", "data": data, "metadata": {}} for data in bundles)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """The widget, plus its picture and text for use without a running kernel."""
        self._redraw.flush()
        bundle = {**self.box._repr_mimebundle_(**options), "text/plain": "\n".join(self.state.words)}
        if self.sheet.png is not None:
            bundle["image/png"] = base64.b64encode(self.sheet.png).decode()
        return bundle


def dropdown(label: str, options: Sequence[Any]) -> Any:
    """A list to choose from, with the first entry selected."""
    return ipywidgets.Dropdown(options=options, **_described(label, "240px"))


def slider(label: str, low: int, high: int, value: int) -> Any:
    """A slider over whole numbers, ends included."""
    return ipywidgets.IntSlider(value=value, min=low, max=high, **_described(label, "340px"))


def row_number(label: str, last: int, value: int) -> Any:
    """A field for a row number from 0 to `last`; values outside are clipped."""
    return ipywidgets.BoundedIntText(value=value, min=0, max=last, **_described(label, "180px"))


def _described(label: str, width: str) -> dict[str, Any]:
    """A label that is not truncated, and the total width of label and control."""
    layout = ipywidgets.Layout(width=width, margin="2px 16px 2px 2px")
    return {"description": label, "style": {"description_width": "initial"}, "layout": layout}
