"""One board is used by one worker of pytest-xdist.

Since pytest 9.2, xdist's ``--dist loadgroup`` finds no group any more and says nothing (pytest-xdist#1386). So tests of
builds are handed out here, by what their parameters say; with a lab in every mode that splits tests at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harness.boards.labfile import LabBoard
from harness.candidate import Candidate
from harness.plugin.house import HOUSE, House
from harness.recipe import Recipe
from harness.run import build_name

SPLITTING = ("load", "loadscope", "loadfile", "loadgroup", "worksteal")


def group(house: House, candidate: Candidate, recipe: Recipe) -> str:
    """Builds of one group share a board: its id, or the name of the target that runs here."""
    found = house.lab.chosen(recipe.target, build_name(candidate, recipe)) if house.lab else None
    return found.id if isinstance(found, LabBoard) else recipe.target


def scope(nodeid: str, groups: Mapping[str, str]) -> str:
    """The group of a test by the build its parameters begin with; itself where it is of no build."""
    parameters = nodeid.partition("[")[2]
    found = [name for name in groups if parameters.startswith((f"{name}-", f"{name}]"))]
    return groups[max(found, key=len)] if found else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    house = config.stash.get(HOUSE, None)
    mode = config.getoption("dist")
    if house is None or mode not in SPLITTING or not (mode == "loadgroup" or house.lab):
        return None
    from xdist.scheduler import LoadScopeScheduling

    groups = {
        f"{candidate.name}-{recipe.target}-{recipe.name}": group(house, candidate, recipe)
        for candidate in house.candidates.values()
        for recipe in candidate.recipes
    }

    class ByBoard(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid, groups)

    return ByBoard(config, log)
