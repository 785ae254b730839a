"""Every gate of one build in one call: what the suites judge, without pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from harness.budgets import Budgets
from harness.errors import VoxgateError
from harness.gates import artifact as artifacts
from harness.gates import energy, frontend, latency
from harness.gates.accuracy import COMMAND
from harness.gates.base import Build, lack, outcome_of
from harness.gates.declared import SIZES, limited
from harness.gates.judged import Judged
from harness.row import Row
from harness.run import Run
from harness.verdict import Outcome

TIMES = ("latency_ms", "end_to_end_ms")

Gate = Callable[[], Sequence[Row]]


def accuracy(build: Build, run: Run) -> list[Row]:
    """Rows of the gates on outputs alone. Raises VoxgateError where there are none."""
    judged = Judged(build, run)
    judged.comparison  # noqa: B018 -- runs the artifact: a failure is not that of one gate
    rows = [judged.sanity()]
    for metric in ("drop", "flips", "sqnr", *(COMMAND if build.candidate.task == "command" else ())):
        rows += judged.margins(metric).values()
    return [*rows, *judged.cells, *judged.floors.values()]


def conversion(build: Build, run: Run) -> Sequence[Row]:
    """The row of the float path, which the recipes of one target and runtime share."""
    return _judged(build, "conversion", lambda: [artifacts.parity(build, *run.parity(build.candidate, build.recipe))])


def judge(build: Build, run: Run, outputs: Callable[[Build, Run], Sequence[Row]] = accuracy) -> list[Row]:
    """Rows of every other gate that the candidate sets a limit for; a gate that cannot be judged says why.

    ``outputs`` judges the outputs. Raises VoxgateError where there is no artifact or golden to judge at all.
    """
    run.artifact(build.candidate, build.recipe)
    run.golden(build.candidate)
    return [row for name, gate in _gates(build, run, outputs) for row in _judged(build, name, gate)]


def _gates(build: Build, run: Run, outputs: Callable[[Build, Run], Sequence[Row]]) -> Iterator[tuple[str, Gate]]:
    candidate, recipe = build.candidate, build.recipe
    budgets = candidate.budgets(recipe)
    artifact = run.artifact(candidate, recipe)
    yield "placement", lambda: [artifacts.placement(build, artifact)]
    if budgets.layers is not None:
        yield "placement", lambda: [artifacts.layers(build, artifact)]
    if budgets.partitions is not None:
        yield "placement", lambda: [artifacts.partitions(build, artifact)]
    yield "accuracy", lambda: outputs(build, run)
    for part, limit in SIZES.items():
        if getattr(budgets, limit) is not None:
            yield "footprint", partial(_footprint, build, run, part)
    if budgets.device_mib is not None:
        yield "footprint", lambda: [artifacts.device_memory(build, run.device_memory(candidate, recipe))]
    yield from _timed(build, run, budgets)
    if budgets.cpu_share is not None:
        yield "placement", lambda: [artifacts.cpu_share(build, run.profile(candidate, recipe))]
    if budgets.frontend is not None:
        yield "frontend", lambda: [frontend.judge(build, run.frontend(candidate, recipe))]
    if budgets.energy_mj is not None:
        yield "energy", lambda: [energy.judge(build, run.energy(candidate, recipe), build.evidence)]


def _footprint(build: Build, run: Run, part: str) -> list[Row]:
    return [artifacts.footprint(build, part, run.size(build.candidate, build.recipe, part))]


def _timed(build: Build, run: Run, budgets: Budgets) -> Iterator[tuple[str, Gate]]:
    candidate, recipe = build.candidate, build.recipe
    for which in TIMES:
        if limited(budgets, which):
            yield "latency", partial(_latency, build, run, which)
    if budgets.slowdown is not None:
        yield "latency", lambda: [latency.slowdown(build, run.side_by_side(candidate, recipe))]


def _latency(build: Build, run: Run, which: str) -> list[Row]:
    candidate, recipe = build.candidate, build.recipe
    if which == "latency_ms":
        return latency.judge(build, run.inference(candidate, recipe), which)
    return latency.judge(build, run.timings(candidate, recipe).total, which)


def _judged(build: Build, name: str, gate: Gate) -> Sequence[Row]:
    try:
        return gate()
    except VoxgateError as error:
        outcome: Outcome = outcome_of(error)
        whose = (build.candidate.name, build.recipe.target, build.recipe.name)
        return [lack(whose, name, "overall", outcome, str(error))]
