"""A clickable sheet of images: `gallery`'s PNG, with a transparent button over each sample.

An `ipywidgets.Image` has no click events. A button per sample over one picture can be reached by mouse, keyboard and
screen reader. Titles are set as text, so that names from files are never interpreted as HTML. A click opens a sample; a
click with Shift, Ctrl or ⌘, or the key s, selects it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anywidget
import traitlets

from aat_explore.views import gallery
from aat_explore.views.protocols import UInt8

CSS = """
.aat-sheet { position: relative; max-width: 100%; background: white; }
.aat-sheet img { display: block; width: 100%; }
.aat-sheet button { all: unset; position: absolute; cursor: pointer; border-radius: 3px; outline-offset: 2px; }
.aat-sheet button:hover, .aat-sheet button:focus-visible { outline: 2px solid #1f4fd8; }
.aat-sheet button[aria-pressed="true"] { outline: 3px solid #e08a00; }
"""

JS = """
function render({ model, el }) {
  const sheet = document.createElement("div");
  sheet.className = "aat-sheet";
  const picture = document.createElement("img");
  let url;
  const mark = () => {
    const selected = new Set(model.get("selected"));
    sheet.querySelectorAll("button").forEach((tile, at) => tile.setAttribute("aria-pressed", selected.has(at)));
  };
  const draw = () => {
    const { png, width, height, tiles } = model.get("shown");
    sheet.style.display = png ? "" : "none";
    if (!png) return;
    const before = url;
    url = URL.createObjectURL(new Blob([png], { type: "image/png" }));
    if (before) setTimeout(() => URL.revokeObjectURL(before), 2000);
    picture.src = url;
    picture.alt = `${tiles.length} images to choose from`;
    sheet.style.width = `${width}px`;
    sheet.replaceChildren(picture, ...tiles.map(({ title, box: [left, top, wide, high] }, at) => {
      const tile = document.createElement("button");
      tile.title = title;
      tile.setAttribute("aria-label", title);
      tile.style.cssText = `left:${(100 * left) / width}%;top:${(100 * top) / height}%;` +
        `width:${(100 * wide) / width}%;height:${(100 * high) / height}%`;
      tile.addEventListener("click", (event) =>
        model.send(event.shiftKey || event.ctrlKey || event.metaKey ? { selected: at } : { clicked: at }));
      tile.addEventListener("keydown", (event) => { if (event.key === "s") model.send({ selected: at }); });
      return tile;
    }));
    mark();
  };
  model.on("change:shown", draw);
  model.on("change:selected", mark);
  draw();
  el.append(sheet);
  return () => {
    model.off("change:shown", draw);
    model.off("change:selected", mark);
    URL.revokeObjectURL(url);
  };
}
export default { render };
"""


class Sheet(anywidget.AnyWidget):
    """A sheet of images, initially empty; reports the index of a clicked or selected sample, from 0."""

    _esm = JS
    _css = CSS
    shown = traitlets.Dict().tag(sync=True)  # one trait, so that picture and buttons always match
    selected = traitlets.List(traitlets.Int()).tag(sync=True)

    def show(self, images: Mapping[str, UInt8], captions: Sequence[str], titles: Sequence[str] = ()) -> None:
        """Show k samples as `gallery.contact_sheet` does; those with a title are clickable.

        `images`: heading → uint8 (k, C, H, W); `captions`: k texts or none; `titles`: k texts, shown on hover.
        """
        plan = gallery.layout(images, captions)
        boxes = [plan.box(at) for at in range(len(titles))]
        size = plan.size(len(next(iter(images.values()))))
        self._set(gallery.contact_sheet(images, captions), size, boxes, titles)

    def show_strip(self, rows: Mapping[str, UInt8], titles: Sequence[str]) -> None:
        """Show rows of images as `gallery.strip` does, clickable; `titles`: one text an image, shown on hover."""
        plan = gallery.strip_layout(rows)
        lengths = [len(images) for images in rows.values()]
        boxes = [plan.box(row, column) for row, length in enumerate(lengths) for column in range(length)]
        self._set(gallery.strip(rows), plan.size(len(rows), max(lengths)), boxes, titles)

    def _set(
        self, png: bytes, size: tuple[int, int], boxes: Sequence[tuple[int, int, int, int]], titles: Sequence[str]
    ) -> None:
        tiles = [{"title": title, "box": box} for title, box in zip(titles, boxes, strict=True)]
        self.shown = {"png": png, "width": size[0], "height": size[1], "tiles": tiles}

    def clear(self) -> None:
        """Show nothing."""
        self.shown = {}

    @property
    def png(self) -> bytes | None:
        """The current picture; None if the sheet is empty."""
        return self.shown.get("png")

    def on_click(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the index of each clicked sample."""
        self._on("clicked", callback)

    def on_select(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the index of each sample that is to be selected, or no longer."""
        self._on("selected", callback)

    def _on(self, kind: str, callback: Callable[[int], None]) -> None:
        def message(_: Any, content: Any, buffers: Any) -> None:
            at = content.get(kind) if isinstance(content, dict) else None
            if isinstance(at, int) and 0 <= at < len(self.shown.get("tiles", ())):
                callback(at)

        self.on_msg(message)
