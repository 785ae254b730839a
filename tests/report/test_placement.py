from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from harness.candidate import Candidate, load
from harness.errors import ToolchainError
from harness.recipe import Recipe
from harness.report.placement import Placed, as_json, conclusions, place_all, table
from harness.run import Run
from harness.targets.base import Artifact, Evidence, Node, Placement, Sizes
from tests.house import SHIPPED

NODES = (
    Node("/conv", "Conv", "int8", "npu", False),
    Node("/mean", "ReduceMean", "float32", "cpu", True, "no kernel"),
    Node("/erf[red]", "Erf", "float16", "cpu", True, "no \x1b[2J kernel"),
)


@pytest.fixture(scope="module")
def candidate() -> Candidate:
    return load(SHIPPED)


@dataclass
class Toolchains:
    """Stands for Run: one recipe builds, every other crashes."""

    good: str

    def artifact(self, candidate: Candidate, recipe: Recipe) -> Artifact:
        if recipe.id != self.good:
            raise ToolchainError("the compiler crashed with SIGSEGV")
        placement = Placement(NODES, Evidence.STATIC, 2, "layer table of somecc 1.0")
        return Artifact("commands", recipe, "key", Path("model.bin"), placement, Sizes(1), Evidence.EMULATOR)


def placed(candidate: Candidate, *targets: str) -> list[Placed]:
    return place_all(cast(Run, Toolchains("host/int8")), candidate, targets)


def test_a_build_that_fails_does_not_hide_the_others(candidate: Candidate) -> None:
    builds = placed(candidate, "host")
    assert [(each.recipe.id, each.artifact is not None) for each in builds] == [
        ("host/int8", True),
        ("host/litert-int8", False),
    ]
    good, bad = conclusions(candidate, builds)
    assert good == "host/int8: 3 nodes, 1 fall back, 1 allowed, 2 partition(s); static: layer table of somecc 1.0"
    assert bad == "host/litert-int8: placement unknown: the compiler crashed with SIGSEGV"


def test_names_of_others_neither_style_nor_steer_the_table(candidate: Candidate) -> None:
    file = io.StringIO()
    Console(file=file, width=200, force_terminal=True).print(table(candidate, placed(candidate, "host")))
    told = file.getvalue()
    assert "/erf[red]" in told
    assert "\x1b[2J" not in told


def test_machines_read_the_same(candidate: Candidate) -> None:
    good, bad = as_json(candidate, placed(candidate, "host"))["builds"]
    assert [(node["node"], node["fallback"], node["allowed"]) for node in good["nodes"]] == [
        ("/conv", False, False),
        ("/mean", True, True),
        ("/erf[red]", True, False),
    ]
    assert (good["partitions"], good["lack"]) == (2, "")
    assert bad == {"build": "host/litert-int8", "lack": "the compiler crashed with SIGSEGV"}


def test_every_recipe_without_a_selection(candidate: Candidate) -> None:
    assert len(placed(candidate)) == len(candidate.recipes)
    assert placed(replace(candidate, recipes=())) == []
