"""A sheet of clickable images: each tile is a button for mouse, keyboard and screen reader.

Altair's `mark_image` took 0.36-0.9 s per step for 200 tiles of three images in headless Chromium, most of it in Vega;
here the browser cuts one PNG by CSS. Text is set as text, never as HTML: it comes from files.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence

import streamlit as st

from aat_explore.errors import AATError
from aat_explore.views.protocols import UInt8
from aat_explore.views.sprite import Sprite, sprite

CSS = """
.tiles { display: flex; flex-wrap: wrap; gap: 8px; }
.tiles.bare { gap: 2px; }
button { all: unset; cursor: pointer; box-sizing: border-box; border-radius: 3px; outline-offset: 2px;
         font-family: var(--st-font); color: var(--st-text-color); }
button:hover, button:focus-visible { outline: 2px solid var(--st-primary-color); }
i { display: block; background-image: var(--sheet); background-repeat: no-repeat; image-rendering: pixelated; }
span { display: block; white-space: pre; overflow: hidden; text-overflow: ellipsis;
       font-size: 11px; line-height: 14px; }
"""

JS = """
const sheets = new WeakMap();
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".tiles");
  if (sheets.get(root)?.stamp === data.stamp) return;
  const bytes = Uint8Array.from(atob(data.png), (c) => c.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  const before = sheets.get(root)?.url;
  sheets.set(root, { stamp: data.stamp, url });
  if (before) setTimeout(() => URL.revokeObjectURL(before), 2000);
  root.style.setProperty("--sheet", `url(${url})`);
  root.classList.toggle("bare", !data.captions.length);
  const [w, h, scale] = [data.width * data.scale, data.height * data.scale, data.scale];
  const tiles = document.createDocumentFragment();
  data.titles.forEach((title, at) => {
    const tile = document.createElement("button");
    tile.title = title;
    tile.setAttribute("aria-label", title);
    tile.dataset.at = at;
    tile.style.width = `${w}px`;
    const picture = document.createElement("i");
    const [x, y] = [(at % data.perRow) * w, Math.floor(at / data.perRow) * h];
    picture.style.cssText =
      `width:${w}px;height:${h}px;background-size:${w * data.perRow}px ${h * data.rows}px;` +
      `background-position:${-x}px ${-y}px`;
    tile.append(picture);
    if (data.captions.length) {
      const caption = document.createElement("span");
      caption.textContent = data.captions[at];
      tile.append(caption);
    }
    tiles.append(tile);
  });
  root.replaceChildren(tiles);
  root.dataset.stamp = data.stamp;
  root.onclick = (event) => {
    const tile = event.target.closest("button");
    if (tile) setTriggerValue("clicked", Number(tile.dataset.at));
  };
}
"""

_sheet = st.components.v2.component("aat_sheet", html='<div class="tiles" role="group"></div>', css=CSS, js=JS)


def show(
    images: Mapping[str, UInt8], captions: Sequence[str], titles: Sequence[str], key: str, *, scale: int = 2
) -> int | None:
    """Show k tiles, the i-th made of each column's i-th image, and return the tile just clicked, else None.

    `images`: heading → uint8 (k, C, H, W); `captions`: k short texts beneath, with line feeds between lines, or none;
    `titles`: k texts for hovering and screen readers. Each pixel is `scale` wide on the screen.
    """
    cut = sprite(images)
    if len(captions) not in (0, len(titles)) or cut.per_row * cut.rows < len(titles):
        raise AATError(f"captions={len(captions)} and titles={len(titles)} do not fit the images; give one each")
    clicked = _sheet(data=_data(cut, captions, titles, scale), key=key, on_clicked_change=lambda: None).clicked
    return int(clicked) if isinstance(clicked, int | float) and 0 <= clicked < len(titles) else None


def _data(cut: Sprite, captions: Sequence[str], titles: Sequence[str], scale: int) -> dict[str, object]:
    return {
        "png": base64.b64encode(cut.png).decode(),
        "stamp": hashlib.sha256(repr((cut.png, captions, titles, scale)).encode()).hexdigest()[:16],
        "width": cut.width,
        "height": cut.height,
        "perRow": cut.per_row,
        "rows": cut.rows,
        "scale": scale,
        "captions": list(captions),
        "titles": list(titles),
    }
