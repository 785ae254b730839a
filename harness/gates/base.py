"""Whose figures are judged: one candidate built by one recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.candidate import Candidate
from harness.errors import InfraError, NotMeasured, ToolchainError, Unsupported, VoxgateError
from harness.recipe import Recipe
from harness.row import Row
from harness.verdict import Outcome


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


def outcome_of(error: VoxgateError) -> Outcome:
    """The verdict that an error stands for: a lack, a fault of the lab, or a fault of the candidate."""
    if isinstance(error, Unsupported):
        return Outcome.UNSUPPORTED
    if isinstance(error, NotMeasured):
        return Outcome.NOT_MEASURED
    if isinstance(error, InfraError | ToolchainError):
        return Outcome.INFRA
    return Outcome.FAIL


def lack(whose: tuple[str, str, str], gate: str, part: str, outcome: Outcome, why: str) -> Row:
    """A row without a figure. ``whose`` is candidate, target and recipe, by name."""
    candidate, target, recipe = whose
    return Row(
        candidate=candidate,
        target=target,
        recipe=recipe,
        gate=gate,
        slice=part,
        value=None,
        unit="",
        limit=None,
        low=None,
        high=None,
        n=0,
        clusters=None,
        evidence="",
        outcome=outcome,
        detail=why,
    )
