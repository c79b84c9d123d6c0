"""A sheet of clickable images: each tile is a button for mouse, keyboard and screen reader.

Altair's `mark_image` took 0.36-0.9 s per step for 200 tiles of three images in headless Chromium, most of it in Vega;
here the browser cuts one PNG by CSS. Text is set as text, never as HTML: it comes from files.

A click (or Enter) opens a tile; a click with Shift, Ctrl or ⌘ (or the key s) selects it. Arrow keys move among the
tiles, so that a page has one stop of Tab per sheet. Tiles of the same sample light up together, in every row of a
filmstrip.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from aat_explore.dashboard import state
from aat_explore.errors import AATError
from aat_explore.views.protocols import UInt8
from aat_explore.views.sprite import Sprite, sprite

CSS = """
.tiles { display: flex; flex-direction: column; gap: 6px; }
.row { display: flex; align-items: center; gap: 8px; }
.label { flex: none; width: 62px; text-align: right; white-space: nowrap; overflow: hidden; text-overflow: ellipsis;
         font-family: var(--st-font); font-size: 12px; color: var(--st-text-color); }
.cells { display: flex; flex-wrap: wrap; gap: 6px; }
.film .cells { overflow: hidden; gap: 3px; flex: 1; }  /* one row high: tiles that do not fit whole are not shown */
.bare .cells { gap: 2px; }
button { all: unset; cursor: pointer; box-sizing: border-box; border-radius: 3px; outline-offset: -3px; flex: none;
         font-family: var(--st-font); color: var(--st-text-color); user-select: none; }
