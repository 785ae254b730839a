"""The sweep: all variants on all targets that are here, one after the other, each kept as soon as it is judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.candidate import Candidate
from harness.errors import Unsupported
from harness.recipe import Recipe
from harness.row import Row
from harness.run import FLOAT, Run
from harness.sweep import point as points
from harness.sweep.point import Point
from harness.sweep.recommend import Choice, choose
from harness.sweep.search import Search, search
from harness.sweep.variants import Refused, path, variants
from harness.targets.base import Target
from harness.targets.registry import registry

RECORD = "sweep"


@dataclass(frozen=True, slots=True)
class Absent:
    """A target that this machine cannot build for; ``why`` ends with the remedy."""

    target: str
    why: str


@dataclass(slots=True)
class Sweep:
    """What came of it, in the order it was found."""

    candidate: Candidate
    points: list[Point] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    searches: dict[str, Search] = field(default_factory=dict)
    choices: list[Choice] = field(default_factory=list)
    seconds: float = 0.0

    def of(self, way: str) -> list[Point]:
        return [each for each in self.points if each.path == way]

    def record(self) -> dict[str, Any]:
        """Everything, as JSON takes it."""
        return {
            "candidate": self.candidate.name,
            "seconds": round(self.seconds, 1),
            "points": [each.record() for each in self.points],
            "refused": [{"build": each.recipe.id, "why": each.why} for each in self.refused],
            "absent": [{"target": each.target, "why": each.why} for each in self.absent],
            "searches": {way: each.record() for way, each in self.searches.items()},
            "recommended": [
                {
                    "path": each.path,
                    "recipe": each.point.recipe.model_dump(mode="json") if each.point else None,
                    "reasons": list(each.reasons),
                }
                for each in self.choices
            ],
        }


def sweep(run: Run, candidate: Candidate, targets: Sequence[str]) -> Sweep:
    """Judge every variant on the named targets, or on all; the record grows with each.

    What was built, run or judged before comes from the cache, so that a sweep that was stopped goes on where it
    was. Raises Unsupported where no target can be built for here.
    """
    started = time.monotonic()
    found = Sweep(candidate)
    plans = _plans(run, candidate, targets, found)
    if not plans:
        raise Unsupported(
            f"no recipe of {candidate.name} can be built here: {'; '.join(each.why for each in found.absent)} "
            "Run: voxgate doctor"
        )
    run.golden(candidate)
    total = sum(len(recipes) for _, recipes in plans)
    for target, recipes in plans:
        for way in dict.fromkeys(path(recipe, target) for recipe in recipes):
            _walk(run, found, way, [recipe for recipe in recipes if path(recipe, target) == way], total)
            found.seconds = time.monotonic() - started
            run.write(f"{candidate.name}/{RECORD}", found.record())
    return found


def _plans(run: Run, candidate: Candidate, targets: Sequence[str], found: Sweep) -> list[tuple[Target, list[Recipe]]]:
    plans = []
    for name in targets or list(registry()):
        target = registry()[name]
        if _lack(target):
            run.provision(candidate, name)
        why = _lack(target)
        if why:
            found.absent.append(Absent(name, why))
            continue
        taken, refused = variants(candidate, target)
        found.refused += refused
        if taken:
            plans.append((target, taken))
    return plans


def _lack(target: Target) -> str:
    """Why nothing can be built for the target here, with the remedy; empty where it can."""
    lacking = [each for each in target.abilities() if each.what == "compile" and not each.ready]
    return "; ".join(f"{target.name}: {each.detail}; to mend it: {each.remedy}." for each in lacking)


def _walk(run: Run, found: Sweep, way: str, recipes: list[Recipe], total: int) -> None:
    """One path: its float conversion, every variant, mixed precision where no int8 passes, and the choice."""
    candidate = found.candidate
    quantized = [recipe for recipe in recipes if recipe.precision == "int8"]
    shared = points.conversion(run, candidate, (quantized or recipes)[0])
    for recipe in recipes:
        point = _judged(run, candidate, recipe, way, shared, f"[{len(found.points) + 1}/{total}]")
        found.points.append(point)
        run.write(f"{candidate.name}/{RECORD}", found.record())
    plain = next((recipe for recipe in quantized if not recipe.keep_float and recipe.activation_bits == 8), None)
    if plain is not None and not any(each.passes for each in found.of(way) if each.recipe in quantized):
        looked = search(run, candidate, plain, lambda recipe: _judged(run, candidate, recipe, way, shared, "[mixed]"))
        found.searches[way] = looked
        found.points += looked.points
    found.choices.append(choose(way, found.of(way), found.searches.get(way)))


def _judged(run: Run, candidate: Candidate, recipe: Recipe, way: str, shared: list[Row], count: str) -> Point:
    started = time.monotonic()
    run.say(f"{count} {candidate.name} {recipe.id}")
    point = points.judge(run, candidate, recipe, way, shared if recipe != FLOAT else [])
    drop = f", worst slice {point.drop.value:.2f} points" if point.drop and point.drop.value is not None else ""
    sqnr = f", {point.sqnr.value:.1f} dB" if point.sqnr and point.sqnr.value is not None else ""
    run.say(f"{count} {recipe.id}: {point.word}{drop}{sqnr} ({time.monotonic() - started:.0f} s)")
    return point
