"""Which tests there are: candidate x recipe x slice, each a parameter with a stable value.

Parameters are plain strings, because Allure's history of a test hangs on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from harness.budgets import Budgets, LatencyBudget
from harness.candidate import Candidate
from harness.errors import Unsupported
from harness.gates.accuracy import COMMAND, limits_of
from harness.gates.declared import SIZES, limited
from harness.plugin.house import House
from harness.plugin.workers import group
from harness.recipe import Recipe
from harness.row import SINCE
from harness.streaming import streams_of
from harness.targets.registry import known_target

NO_SLICE = "overall"
OF_SOURCE = ("whole", "float path", "state", "drift_db")  # gates that need a float source
ONE_ROW = (
    "layers", "partitions", "slowdown", "energy_mj", "cpu_share", "device_mib", "latency_ms", "end_to_end_ms",
    "frontend",
)  # fmt: skip


def parametrize(metafunc: pytest.Metafunc, house: House) -> None:
    names = set(metafunc.fixturenames)
    if "pipeline" in names:
        _parametrize_pipelines(metafunc, house)
        return
    if "candidate" not in names:
        return
    marker = metafunc.definition.get_closest_marker("gate")
    gate = marker.args[0] if marker else None
    candidates = _of_task(metafunc, house)
    if "recipe" not in names:
        _parametrize_golden(metafunc, house, candidates)
        return
    columns = ("candidate", "target", "recipe", *(["slice_id"] if "slice_id" in names else []))
    params = []
    for candidate, recipe in _builds(house, candidates, gate):
        base = (candidate.name, recipe.target, recipe.name)
        for values in _rows(house, candidate, recipe, gate) if "slice_id" in names else [()]:
            marks = _marks(house, candidate, recipe)
            params.append(pytest.param(*base, *values, marks=marks, id="-".join((*base, *values))))
    metafunc.parametrize(columns, params, indirect=["candidate", "target", "recipe"])


def _parametrize_pipelines(metafunc: pytest.Metafunc, house: House) -> None:
    """One test for each build of a pipeline that has a limit for the gate; it carries its target's mark."""
    marker = metafunc.definition.get_closest_marker("gate")
    params = []
    for pipeline in house.pipelines.values():
        for pair in pipeline.pairs:
            limit = getattr(pipeline.budgets(pair), marker.args[0]) if marker else True
            if limit in (None, LatencyBudget()):
                continue
            values = (pipeline.name, known_target(pair.target, pipeline.name).name, pair.name)
            marks = [getattr(pytest.mark, pair.target), pytest.mark.xdist_group(pair.target)]
            params.append(pytest.param(*values, marks=marks, id="-".join(values)))
    metafunc.parametrize(("pipeline", "target", "recipe"), params, indirect=["pipeline"])


def _of_task(metafunc: pytest.Metafunc, house: House) -> list[Candidate]:
    """The candidates that a test's ``task`` marker is about; all of them without one."""
    marker = metafunc.definition.get_closest_marker("task")
    return [each for each in house.candidates.values() if marker is None or each.task in marker.args]


def _parametrize_golden(metafunc: pytest.Metafunc, house: House, candidates: Sequence[Candidate]) -> None:
    """Tests of golden have no target of their own: they carry the mark of every target of the candidate."""
    sliced = "slice_id" in metafunc.fixturenames
    params = []
    for candidate in candidates:
        targets = sorted({known_target(recipe.target, candidate.name).name for recipe in candidate.recipes})
        marks = [getattr(pytest.mark, target) for target in targets]
        for values in _floors(house, candidate, "golden") if sliced else [()]:
            params.append(pytest.param(candidate.name, *values, marks=marks, id="-".join((candidate.name, *values))))
    columns = ("candidate", "slice_id") if sliced else ("candidate",)
    metafunc.parametrize(columns, params, indirect=["candidate"])


def _floors(house: House, candidate: Candidate, of: str) -> Iterator[tuple[str]]:
    try:
        yield from ((name,) for name in house.run.floors(candidate, of))
    except Unsupported:  # its corpus is not here: one test that skips with the reason
        yield (NO_SLICE,)


def _builds(house: House, candidates: Sequence[Candidate], gate: str | None) -> Iterator[tuple[Candidate, Recipe]]:
    for candidate in candidates:
        paths = set()
        for recipe in candidate.recipes:
            known_target(recipe.target, candidate.name)
            path = (recipe.target, recipe.runtime)
            if gate in ("parity", "float path") and path in paths:  # recipes of one runtime share their float path
                continue
            if gate in OF_SOURCE and candidate.imported:  # nothing to hold it to
                continue
            if gate == "whole" and candidate.whole is None:
                continue
            if not _limited(candidate.budgets(recipe), gate) or (gate == "cells" and not house.has_cells(candidate)):
                continue
            if gate in SINCE and house.run.baseline(candidate, recipe) is None:  # the plan says so
                continue
            paths.add(path)
            yield candidate, recipe


def _limited(budgets: Budgets, gate: str | None) -> bool:
    """Whether the candidate sets any limit for a gate that has one row a build."""
    if gate in ONE_ROW:
        return limited(budgets, gate)
    if gate == "drift_db":
        return budgets.wakeword.drift_db is not None or budgets.wakeword.score_sqnr is not None
    return gate != "cells" or budgets.drop.cell is not None


def _rows(house: House, candidate: Candidate, recipe: Recipe, gate: str | None) -> Iterator[tuple[str]]:
    budgets = candidate.budgets(recipe)
    if gate in ("drop", "flips", "sqnr", "regression", "drift", *COMMAND):
        limits = limits_of(budgets, gate)
        parts = house.slices(candidate)
        if isinstance(parts, Unsupported):
            yield (NO_SLICE,)
            return
        yield from ((part.id,) for part in parts if limits.limit(part.id, part.kind) is not None)
    elif gate == "floor":
        yield from _floors(house, candidate, "artifact")
    elif gate == "stream":
        yield from ((stream.name,) for stream in streams_of(candidate, recipe))
    elif gate == "footprint":
        yield from ((name,) for name, limit in SIZES.items() if getattr(budgets, limit) is not None)


def _marks(house: House, candidate: Candidate, recipe: Recipe) -> list[pytest.MarkDecorator]:
    return [getattr(pytest.mark, recipe.target), pytest.mark.xdist_group(group(house, candidate, recipe))]