button:hover, button:focus-visible, button.same { outline: 2px solid var(--st-primary-color); }
button[aria-pressed="true"] { outline: 3px solid #e08a00; }
button[aria-current="true"] { outline: 3px solid var(--st-primary-color); }
/* Rings lie inside, where no neighbour and no edge of a strip cuts them; white between ring and picture. */
button:is(:hover, :focus-visible, .same, [aria-pressed="true"], [aria-current="true"]) i {
  outline: 1px solid #fff; outline-offset: -4px;
}
i { display: block; background-image: var(--sheet); background-repeat: no-repeat; image-rendering: pixelated; }
b { display: block; height: 3px; margin-top: 1px; border-radius: 2px; }
span { display: block; white-space: pre; overflow: hidden; text-overflow: ellipsis;
       font-size: 11px; line-height: 14px; }
"""

JS = """
const sheets = new WeakMap();
function build(root, data) {
  const [w, h, scale] = [data.width * data.scale, data.height * data.scale, data.scale];
  const rows = document.createDocumentFragment();
  let at = 0;
  for (const group of data.groups) {
    const row = document.createElement("div");
    row.className = "row";
    if (group.label) {
      const label = document.createElement("div");
      label.className = "label";
      label.textContent = label.title = group.label;
      row.append(label);
    }
    const cells = document.createElement("div");
    cells.className = "cells";
    if (group.label) cells.style.height = `${h + (data.marks.length ? 4 : 0)}px`;
    for (const end = at + group.count; at < end; at++) {
      const tile = document.createElement("button");
      tile.title = data.titles[at];
      tile.setAttribute("aria-label", data.titles[at]);
      tile.dataset.at = at;
      tile.tabIndex = at ? -1 : 0;
      tile.style.width = `${w}px`;
      if (data.ids.length) tile.dataset.id = data.ids[at];
      const picture = document.createElement("i");
      const [x, y] = [(at % data.perRow) * w, Math.floor(at / data.perRow) * h];
      picture.style.cssText =
        `width:${w}px;height:${h}px;background-size:${w * data.perRow}px ${h * data.rows}px;` +
        `background-position:${-x}px ${-y}px`;
      tile.append(picture);
      if (data.marks.length) {
        const mark = document.createElement("b");
        mark.style.background = data.marks[at] || "transparent";
        tile.append(mark);
      }
      if (data.captions.length) {
        const caption = document.createElement("span");
        caption.textContent = data.captions[at];
        tile.append(caption);
      }
      cells.append(tile);
    }
    row.append(cells);
    rows.append(row);
  }
  root.replaceChildren(rows);
}
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".tiles");
  const tiles = () => [...root.querySelectorAll("button")];
  if (sheets.get(root)?.stamp !== data.stamp) {
    const text = atob(data.png), bytes = new Uint8Array(text.length);
    for (let byte = 0; byte < bytes.length; byte++) bytes[byte] = text.charCodeAt(byte);
    const url = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    const before = sheets.get(root)?.url;
    sheets.set(root, { stamp: data.stamp, url });
    if (before) setTimeout(() => URL.revokeObjectURL(before), 2000);
    root.style.setProperty("--sheet", `url(${url})`);
    root.classList.toggle("bare", !data.captions.length);
    root.classList.toggle("film", data.groups.some((group) => group.label));
    const focused = parentElement.activeElement?.dataset?.at;
    build(root, data);
    root.dataset.stamp = data.stamp;
    if (focused !== undefined) tiles()[Math.min(focused, tiles().length - 1)]?.focus();
  }
  const chosen = new Set(data.selected);
  for (const tile of tiles()) {
    const id = Number(tile.dataset.id);
    tile.ariaPressed = chosen.has(id);
    tile.ariaCurrent = data.opened !== null && id === data.opened;
  }
  const light = (id) => {
    for (const tile of tiles()) tile.classList.toggle("same", id !== undefined && tile.dataset.id === id);
  };
  root.onmouseover = (event) => light(event.target.closest("button")?.dataset.id);
  root.onmouseleave = () => light(undefined);
  const select = (tile) => setTriggerValue("selected", { id: Number(tile.dataset.id), time: Date.now() });
  root.onclick = (event) => {
    const tile = event.target.closest("button");
    if (!tile) return;
    if (data.ids.length && (event.shiftKey || event.ctrlKey || event.metaKey)) select(tile);
    else setTriggerValue("clicked", Number(tile.dataset.at));
  };
  root.onkeydown = (event) => {
    const tile = event.target.closest("button");
    if (!tile || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "s" && data.ids.length) return select(tile);
    // A strip hides the tiles that do not fit into its row.
    const bottom = (element) => element.getBoundingClientRect().bottom;
    const all = tiles().filter((each) => bottom(each) < bottom(each.parentElement) + 1);
    const at = all.indexOf(tile), box = tile.getBoundingClientRect();
    const beside = (step) => {
      const near = all.filter((other) => Math.abs(other.getBoundingClientRect().left - box.left) < box.width / 2);
      return near[near.indexOf(tile) + step];
    };
    const to = { ArrowRight: () => all[at + 1], ArrowLeft: () => all[at - 1], Home: () => all[0],
                 End: () => all[all.length - 1], ArrowDown: () => beside(1), ArrowUp: () => beside(-1) }[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    const next = to();
    if (!next) return;
    tile.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    light(next.dataset.id);
  };
}
"""

_sheet = st.components.v2.component("aat_sheet", html='<div class="tiles" role="group"></div>', css=CSS, js=JS)


@dataclass(frozen=True)
class Tiles:
    """What a sheet says about its tiles, one entry each or none.

    `ids`: rows of the training split, or epochs, by which a tile is selected and lights up; `marks`: CSS colours of a
    bar under the tile; `captions`: short texts beneath, with line feeds between lines; `groups`: label → number of
    tiles, for a filmstrip with one row a group; `opened`: the id of the tile that is shown in full beside the sheet.
    """

    titles: Sequence[str]
    captions: Sequence[str] = ()
    ids: Sequence[int] = ()
    marks: Sequence[str] = ()
    groups: Mapping[str, int] | None = None
    selected: Sequence[int] = ()
    opened: int | None = None

    def check(self, room: int) -> None:
        """AATError unless every list fits the titles, and these the `room` of the images."""
        k = len(self.titles)
        counts = {"captions": len(self.captions), "ids": len(self.ids), "marks": len(self.marks)}
        unfit = {name: count for name, count in counts.items() if count not in (0, k)}
        if self.groups is not None and sum(self.groups.values()) != k:
            unfit["groups"] = sum(self.groups.values())
        if unfit or room < k:
            said = ", ".join(f"{name}={count}" for name, count in unfit.items()) or f"images={room}"
            raise AATError(f"{said} do not fit titles={k}; give one each")


def show(
    images: Mapping[str, UInt8],
    captions: Sequence[str],
    titles: Sequence[str],
    key: str,
    *,
    scale: float = 2,
) -> int | None:
    """`draw` for tiles that cannot be selected."""
    return draw(images, Tiles(titles, captions), key, scale=scale)


def draw(
    images: Mapping[str, UInt8],
    tiles: Tiles,
    key: str,
    *,
    scale: float = 2,
    on_select: Callable[[int], None] | None = None,
    on_open: Callable[[int], None] | None = None,
) -> int | None:
    """Show k tiles, the i-th made of each column's i-th image, and return the tile just clicked, else None.

    `images`: heading → uint8 (k, C, H, W). Each pixel is `scale` wide on the screen. `on_select` is called with the id
    of a tile that was selected or unselected, `on_open` with the position of one that was clicked, before the page is
    drawn again.
    """
    cut = sprite(images)
    tiles.check(cut.per_row * cut.rows)

    def select() -> None:
        event = state.component(key).get("selected")
        if on_select is not None and isinstance(event, Mapping) and isinstance(event.get("id"), int):
            on_select(int(event["id"]))

    def open_() -> None:
        at = _position(state.component(key).get("clicked"), tiles)
        if on_open is not None and at is not None:
            on_open(at)

    data = _data(cut, tiles, scale)
    return _position(_sheet(data=data, key=key, on_clicked_change=open_, on_selected_change=select).clicked, tiles)


def _position(clicked: object, tiles: Tiles) -> int | None:
    return int(clicked) if isinstance(clicked, int | float) and 0 <= clicked < len(tiles.titles) else None


def _data(cut: Sprite, tiles: Tiles, scale: float) -> dict[str, object]:
    groups = tiles.groups or {"": len(tiles.titles)}
    content = (cut.png, tiles.captions, tiles.titles, tiles.ids, tiles.marks, tiles.groups, scale)
    return {
        "png": base64.b64encode(cut.png).decode(),
        "stamp": hashlib.sha256(repr(content).encode()).hexdigest()[:16],
        "width": cut.width,
        "height": cut.height,
        "perRow": cut.per_row,
        "rows": cut.rows,
        "scale": scale,
        "captions": list(tiles.captions),
        "titles": list(tiles.titles),
        "ids": [int(row) for row in tiles.ids],
        "marks": list(tiles.marks),
        "groups": [{"label": label, "count": count} for label, count in groups.items()],
        "selected": [int(row) for row in tiles.selected],
        "opened": tiles.opened,
    }
