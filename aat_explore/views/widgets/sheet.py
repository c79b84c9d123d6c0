"""A contact sheet to click on: `gallery`'s PNG, with a button of no colour over each sample.

An `ipywidgets.Image` hears of no click. A button for each sample, over one picture, is reached by mouse, keyboard and
screen reader; titles are set as text: what files say is never HTML.
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
    """A contact sheet, empty at first; `on_click` tells which sample was clicked, from 0."""

    _esm = JS
    _css = CSS
    shown = traitlets.Dict().tag(sync=True)  # one trait, so that no browser sees a picture with another's buttons

    def show(self, images: Mapping[str, UInt8], captions: Sequence[str], titles: Sequence[str] = ()) -> None:
        """Show k samples as `gallery.contact_sheet` does, those that have a title to be clicked on.

        `images`: heading → uint8 (k, C, H, W); `captions`: k texts or none; `titles`: k texts, said on hovering.
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
        """The picture that is shown."""
        return self.shown.get("png")

    def on_click(self, hear: Callable[[int], None]) -> None:
        """Call `hear` with the number of each sample clicked."""

        def message(_: Any, content: Any, buffers: Any) -> None:
            clicked = content.get("clicked") if isinstance(content, dict) else None
            if isinstance(clicked, int) and 0 <= clicked < len(self.shown.get("tiles", ())):
                hear(clicked)

        self.on_msg(message)
