"""A clickable contact sheet: `gallery`'s PNG, with a transparent button over each sample.

An `ipywidgets.Image` has no click events. A button per sample over one picture can be reached by mouse, keyboard and
screen reader. Titles are set as text, so that names from files are never interpreted as HTML.
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
"""

JS = """
function render({ model, el }) {
  const sheet = document.createElement("div");
  sheet.className = "aat-sheet";
  const picture = document.createElement("img");
  let url;
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
      tile.addEventListener("click", () => model.send({ clicked: at }));
      return tile;
    }));
  };
  model.on("change:shown", draw);
  draw();
  el.append(sheet);
  return () => { model.off("change:shown", draw); URL.revokeObjectURL(url); };
}
export default { render };
"""


class Sheet(anywidget.AnyWidget):
    """A contact sheet, initially empty; `on_click` reports the index of a clicked sample, from 0."""

    _esm = JS
    _css = CSS
    shown = traitlets.Dict().tag(sync=True)  # one trait, so that picture and buttons always match

    def show(self, images: Mapping[str, UInt8], captions: Sequence[str], titles: Sequence[str] = ()) -> None:
        """Show k samples as `gallery.contact_sheet` does; those with a title are clickable.

        `images`: heading → uint8 (k, C, H, W); `captions`: k texts or none; `titles`: k texts, shown on hover.
        """
        plan = gallery.layout(images, captions)
        width, height = plan.size(len(next(iter(images.values()))))
        tiles = [{"title": title, "box": plan.box(at)} for at, title in enumerate(titles)]
        png = gallery.contact_sheet(images, captions)
        self.shown = {"png": png, "width": width, "height": height, "tiles": tiles}

    def clear(self) -> None:
        """Show nothing."""
        self.shown = {}

    @property
    def png(self) -> bytes | None:
        """The current picture; None if the sheet is empty."""
        return self.shown.get("png")

    def on_click(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the index of each clicked sample."""

        def message(_: Any, content: Any, buffers: Any) -> None:
            clicked = content.get("clicked") if isinstance(content, dict) else None
            if isinstance(clicked, int) and 0 <= clicked < len(self.shown.get("tiles", ())):
                callback(clicked)

        self.on_msg(message)
