"""What this machine can do for each target, what lacks, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Column, Table

from harness.targets.base import Target

COLUMNS = ("target", "can", "", "by, or what lacks", "remedy")


def table(targets: Mapping[str, Target], names: Iterable[str]) -> Table:
    """One line an ability."""
    grid = Table(*(Column(name, overflow="fold") for name in COLUMNS), box=None, pad_edge=False, header_style="bold")
    for name in names:
        for ability in targets[name].abilities():
            word = "[green]yes[/]" if ability.ready else "[red]no[/]"
            grid.add_row(name, ability.what, word, ability.detail, ability.remedy)
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
