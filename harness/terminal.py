"""Tables on a terminal, or in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

MOST_COLUMNS = 100_000  # of a table in a pipe


def print_table(table: Table) -> None:
    """A table folded at the terminal's width; a pipe has none, so there every row is one line."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=MOST_COLUMNS)
    with console.capture() as printed:
        console.print(table)
    print("\n".join(line.rstrip() for line in printed.get().splitlines()))
