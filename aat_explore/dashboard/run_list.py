"""A table of runs: a click on a row opens its run, ticks gather several, a click on a header sorts.

In `st.dataframe` sorting moves the selected cell to another run and clears the ticks, and the canvas keeps texts from
screen readers. Text is set as text, never as HTML: it comes from files.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import streamlit as st

from aat_explore.dashboard import state

CSS = """
.runs { overflow: auto; border: 1px solid var(--st-border-color); border-radius: 6px;
        font-family: var(--st-font); font-size: 13px; color: var(--st-text-color); }
table { border-collapse: separate; border-spacing: 0; width: 100%; }
th { position: sticky; top: 0; z-index: 1; background: var(--st-secondary-background-color); padding: 0;
     text-align: left; border-bottom: 1px solid var(--st-border-color); white-space: nowrap; }
th button { all: unset; cursor: pointer; padding: 5px 8px; font-weight: 600; display: block; box-sizing: border-box;
            width: 100%; }
td { padding: 3px 8px; border-bottom: 1px solid var(--st-border-color); white-space: nowrap; }
th.number button, td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.wrap { white-space: normal; min-width: 24em; }
td.cut { max-width: 11em; overflow: hidden; text-overflow: ellipsis; }
td.faint { font-family: var(--st-code-font); font-size: 11px; }
td button { all: unset; cursor: pointer; font-weight: 500; }
tbody tr { cursor: pointer; }
tbody tr:hover { background: var(--st-secondary-background-color); }
tr[aria-current="true"] td { background: color-mix(in srgb, var(--st-primary-color) 16%, transparent); }
tr[aria-current="true"] td:first-child { box-shadow: inset 3px 0 0 var(--st-primary-color); }
button:focus-visible, input:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: -1px; }
.tick { width: 28px; text-align: center; }
input { cursor: pointer; accent-color: var(--st-primary-color); margin: 0; }
.none { padding: 12px; }
"""

JS = """
const memories = new WeakMap();
const looks = { name: "wrap", text: "cut", percent: "number", seconds: "number", date: "", id: "faint" };
const show = (value, kind) => {
  if (value === null || value === undefined || value === "") return kind === "text" ? "" : "–";
  if (kind === "percent") return `${(100 * value).toFixed(1)}%`;
  if (kind === "seconds") return value < 100 ? value.toPrecision(2) : value.toFixed(0);
  return String(value);
};
const compare = (a, b) => {
  const empty = (value) => value === null || value === undefined || value === "";
  if (empty(a) || empty(b)) return empty(a) - empty(b);
  return typeof a === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".runs");
  const memory = memories.get(root) ?? { sort: null, down: false, sent: 0, ticked: new Set() };
  memories.set(root, memory);
  root.style.maxHeight = data.height;
  if (data.answer >= memory.sent) memory.ticked = new Set(data.ticked);
  memory.opened = data.opened;
  const names = Object.fromEntries(data.rows.map((row) => [row.id, row.name]));

  const mark = () => {
    for (const line of root.querySelectorAll("tbody tr")) {
      line.setAttribute("aria-current", String(line.dataset.id === memory.opened));
      line.querySelector("input").checked = memory.ticked.has(line.dataset.id);
    }
    const all = root.querySelector("thead input");
    const number = data.rows.filter((row) => memory.ticked.has(row.id)).length;
    if (all) {
      all.checked = number > 0 && number === data.rows.length;
      all.indeterminate = number > 0 && number < data.rows.length;
    }
  };
  const tick = (ids, on) => {
    for (const id of ids) on ? memory.ticked.add(id) : memory.ticked.delete(id);
    memory.sent = Date.now();
    setTriggerValue("ticked", { ids: [...memory.ticked], at: memory.sent });
    mark();
  };
  const open = (id) => {
    if (id === memory.opened) return;
    memory.opened = id;
    setTriggerValue("opened", id);
    mark();
  };
  const box = (label, onChange) => {
    const input = document.createElement("input");
    input.type = "checkbox";
    input.setAttribute("aria-label", label);
    input.onclick = (event) => event.stopPropagation();
    input.onchange = () => onChange(input.checked);
    return input;
  };

  const sorted = () => {
    if (memory.sort === null) return data.rows;
    const at = data.columns.findIndex((column) => column.key === memory.sort);
    if (at < 0) return data.rows;
    const order = [...data.rows].sort((a, b) => {
      const [x, y] = [a.values[at], b.values[at]];
      const missing = (x === null || x === "") - (y === null || y === "");
      return missing || (memory.down ? -compare(x, y) : compare(x, y));
    });
    return order;
  };
  const body = () => {
    const lines = document.createDocumentFragment();
    for (const row of sorted()) {
      const line = document.createElement("tr");
      line.dataset.id = row.id;
      const cell = document.createElement("td");
      cell.className = "tick";
      cell.onclick = (event) => { event.stopPropagation(); tick([row.id], !memory.ticked.has(row.id)); };
      cell.append(box(`Tick ${row.name}`, (on) => tick([row.id], on)));
      line.append(cell);
      data.columns.forEach((column, at) => {
        const cell = document.createElement("td");
        const text = show(row.values[at], column.kind);
        cell.className = looks[column.kind];
        if (cell.className === "cut") cell.title = text;
        if (column.kind === "name") {
          const button = document.createElement("button");
          button.textContent = text;
          cell.append(button);
        } else cell.textContent = text;
        line.append(cell);
      });
      line.onclick = () => open(row.id);
      lines.append(line);
    }
    root.querySelector("tbody").replaceChildren(lines);
    for (const [at, head] of [...root.querySelectorAll("thead th:not(.tick)")].entries()) {
      const is = data.columns[at].key === memory.sort;
      head.setAttribute("aria-sort", is ? (memory.down ? "descending" : "ascending") : "none");
      head.querySelector("button").textContent = data.columns[at].title + (is ? (memory.down ? " ↓" : " ↑") : "");
    }
    mark();
  };

  if (memory.stamp === data.stamp) return mark();
  memory.stamp = data.stamp;
  if (!data.rows.length) {
    root.innerHTML = '<div class="none"></div>';
    root.firstChild.textContent = data.none;
    return;
  }
  const table = document.createElement("table");
  table.setAttribute("aria-label", data.label);
  const heads = document.createElement("tr");
  const first = document.createElement("th");
  first.className = "tick";
  first.append(box("Tick all shown", (on) => tick(data.rows.map((row) => row.id), on)));
  heads.append(first);
  for (const column of data.columns) {
    const head = document.createElement("th");
    if (column.kind === "percent" || column.kind === "seconds") head.className = "number";
    const button = document.createElement("button");
    button.title = column.help;
    button.onclick = () => {
      // Numbers are most often wanted from the top; the third click brings back the original order.
      const first = column.kind === "percent" || column.kind === "date";
      if (memory.sort !== column.key) [memory.sort, memory.down] = [column.key, first];
      else if (memory.down === first) memory.down = !first;
      else [memory.sort, memory.down] = [null, false];
      body();
      root.scrollTop = 0;
    };
    head.append(button);
    heads.append(head);
  }
  const head = document.createElement("thead");
  head.append(heads);
  table.append(head, document.createElement("tbody"));
  root.replaceChildren(table);
  body();
  root.querySelector('tr[aria-current="true"]')?.scrollIntoView({ block: "nearest" });
}
"""

_runs = st.components.v2.component("aat_runs", html='<div class="runs"></div>', css=CSS, js=JS)


@dataclass(frozen=True)
class Column:
    """A column: the frame's column `key`, its title, and how its values are written."""

    key: str
    title: str
    kind: Literal["name", "text", "percent", "seconds", "date", "id"] = "text"
    help: str = ""


