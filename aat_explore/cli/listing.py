"""The table of `aat list`: one line a run, with as many columns as the terminal holds."""

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

from aat_explore.cli import printable
from aat_explore.cli.console import Console
from aat_explore.cli.output import cell

# In order of importance: those that do not fit are left out from the end.
COLUMNS = {
    "run_id": "run",
    "clean_accuracy": "clean",
    "robust_accuracy": "robust",
    "flagged": "!",
    "epochs_of": "epochs",
    "status": "status",
    "seconds_per_epoch": "s/epoch",
    "attack": "attack",
    "tested_with": "tested with",
    "flag": "fails",
}
TO_THE_RIGHT = {"clean_accuracy", "robust_accuracy", "epochs_of", "seconds_per_epoch"}
GAP = 2


def print_list(rows: Sequence[Mapping[str, object]], *, wide: bool) -> None:
    """Print the rows of `aat list`: on a terminal the columns that fit, `wide` or elsewhere all of them.

    No value is ever broken or cut, the run's name least of all.
    """
    console = Console()
    texts = [{name: printable(_cell(name, row)) for name in COLUMNS} for row in rows]
    widths = {name: max(cell_len(title), *(cell_len(row[name]) for row in texts)) for name, title in COLUMNS.items()}
    whole = wide or not console.is_terminal
    shown = list(COLUMNS) if whole else fitting(widths, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name in shown:
        table.add_column(COLUMNS[name], justify="right" if name in TO_THE_RIGHT else "left", no_wrap=True)
    for row in texts:
        table.add_row(*[escape(row[name]) for name in shown])
    Console(width=sum(widths.values()) + GAP * len(widths)).print(table, crop=False, soft_wrap=True)
    notes = ["! fails a check"] * any(row["flagged"] for row in texts)
    notes += ["--wide shows all columns"] * (len(shown) < len(COLUMNS))
    if notes and not whole:
        console.print("; ".join(notes), highlight=False, markup=False, soft_wrap=True)


def fitting(widths: Mapping[str, int], width: int) -> list[str]:
    """Return the first columns whose widths, and the gaps between them, fit into a line; always the first one."""
    shown: list[str] = []
    taken = 0
    for name, needed in widths.items():
        taken += needed + GAP * bool(shown)
        if shown and taken > width:
            break
        shown.append(name)
    return shown


def _cell(name: str, row: Mapping[str, object]) -> str:
    if name == "flagged":
        return "!" if row["flag"] else ""
    if name == "epochs_of":
        return f"{row['epochs_done']}/{row['epochs']}"
    return cell(name, row[name])
