"""The recipes worth trying: one list for all targets, of which each takes what its vendor allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.build import refuse_strange
from harness.candidate import Candidate
from harness.errors import Unsupported
from harness.recipe import Recipe
from harness.targets.base import Target

# The plainest first: where two recipes serve alike, the earlier is recommended.
SETTINGS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "fp32": {"precision": "fp32"},
        "fp16": {"precision": "fp16"},
        "int8": {"precision": "int8"},
        "int8-per-tensor": {"precision": "int8", "per_channel": False},
        "int8-symmetric": {"precision": "int8", "symmetric": True},
        "int8-percentile": {"precision": "int8", "algorithm": "percentile"},
        "int8-entropy": {"precision": "int8", "algorithm": "entropy"},
        "int8-mse": {"precision": "int8", "algorithm": "mse"},
        "int8-a16": {"precision": "int8", "activation_bits": 16},
        "int16": {"precision": "int16"},
        "int8-dynamic": {"precision": "int8-dynamic"},
        "int8-weight-only": {"precision": "int8-weight-only"},
    }
)
PLAIN = {
    "method": "ptq",
    "per_channel": True,
    "symmetric": False,
    "activation_bits": 8,
    "keep_float": (),
}


@dataclass(frozen=True, slots=True)
class Refused:
    """A recipe that a target does not take, and why."""

    recipe: Recipe
    why: str


def variants(candidate: Candidate, target: Target) -> tuple[list[Recipe], list[Refused]]:
    """What the target takes, the candidate's own recipes under their own names, and what it refuses."""
    declared = [recipe for recipe in candidate.recipes if recipe.target == target.name]
    taken: list[Recipe] = []
    refused = []
    for recipe in [*_proposed(target, declared), *declared]:
        if any(_same(recipe, other, target) for other in taken):
            continue
        own = next((each for each in declared if _same(each, recipe, target)), recipe)
        try:
            refuse_strange(target, candidate, own)
            target.check(candidate, own)
        except Unsupported as lack:
            refused.append(Refused(own, str(lack)))
        else:
            taken.append(own)
    return taken, refused


def path(recipe: Recipe, target: Target) -> str:
    """Which recipes stand in for one another: those of one target and runtime."""
    runtime = recipe.runtime or target.runtimes[0]
    return f"{recipe.target} by {runtime}" if runtime else recipe.target


def _proposed(target: Target, declared: list[Recipe]) -> Iterator[Recipe]:
    names = {recipe.name for recipe in declared}
    for runtime in target.runtimes:
        for setting, changes in SETTINGS.items():
            base = _base(target, runtime, declared, str(changes["precision"]))
            name = f"{runtime}-{setting}" if runtime != target.runtimes[0] else setting
            changed = {key: value for key, value in changes.items() if key != "algorithm"}
            calibration = base.calibration.model_copy(update={"algorithm": changes.get("algorithm", "minmax")})
            given = {**PLAIN, **changed, "calibration": calibration, "runtime": runtime}
            yield base.model_copy(update={"name": f"sweep-{name}" if name in names else name, **given})


def _base(target: Target, runtime: str | None, declared: list[Recipe], precision: str) -> Recipe:
    """What a variant keeps of the candidate's own: calibration clips, chip, units."""
    usual = target.runtimes[0]
    own = [each for each in declared if (each.runtime or usual) == runtime] or declared
    alike = [each for each in own if each.precision == precision] or own
    return alike[0] if alike else Recipe(target=target.name, name="sweep", precision="int8")


def _same(one: Recipe, other: Recipe, target: Target) -> bool:
    """Whether two recipes differ in nothing but their names and what their precision does not read."""
    return _settings(one, target) == _settings(other, target)


def _settings(recipe: Recipe, target: Target) -> dict[str, Any]:
    kept = recipe.model_dump(exclude={"name", "runtime"})
    kept["runtime"] = recipe.runtime or target.runtimes[0]
    if not recipe.calibrated:
        for name in ("calibration", "symmetric", "activation_bits"):
            kept.pop(name)
    if recipe.precision in ("fp32", "fp16"):
        kept.pop("per_channel")
    return kept
