"""What this machine can do for each target, what lacks, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from harness.row import printable
from harness.targets.base import Target

COLUMNS = ("target", "can", "", "by, or what lacks", "remedy")


def table(targets: Mapping[str, Target], names: Iterable[str]) -> Table:
    """One line an ability."""
    grid = Table(*(Column(name, overflow="fold") for name in COLUMNS), box=None, pad_edge=False, header_style="bold")
    for name in names:
        for ability in targets[name].abilities():
            word = Text("yes", style="green") if ability.ready else Text("no", style="red")
            said = (Text(printable(cell)) for cell in (ability.detail, ability.remedy))  # names of the user's own
            grid.add_row(name, ability.what, word, *said)
        grid.add_section()
    return grid


def as_json(targets: Mapping[str, Target], names: Iterable[str]) -> dict[str, Any]:
    """The same for machines."""
    return {
        name: {
            "title": targets[name].title,
            "abilities": [
                {"what": each.what, "ready": each.ready, "detail": each.detail, "remedy": each.remedy}
                for each in targets[name].abilities()
            ],
        }
        for name in names
    }
