"""Before anything runs: which budgets this corpus can decide at all, and which it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.audio.corpus import Clip
from harness.budgets import Since
from harness.candidate import Candidate
from harness.interval import nothing_flipped
from harness.recipe import Recipe
from harness.score.slices import Slice

FEWEST_SPEAKERS = 2  # one speaker says nothing about the next


@dataclass(frozen=True, slots=True)
class Decidable:
    """One budget on one slice: can the best possible outcome (nothing flips) pass it?"""

    candidate: str
    recipe: str
    gate: str
    slice: str
    limit: float  # percent
    n: int  # renderings
    clips: int
    clusters: int
    smallest: float  # percent: the smallest drop these clips can ever rule out
    ok: bool

    @property
    def text(self) -> str:
        return (
            f"{self.candidate} {self.recipe} {self.gate} {self.slice}: limit {self.limit:g} but {self.clips} clips of "
            f"{self.clusters} speakers rule out {self.smallest:.2g} at best"
        )

    def record(self) -> dict[str, Any]:
        return asdict(self)


def plan(
    candidate: Candidate, recipe: Recipe, clips: Sequence[Clip], margins: Sequence[Slice], conditions: int
) -> list[Decidable]:
    """Every declared drop and flip budget of a build. ``conditions`` counts renderings of a clip."""
    budgets = candidate.budgets(recipe)
    found = []
    for gate in ("drop", "flips", "regression", "drift"):
        limits: Since = getattr(budgets, gate)
        found += _gate(candidate, recipe, gate, limits, clips, margins, conditions, budgets.confidence)
    return found


def _gate(
    candidate: Candidate,
    recipe: Recipe,
    gate: str,
    limits: Since,
    clips: Sequence[Clip],
    margins: Sequence[Slice],
    conditions: int,
    confidence: float,
) -> list[Decidable]:
    found = []
    for part in margins:
        limit = limits.limit(part.id, part.kind)
        if limit is None:
            continue
        inside = [clip for clip in clips if part.accents is None or clip.accent in part.accents]
        speakers = len({clip.speaker for clip in inside})
        smallest = 100 * nothing_flipped(len(inside), confidence)
        found.append(
            Decidable(
                candidate.name,
                recipe.id,
                gate,
                part.id,
                limit,
                len(inside) * (1 if part.condition else conditions),
                len(inside),
                speakers,
                smallest,
                smallest <= limit and speakers >= FEWEST_SPEAKERS,
            )
        )
    return found