@dataclass(frozen=True)
class Row:
    """A run: its id, its name, and its values in the order of the columns, None where there is none."""

    id: str
    name: str
    values: Sequence[Any]


def show(
    columns: Sequence[Column],
    rows: Sequence[Row],
    key: str,
    *,
    label: str,
    none: str,
    height: str,
    opened: str,
    ticked: Collection[str],
    on_open: Callable[[str], None],
    on_tick: Callable[[list[str]], None],
) -> None:
    """Show the runs in their order, with the `opened` one marked and the `ticked` ones ticked.

    `none`: what stands there without rows; `height`: the most that the table takes, as CSS. `on_open` is called with
    the id of the run whose row was clicked, `on_tick` with the ids of all that are ticked now, before the page is drawn
    again; ids that this table does not show are kept.
    """
    known = {row.id for row in rows} | set(ticked)

    def open_run() -> None:
        run_id = state.component(key).get("opened")
        if run_id in known:
            on_open(str(run_id))

    def tick_runs() -> None:
        event = state.component(key).get("ticked")
        if isinstance(event, Mapping) and isinstance(event.get("ids"), list):
            state.TICKS_ANSWERED.set(event.get("at", 0))
            on_tick([run_id for run_id in event["ids"] if run_id in known])

    content = [[asdict(column) for column in columns], [asdict(row) for row in rows]]
    _runs(
        data={
            "columns": content[0],
            "rows": content[1],
            "stamp": hashlib.sha256(repr(content).encode()).hexdigest()[:16],
            "label": label,
            "none": none,
            "height": height,
            "opened": opened,
            "ticked": list(ticked),
            "answer": state.TICKS_ANSWERED.get(),
        },
        key=key,
        on_opened_change=open_run,
        on_ticked_change=tick_runs,
    )
