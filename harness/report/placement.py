"""One view across targets: for every build of a candidate, where each node runs, in what type, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from harness.candidate import Candidate
from harness.errors import VoxgateError
from harness.gates.artifact import allowed
from harness.recipe import Recipe
from harness.row import printable
from harness.run import Run
from harness.targets.base import Artifact, Node

COLUMNS = ("build", "op", "dtype", "where", "falls back", "why", "node")  # names last: some are long


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of one recipe: its artifact, or why there is none."""

    recipe: Recipe
    artifact: Artifact | None
    lack: str = ""


def place_all(run: Run, candidate: Candidate, targets: Sequence[str] = ()) -> list[Placed]:
    """Build every recipe of the candidate, or those of the named targets; a failed build is told, not raised."""
    return [_placed(run, candidate, recipe) for recipe in candidate.recipes if not targets or recipe.target in targets]


def _placed(run: Run, candidate: Candidate, recipe: Recipe) -> Placed:
    try:
        return Placed(recipe, run.artifact(candidate, recipe))
    except VoxgateError as error:
        return Placed(recipe, None, str(error))


def table(candidate: Candidate, builds: Sequence[Placed]) -> Table:
    """Every node of every build on one line, builds apart."""
    grid = Table(*(Column(name, overflow="fold") for name in COLUMNS), box=None, pad_edge=False, header_style="bold")
    for placed in builds:
        for node in placed.artifact.placement.nodes if placed.artifact else ():
            style = "bold red" if _word(candidate, placed.recipe, node) == "yes" else None
            own = (node.op, node.dtype, node.where, _word(candidate, placed.recipe, node), node.reason, node.name)
            grid.add_row(placed.recipe.id, *(Text(printable(cell)) for cell in own), style=style)
        grid.add_section()
    return grid


def conclusions(candidate: Candidate, builds: Sequence[Placed]) -> Iterator[str]:
    """One line a build: how many nodes, how many fall back, who says so; or why nothing is known."""
    for placed in builds:
        if placed.artifact is None:
            yield f"{placed.recipe.id}: placement unknown: {printable(placed.lack)}"
            continue
        placement = placed.artifact.placement
        words = [_word(candidate, placed.recipe, node) for node in placement.nodes]
        parts = f", {placement.partitions} partition(s)" if placement.partitions is not None else ""
        yield (
            f"{placed.recipe.id}: {len(words)} nodes, {words.count('yes')} fall back, {words.count('allowed')} allowed"
            f"{parts}; {placement.evidence}: {placement.source}"
        )


def as_json(candidate: Candidate, builds: Sequence[Placed]) -> dict[str, Any]:
    """The same for machines; ``lack`` is empty where the placement is known."""
    return {
        "candidate": candidate.name,
        "builds": [
            {
                "build": placed.recipe.id,
                "lack": placed.lack,
                **(_figures(candidate, placed.recipe, placed.artifact) if placed.artifact else {}),
            }
            for placed in builds
        ],
    }


def _figures(candidate: Candidate, recipe: Recipe, artifact: Artifact) -> dict[str, Any]:
    placement = artifact.placement
    return {
        "evidence": placement.evidence.value,
        "source": placement.source,
        "partitions": placement.partitions,
        "nodes": [
            {
                "node": node.name,
                "op": node.op,
                "dtype": node.dtype,
                "where": node.where,
                "fallback": node.fallback,
                "allowed": _word(candidate, recipe, node) == "allowed",
                "why": node.reason,
            }
            for node in placement.nodes
        ],
    }


def _word(candidate: Candidate, recipe: Recipe, node: Node) -> str:
    if not node.fallback:
        return ""
    return "allowed" if allowed(candidate, recipe.target, node) else "yes"
