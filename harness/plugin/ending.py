"""What a session says and keeps beside its rows: its facts, its releases, and whether it releases anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import pytest

from harness.baseline import ACCEPT, Baseline
from harness.gates.declared import unjudged
from harness.measure import environment
from harness.origin import commit
from harness.plugin.house import House
from harness.report.conclusion import GOLDEN, MAY_SHIP, conclude
from harness.targets.registry import registry

RUNTIMES = ("ai-edge-litert", "kaldi-native-fbank", "litert-quantizer", "numpy", "onnxruntime")


def unreleased(house: House, builds: list[tuple[str, str]]) -> Iterator[str]:
    """Builds that model.toml limits against a release, of which none was accepted."""
    for name, recipe_id in builds:
        candidate = house.candidates[name]
        recipe = candidate.recipe(recipe_id)
        budgets = candidate.budgets(recipe)
        if (budgets.regression.declared or budgets.drift.declared) and house.run.baseline(candidate, recipe) is None:
            accept = f"{ACCEPT} {candidate.folder}"
            yield f"no baseline of {name} on {recipe_id} to compare with; accept a release with: {accept}"


def hits(house: House) -> dict[str, tuple[int, int]]:
    """Of each kind of cache entry: how many were found, how many this run asked for."""
    counts: dict[str, tuple[int, int]] = {}
    for entry in house.run.cache.used:
        found, asked = counts.get(entry.kind, (0, 0))
        counts[entry.kind] = (found + entry.hit, asked + 1)
    return counts


def judged(house: House) -> set[str]:
    named = {row.candidate for row in house.rows}
    return named & set(house.candidates) if named else set()  # without rows there may be no candidate to read


def baselines(house: House) -> Iterator[tuple[str, Baseline]]:
    """``candidate/target/recipe`` and the releases of each build that was judged and has any."""
    for name in judged(house):
        candidate = house.candidates[name]
        built = {row.build for row in house.rows if row.candidate == name}
        for recipe in candidate.recipes:
            found = house.run.baseline(candidate, recipe) if recipe.id in built else None
            if found is not None:
                yield f"{name}/{recipe.id}", found


def withheld(house: House) -> Iterator[str]:
    """Builds that the judged rows do not release, each with its word."""
    for each in conclude(house.rows):
        if each.build == GOLDEN or each.word != MAY_SHIP:
            if each.word not in (MAY_SHIP, "GOLDEN HOLDS"):
                yield f"{each.title} is {each.word}"
            continue
        candidate = house.candidates.get(each.candidate)
        if candidate is None:  # a pipeline: its conclusion asks for its gates itself
            continue
        recipe = candidate.recipe(each.build)
        released = house.run.baseline(candidate, recipe) is not None
        lack = unjudged(each.rows, candidate, recipe, house.run.margins(candidate), released=released)
        if lack:
            yield f"{each.title} was judged in part: {lack}"


def quarantined(house: House) -> list[str]:
    """Boards of the lab that this run may not use, each with its reason."""
    return house.lab.quarantined() if house.lab else []


def command(config: pytest.Config) -> str:
    return " ".join(["pytest", *map(str, config.invocation_params.args)])


def made(house: House, commits: Mapping[str, str | None]) -> dict[tuple[str, str], tuple[str | None, str | None]]:
    """Artifact key and commit of each candidate and build that was judged."""
    found: dict[tuple[str, str], tuple[str | None, str | None]] = {}
    for row in house.rows:
        if (row.candidate, row.build) not in found and row.candidate:
            record = house.folder / row.candidate / row.build / "artifact.json"
            key = json.loads(record.read_text(encoding="utf-8"))["key"] if record.is_file() else None
            found[row.candidate, row.build] = (key, commits.get(row.candidate))
    return found


def facts(config: pytest.Config, house: House, status: int) -> dict[str, Any]:
    return {
        "command": command(config),
        "started": house.folder.name,
        "exitstatus": int(status),
        "history": str(house.options.history),
        "commit": {name: commit(house.candidates[name].house) for name in sorted(judged(house))},
        "cache": hits(house),
        "quarantine": quarantined(house),
        "environment": {
            "voxgate": version("voxgate"),
            "targets": ", ".join(registry()),
            **{name: str(value) for name, value in environment().items() if value is not None},
            **{name: version(name) for name in RUNTIMES},
        },
    }
