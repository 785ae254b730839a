"""A/A: how often the gates FAIL where nothing is wrong, over corpora drawn anew from recorded decisions.

Three kinds of nothing: the same artifact twice; conditions rendered with other seeds; a model trained again with
another seed, of equal quality.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import permutations

import numpy as np
from scipy import stats

from benchmarks.verdicts.recorded import Draw, Recorded, data, draw, speakers_of
from harness.baseline import Baseline, Decided, Made, Origin, Release, decided_wrong
from harness.fitting import conditions
from harness.gates import accuracy, regression
from harness.row import Row
from harness.score.keyword import Comparison, Logits
from harness.score.slices import matching
from harness.verdict import Outcome

EQUAL = 0.25  # points of overall accuracy within which two trainings count as equally good
CONFIDENCE = 0.95
HEARD = {"a": "the same"}

Judge = Callable[[Recorded, Draw, np.random.Generator], list[Row]]


@dataclass(frozen=True)
class Rate:
    """``failed`` of ``repeats`` repeats, with the exact (Clopper-Pearson) two-sided 95 % interval."""

    kind: str
    repeats: int
    failed: int
    open: int  # without a FAIL, but INCONCLUSIVE somewhere
    gates: tuple[str, ...]  # that failed

    @property
    def interval(self) -> tuple[float, float]:
        found = stats.binomtest(self.failed, self.repeats).proportion_ci(CONFIDENCE, "exact")
        return float(found.low), float(found.high)


def against_golden(whole: Recorded, table: Comparison) -> list[Row]:
    """Rows of drop and flips on every margin, of every cell, and of the floors."""
    build, groups = whole.build, whole.corpus.groups
    rows = [*accuracy.judge(build, table, "drop", whole.margins).values()]
    rows += accuracy.judge(build, table, "flips", whole.margins).values()
    rows += accuracy.judge(build, table, "drop", whole.cells).values()
    unseen, names = whole.candidate.head.unseen_accents, conditions(whole.candidate)
    wanted = {
        f"{floor.metric}:{part.id}": (floor, part)
        for floor in whole.candidate.floors
        if floor.of in ("artifact", "both")
        for part in matching(floor.slice, groups, unseen, names)
    }
    return [*rows, *accuracy.floors(build, table, wanted).values()]


def since(whole: Recorded, drawn: Draw, now: Comparison, before: Comparison, *, same_audio: bool) -> list[Row]:
    """Rows of ``regression`` against a release that decided as ``before``."""
    clips = drawn.spoken(whole.clips)
    scores = {} if same_audio else {part.id: before.accuracy(part, 0.95, 0, keywords=False) for part in whole.margins}
    decided = Decided(
        audio=HEARD if same_audio else {"a": "another"},
        confidence=0.95,
        scores={name: asdict(score) for name, score in scores.items() if math.isfinite(score.error)},
        wrong=decided_wrong(before, clips, whole.candidate.labels),
    )
    release = Release(
        origin=Origin(date="2026-01-01 00:00 UTC", run="a", command="", word="MAY SHIP", voxgate=""),
        made=Made(key="", evidence="host", sizes={}, tools={}),
        rows=(),
        decided=decided,
    )
    baseline = Baseline(format=1, candidate=whole.candidate.name, build=whole.recipe.id, first=None, last=release)
    rows = regression.judge(whole.build, now, clips, HEARD, baseline, "regression", whole.margins)
    return list(rows.values())


def same_artifact(whole: Recorded, drawn: Draw, random: np.random.Generator) -> list[Row]:
    table = drawn.table(whole.table, len(whole.clips))
    return [*against_golden(whole, table), *since(whole, drawn, table, table, same_audio=True)]


def reseeded(whole: Recorded) -> Judge:
    found = data("reseeded")
    names = conditions(whole.candidate)
    clean = whole.table
    count = len(whole.clips)

    def logits(part: str, seed: int) -> Logits:
        """All conditions of one seed; clean has none."""
        own = whole.of(dict(zip(names[1:], found[part][seed], strict=True)))
        first = clean.golden[:count] if part == "golden" else clean.tested[:count]
        return np.concatenate([first, own])

    tables = [
        replace(clean, golden=logits("golden", seed), tested=logits("int8", seed))
        for seed in range(len(found["golden"]))
    ]

    def judge(whole: Recorded, drawn: Draw, random: np.random.Generator) -> list[Row]:
        now, before = random.choice(len(tables), 2, replace=False)
        table, old = (drawn.table(tables[i], count) for i in (now, before))
        return [*against_golden(whole, table), *since(whole, drawn, table, old, same_audio=False)]

    return judge


def retrained(whole: Recorded) -> Judge:
    found, names = data("retrained")["retrained"], conditions(whole.candidate)
    tables = [replace(whole.table, tested=whole.of(dict(zip(names, own, strict=True)))) for own in found]
    right = 100 * (found == 0).mean(axis=(1, 2))
    pairs = [(i, j) for i, j in permutations(range(len(found)), 2) if abs(right[i] - right[j]) <= EQUAL]

    def judge(whole: Recorded, drawn: Draw, random: np.random.Generator) -> list[Row]:
        now, before = (drawn.table(tables[i], len(whole.clips)) for i in pairs[random.integers(len(pairs))])
        return since(whole, drawn, now, before, same_audio=True)

    return judge


def together(rates: Sequence[Rate]) -> Rate:
    """All kinds as one."""
    gates = sorted({gate for rate in rates for gate in rate.gates})
    repeats, failed = sum(rate.repeats for rate in rates), sum(rate.failed for rate in rates)
    return Rate("all of them", repeats, failed, sum(rate.open for rate in rates), tuple(gates))


def rates(whole: Recorded, repeats: int) -> Iterator[Rate]:
    """The rate of each kind of nothing."""
    speakers = speakers_of(whole)
    kinds: dict[str, Judge] = {
        "the same artifact twice": same_artifact,
        "conditions re-seeded": reseeded(whole),
        "trained again, equally good": retrained(whole),
    }
    for seed, (kind, judge) in enumerate(kinds.items()):
        random = np.random.default_rng(seed)
        failed, undecided, gates = 0, 0, set[str]()
        for _ in range(repeats):
            outcomes = judge(whole, draw(speakers, random), random)
            shown = {row.gate for row in outcomes if row.outcome is Outcome.FAIL}
            failed += bool(shown)
            undecided += not shown and any(row.outcome is Outcome.INCONCLUSIVE for row in outcomes)
            gates |= shown
        yield Rate(kind, repeats, failed, undecided, tuple(sorted(gates)))
