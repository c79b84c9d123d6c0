"""All samples as points on a canvas, for notebooks: the dashboard's drawing, with what a notebook does otherwise.

Coordinates, flags and labels reach the browser as bytes, each a trait of its own: from one epoch to the next most maps
differ in a bit a sample. The map is in a shadow root, because a notebook's page has buttons and canvases of its own.
"""

from collections.abc import Callable
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray

from aat_explore.views.canvas.points import CSS, HTML, JS, Points

STYLE = """
.map { height: 520px; --map-ink: var(--jp-content-font-color1, #333); --map-ground: var(--jp-layout-color0, #fff);
       --map-panel: var(--jp-layout-color2, #eee); --map-border: var(--jp-border-color1, #bbb);
       --map-accent: var(--jp-brand-color1, #1f6fd8); --map-font: var(--jp-ui-font-family, sans-serif); }
"""
SHOW = """
function render({ model, el }) {
  const shadow = el.attachShadow({ mode: "open" });
  shadow.innerHTML = `<style>${model.get("_style")}</style>${model.get("_html")}`;
  el.dataset.lmSuppressShortcuts = "true"; // JupyterLab would move between cells at a press of an arrow key
  const root = shadow.querySelector(".map"), over = root.querySelector(".over");
  root.addEventListener("wheel", (event) => {
    if (shadow.activeElement !== over) event.stopPropagation(); // the notebook scrolls until the map is clicked on
  }, { capture: true });
  const map = new SamplesMap(root, (what, value) => {
    if (what === "clicked") model.send({ clicked: value });
    else model.send({ selected: true }, undefined, [Uint32Array.from(value.rows).buffer]);
  });
  const bytes = (name) => {
    const view = model.get(name);
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  };
  const update = () => {
    const head = model.get("head");
    root.style.display = head.stamp ? "" : "none";
    if (!head.stamp) return;
    const [values, picked, selected, labels] = ["values", "picked", "selected", "labels"].map(bytes);
    map.update(assembled(head, { values, picked, selected, labels }));
  };
  model.on("change:head", update);
  update();
  return () => model.off("change:head", update);
}
export default { render };
"""


class PointsMap(anywidget.AnyWidget):
    """A map of samples, initially empty; reports the rows that are encircled, and the row that is clicked."""

    _esm = JS + SHOW
    _html = traitlets.Unicode(HTML).tag(sync=True)
    _style = traitlets.Unicode(STYLE + CSS).tag(sync=True)
    head = traitlets.Dict().tag(sync=True)  # with the others in one message; its stamp changes with any of them
    values = traitlets.Bytes().tag(sync=True)
    picked = traitlets.Bytes().tag(sync=True)
    selected = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)

    def show(self, points: Points | None) -> None:
        """Show these points; None for nothing."""
        with self.hold_sync():
            for name, array in ({} if points is None else points.arrays).items():
                setattr(self, name, array)
            self.head = {} if points is None else points.head

    def on_click(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the row of each clicked point."""

        def message(_: Any, content: Any, buffers: Any) -> None:
            row = content.get("clicked") if isinstance(content, dict) else None
            if isinstance(row, int) and 0 <= row < self.head.get("count", 0):
                callback(row)

        self.on_msg(message)

    def on_select(self, callback: Callable[[NDArray[np.int64]], None]) -> None:
        """Call `callback` with the rows, int64 (k,), that are to be the selected ones."""

        def message(_: Any, content: Any, buffers: Any) -> None:
            if not isinstance(content, dict) or content.get("selected") is not True or len(buffers) != 1:
                return
            if len(buffers[0]) % 4 == 0:
                rows = np.frombuffer(buffers[0], "<u4").astype(np.int64)
                if not len(rows) or rows.max() < self.head.get("count", 0):
                    callback(rows)

        self.on_msg(message)
