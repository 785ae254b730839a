"""One diagnosis: upstream first, then stage by stage, then what quantization itself does."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from harness.candidate import Candidate, KeywordHead
from harness.diagnose import layers, ranges, source, stages, upstream
from harness.diagnose.case import MOST, Case
from harness.diagnose.effect import Sample, evenly, whole
from harness.diagnose.findings import Cause, Diagnosis, Stage, ranked
from harness.errors import CorpusError, Unsupported
from harness.fitting import conditions
from harness.gates import accuracy
from harness.gates.base import Build
from harness.recipe import Recipe
from harness.row import Row
from harness.run import Run
from harness.score.keyword import Comparison, compare
from harness.score.slices import Slice, matching
from harness.targets.base import Features, Logits
from harness.verdict import Outcome

SECONDS = 120.0
METRICS = ("drop", "flips", "sqnr")
LEAST_SQNR = 20.0  # dB: what a healthy int8 keyword model has, where the candidate declares no limit
MOST_DROP = 2.0  # points, likewise


def diagnose(
    run: Run,
    candidate: Candidate,
    recipe: Recipe,
    *,
    slice_id: str | None = None,
    failed: bool = False,
    seconds: float = SECONDS,
) -> Diagnosis:
    """Why this build loses what it loses on a slice; the worst failing one where none is named.

    ``failed`` says that a gate has shown harm, so that the question is why, not whether. Experiments begin until
    ``seconds`` are over. Raises what the build itself raises: ToolchainError, Unsupported.
    """
    head = candidate.head
    if not isinstance(head, KeywordHead):
        raise Unsupported(
            f'{candidate.name} is of task "{candidate.task}"; causes are looked for in keyword models only. Its sanity '
            "row names tokens that are read amiss; for lossy layers compare recipes that keep some of them in float."
        )
    started = time.monotonic()
    floats, stored, fault = upstream.reference(run, candidate)
    tested = run.outputs(candidate, recipe)
    comparison = compare(run.clips(candidate), head.labels, head.background, floats, tested)
    build = Build(candidate, recipe, run.artifact(candidate, recipe).evidence.value, run.seed)
    part, failing = _slice(run, build, comparison, slice_id)
    sample, places = _sample(run, candidate, comparison, part)
    mine = comparison.tested[places]
    case = Case(run, candidate, recipe, part, sample, mine, _windows(run, candidate, recipe), started + seconds)
    state = _state(sample, mine, part)
    missing = source.below_floors(run, candidate, comparison)
    # Against float as it is now: what golden or float itself has wrong must not hide what quantization does.
    lossy = failing or _lossy(build, sample, mine, part) or (failed and fault is None and missing is None)
    sound = bool(np.isfinite(sample.reference).all())  # else float itself is broken, and nothing can be held against it
    causes: list[Cause] = []
    if fault is not None:
        old = _stack(stored)[places] if stored and sound else None
        causes.append(upstream.golden_cause(fault, sample, mine, old, lossy and sound))
    if missing is not None and sound:
        state += f"; float itself misses a floor on {missing[0]} by {missing[2]:.1f} points"
        causes += _source(case, comparison, *missing)
    found = _quantized(case) if lossy and sound else ()
    causes += case.causes
    faulty = bool(lossy or fault or missing)
    told = Diagnosis(
        candidate.name,
        recipe.id,
        part.id,
        faulty,
        state,
        found,
        ranked(causes),
        tuple(case.trials),
        tuple(case.left_out),
        time.monotonic() - started,
    )
    run.write(f"{candidate.name}/{recipe.id}/diagnosis", told.as_json())
    return told


def _quantized(case: Case) -> tuple[Stage, ...]:
    """Stages, then ranges and layers while nothing explains the loss."""
    found = stages.examine(case, case.calibration)
    if case.recipe.precision != "int8" or case.sure():
        return found
    if case.recipe.method != "ptq":
        case.left_out.append("calibration, precision and layers: asked of shipped weights only, these are trained ones")
        return found
    if case.time_for("calibration and precision"):
        ranges.examine(case)
    if case.sure():
        case.left_out.append(f"layers: {ranked(case.causes)[0].kind} explains the loss already")
    elif not case.reproduced:
        case.left_out.append("layers one by one: quantizing on this host does not lose what the target loses")
        layers.analysed(case)
    elif case.time_for("layers"):
        layers.examine(case)
    return found


def _source(case: Case, comparison: Comparison, part: Slice, keywords: bool, missing: float) -> list[Cause]:
    """Experiments on the float model, on the slice whose floor it misses."""
    mask = comparison.where(part) & comparison.keyword if keywords else comparison.where(part)
    everything = whole(comparison, [case.run.features(case.candidate, name) for name in conditions(case.candidate)])
    sample = everything.only(np.flatnonzero(mask)).reduced(MOST)
    other = Case(case.run, case.candidate, case.recipe, part, sample, sample.reference, case.calibration, case.deadline)
    source.examine(other, missing)
    case.trials += other.trials
    case.left_out += other.left_out
    return other.causes


def _slice(run: Run, build: Build, comparison: Comparison, slice_id: str | None) -> tuple[Slice, bool]:
    """The slice to look at, and whether a gate shows harm there."""
    candidate = build.candidate
    margins = run.margins(candidate)
    if slice_id is not None:
        groups = run.corpus(candidate).groups
        return matching(slice_id, groups, candidate.head.unseen_accents, conditions(candidate))[0], False
    if not np.isfinite(comparison.tested).all():
        return margins[0], True
    for metric in METRICS:
        rows = accuracy.judge(build, comparison, metric, margins)
        failing = [row for row in rows.values() if row.outcome is Outcome.FAIL]
        if failing:
            worst = max(failing, key=_beyond)
            return next(part for part in margins if part.id == worst.slice), True
    return margins[0], False


def _beyond(row: Row) -> tuple[bool, float]:
    """Overall first, whose figure rests on most clips; then the farthest beyond its limit."""
    return row.slice == "overall", abs((row.value or 0.0) - (row.limit or 0.0))


def _sample(run: Run, candidate: Candidate, comparison: Comparison, part: Slice) -> tuple[Sample, npt.NDArray[np.intp]]:
    everything = whole(comparison, [run.features(candidate, name) for name in conditions(candidate)])
    places = np.flatnonzero(comparison.where(part))
    broken = places[~np.isfinite(comparison.tested[places]).all(axis=1)][:MOST]  # one of thousands is reason enough
    places = np.union1d(places[evenly(len(places), MOST)], broken)
    return everything.only(places), places


def _windows(run: Run, candidate: Candidate, recipe: Recipe) -> Features:
    """The calibration of the recipe, or of its int8 counterpart, if there are clips for it."""
    try:
        return run.calibration(candidate, recipe).features
    except CorpusError:
        if recipe.calibrated:
            raise
        return np.zeros((0, candidate.frontend.frames, candidate.frontend.bins), np.float32)


def _lossy(build: Build, sample: Sample, tested: Logits, part: Slice) -> bool:
    """Whether the figures themselves break the candidate's limits, shown or not."""
    budgets = build.candidate.budgets(build.recipe)
    drop = budgets.drop.limit(part.id, part.kind)
    sqnr = budgets.sqnr.limit(part.id, part.kind)
    lost = sample.accuracy(sample.reference) - sample.accuracy(tested)
    return lost > (MOST_DROP if drop is None else drop) or sample.sqnr(tested) < (LEAST_SQNR if sqnr is None else sqnr)


def _stack(outputs: Mapping[str, Logits]) -> Logits:
    return np.concatenate(list(outputs.values()))


def _state(sample: Sample, tested: Logits, part: Slice) -> str:
    right, kept = sample.accuracy(sample.reference), sample.accuracy(tested)
    sqnr = sample.sqnr(tested)
    noise = f"SQNR {sqnr:.1f} dB" if math.isfinite(sqnr) else "outputs that are not finite"
    speakers = len(np.unique(sample.speaker))
    return f"{part.id}: {kept:.1f} % right, float {right:.1f} %, {noise}, n={len(sample)} of {speakers} speakers"
