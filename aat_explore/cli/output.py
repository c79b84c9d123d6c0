"""What commands print: tables on a terminal or in a file, evaluations, JSON."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from aat_explore.budgets import epsilon_text
from aat_explore.cli import printable
from aat_explore.cli.console import Console

if TYPE_CHECKING:
    import pandas as pd

    from aat_explore.records import Evaluation


def print_frame(frame: "pd.DataFrame", cell: Callable[[str, object], str], *, left: Collection[str]) -> None:
    """Print a frame as `print_table` does."""
    print_table(list(frame.columns), frame.itertuples(index=False), cell, left=left)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Iterable[object]],
    cell: Callable[[str, object], str],
    *,
    left: Collection[str],
) -> None:
    """Print rows as a table of the texts `cell`(column, value); 200 columns wide when not on a terminal.

    Columns are right-aligned, except those in `left`.
    """
    table = Table()
    for name in columns:
        table.add_column(name.replace("_", " "), overflow="fold", justify="left" if name in left else "right")
    for row in rows:
        table.add_row(*[escape(printable(cell(name, value))) for name, value in zip(columns, row, strict=True)])
    console = Console()
    console.print(table) if console.is_terminal else Console(width=200).print(table)


def cell(name: str, value: object) -> str:
    """A value as text: accuracies in percent, other numbers to three digits, a dash for what is missing."""
    if value is None or value != value:  # NaN differs from itself
        return "–"
    if "accuracy" in name:
        return f"{value:.1%}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def print_evaluation(console: Console, evaluation: "Evaluation") -> None:
    """Print the curve of an evaluation."""
    from aat_explore.views.recipes import evaluation_name

    title = f"accuracy under {evaluation_name(evaluation)}, epoch {evaluation.epoch}, {evaluation.seconds:.0f} s"
    console.print(printable(title), highlight=False, markup=False, soft_wrap=True)
    table = Table("ε", "accuracy", "95% interval")
    for column in table.columns:
        column.justify = "right"
    rows = zip(evaluation.epsilons, evaluation.accuracies, evaluation.intervals, strict=True)
    for epsilon, accuracy, (low, high) in rows:
        clean = "  (clean)" if epsilon == 0 else ""
        table.add_row(epsilon_text(epsilon), f"{accuracy:.2%}{clean}", f"{low:.2%} – {high:.2%}")
    console.print(table)


def evaluation_fields(evaluation: "Evaluation") -> dict[str, Any]:
    """An evaluation for JSON, with accuracies and intervals."""
    derived = {"accuracies": evaluation.accuracies, "intervals": evaluation.intervals}
    return evaluation.model_dump(mode="json") | derived


def json_text(value: object) -> str:
    """A value as JSON, indented, without control characters."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=float)
    return re.sub(
        r"[\x7f-\x9f]", lambda control: f"\\u{ord(control[0]):04x}", text
    )  # those that JSON leaves as they are
