"""Whose figures are judged: one candidate built by one recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.candidate import Candidate, Recipe
from harness.row import Row


@dataclass(frozen=True, slots=True)
class Build:
    """Whose figures these are."""

    candidate: Candidate
    recipe: Recipe
    evidence: str
    seed: int = 0  # of the bootstrap
    source: str = ""  # of the outputs: the board's own name

    def row(self, gate: str, part: str, **figures: Any) -> Row:
        return Row(
            candidate=self.candidate.name,
            target=self.recipe.target,
            recipe=self.recipe.name,
            gate=gate,
            slice=part,
            evidence=self.evidence,
            source=self.source,
            **figures,
        )
