"""Accuracy against what was released before: the last release shows a step, the first one slow drift.

Where the clips and their renderings are the same, the comparison is paired, rendering by rendering; otherwise
shares of two corpora are compared, each with its own interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.audio.corpus import Clip
from harness.baseline import ACCEPT, Baseline, Release, right_before
from harness.errors import BaselineError
from harness.gates.accuracy import Measure, judge_by, percent
from harness.gates.base import Build
from harness.interval import Estimate, difference
from harness.row import Row
from harness.score.keyword import Comparison
from harness.score.slices import Slice


def judge(
    build: Build,
    comparison: Comparison,
    clips: Sequence[Clip],
    heard: Mapping[str, str],
    baseline: Baseline,
    metric: str,
    parts: Sequence[Slice],
) -> dict[str, Row]:
    """Rows of ``regression`` or ``drift`` by slice. ``heard`` is ``Run.heard``."""
    release = baseline.last if metric == "regression" else baseline.oldest
    paired = release.decided.audio == dict(heard)
    measure = _paired(build, comparison, clips, release) if paired else _unpaired(build, comparison, release)
    how = "paired" if paired else "not paired, other clips"
    told = f" ({release.origin.date[:10]}, {how})"
    rows = judge_by(build, metric, parts, measure)
    return {name: replace(row, detail=_with(row.detail, told)) for name, row in rows.items()}


def _paired(build: Build, comparison: Comparison, clips: Sequence[Clip], release: Release) -> Measure:
    before = right_before(release.decided.wrong, comparison, clips)
    return lambda part, confidence: percent(comparison.lost(before, part, confidence, build.seed))


def _unpaired(build: Build, comparison: Comparison, release: Release) -> Measure:
    def lost(part: Slice, confidence: float) -> Estimate:
        before = release.decided.score(part.id)
        if before is None or release.decided.confidence != confidence:
            raise BaselineError(
                f"the release of {build.candidate.name} on {build.recipe.id} of {release.origin.date[:10]} was judged "
                f"on other clips, and has no score of {part.id} at confidence {confidence:g} to compare with. Accept "
                f"one judged as now, with: {ACCEPT} --restart {build.candidate.folder}"
            )
        return percent(difference(before, comparison.accuracy(part, confidence, build.seed, keywords=False)))

    return lost


def _with(detail: str, told: str) -> str:
    head, word, tail = detail.partition(" release")
    return f"{head}{word}{told}{tail}"
