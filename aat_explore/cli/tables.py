"""Frames as tables on a terminal, or in a file."""

from collections.abc import Callable, Collection

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aat_explore.cli import printable


def print_frame(frame: pd.DataFrame, cell: Callable[[str, object], str], *, left: Collection[str]) -> None:
    """Print a frame as a table, `cell`(column, value) its texts; elsewhere than on a terminal, as wide as it needs.

    Columns are ranged right, but for those in `left`.
    """
    table = Table()
    for name in frame.columns:
        table.add_column(name.replace("_", " "), overflow="fold", justify="left" if name in left else "right")
    for row in frame.itertuples(index=False):
        table.add_row(*[escape(printable(cell(name, value))) for name, value in zip(frame.columns, row, strict=True)])
    console = Console()
    console.print(table) if console.is_terminal else Console(width=200).print(table)
