"""Where a fault is put and judged: a copy of a healthy house, one build of it, and the gates without pytest."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from harness import baseline as baselines
from harness.audio import laying
from harness.audio.ambience import AMBIENCES
from harness.baseline import Baseline, BaselineError, Decided, Made, Origin, Release, decided_wrong
from harness.cache import Cache
from harness.candidate import Candidate, find_candidates
from harness.diagnose import Diagnosis, diagnose
from harness.errors import VoxgateError
from harness.gates import stored, whole
from harness.gates.base import Build, lack, outcome_of
from harness.gates.judged import Judged
from harness.row import SINCE, Row
from harness.run import FLOAT, Run
from harness.score.slices import Slice
from harness.targets import registry as targets
from harness.targets.base import Evidence, Features
from harness.verdict import Outcome
from tests.faults.zoo import silicon
from tests.faults.zoo.silicon import Dials, Silicon
from tests.house import LIMITS, RECIPE, accept_golden, make_house

ACCENTS = ("de", "en-gb-x-rp", "fr", "sv")
RARE = "sv"
SPEAKERS, RARE_SPEAKERS = 8, 5
CONDITIONS = ("clean", "noise-10db")
OUTDOORS = tuple(replace(each, room=None) for each in AMBIENCES)
HOST, SILICON, HALF = "host/int8", "silicon/int8", "silicon/fp16"
SECONDS = 60.0  # of diagnosis
DIAGNOSED = ("sanity", "recall", "score", "accuracy", "flips", "sqnr")  # in the order the suites judge
OF_SILICON = '\n[[recipe]]\ntarget = "silicon"\nname = "{0}"\nprecision = "{0}"\n'
RECIPES = RECIPE + OF_SILICON.format("int8") + OF_SILICON.format("fp16")
BUDGETS = LIMITS.replace(
    "drop = { overall = 4.0, condition = 5.0, cell = 20.0 }\nflips = { overall = 8.0 }\nsqnr = { overall = 15.0 }\n",
    """drop = { overall = 2.5, group = 6.0, accent = 6.0, condition = 4.0, cell = 25.0 }
flips = { overall = 6.0, condition = 8.0 }
sqnr = { overall = 20.0, condition = 18.0 }
regression = { overall = 2.5, accent = 6.0, condition = 4.0 }
drift = { overall = 2.5, accent = 6.0, condition = 4.0 }
""",
)
BOARD = """
[budgets.for.silicon]
latency_ms = { p50 = 4.1, p95 = 4.4, p99 = 4.5 }
end_to_end_ms = { p50 = 6.2, p95 = 6.5 }
slowdown = 0.46
rss_mib = 16
activations_kib = 40
layers = 24
partitions = 1
cpu_share = 10

[budgets.for."silicon/fp16"]
file_kib = 192
latency_ms = { p50 = 9.2, p95 = 9.6, p99 = 10.0 }
end_to_end_ms = { p50 = 11.2, p95 = 11.6 }
sqnr = { overall = 40.0, condition = 40.0 }
slowdown = 2

[[allow]]
target = "silicon"
op = "ReduceMean"
reason = "the silicon has no ReduceMean: it ends the graph"
"""


@dataclass(frozen=True)
class Told:
    """What judging one build came to: its rows, and why it fails, as a person would read it first."""

    rows: tuple[Row, ...]
    diagnosis: Diagnosis | None

    def has(self, what: str, usual: Outcome = Outcome.FAIL) -> bool:
        """Whether ``gate slice`` has the ``usual`` outcome, or the one behind ``=``."""
        name, _, last = what.rpartition("=")
        known = name and last in set(Outcome)  # a slice has signs of equality, too
        name, outcome = (name, Outcome(last)) if known else (what, usual)
        return any(f"{row.gate} {row.slice}" == name and row.outcome is outcome for row in self.rows)

    @property
    def red(self) -> list[Row]:
        return [row for row in self.rows if row.outcome is not Outcome.PASS]


@dataclass
class Site:
    """One copy of the healthy house. ``dials`` are those of the silicon while it is judged."""

    name: ClassVar[str] = "small"
    builds: ClassVar[tuple[str, ...]] = (HOST, SILICON, HALF)  # that are healthy

    house: Path
    cache: Path
    build: str = HOST
    dials: Dials = field(default_factory=Dials)

    @staticmethod
    def healthy(folder: Path, cache: Path) -> Path:
        return healthy(folder, cache)

    @property
    def model(self) -> Path:
        return self.house / "models" / self.name

    @property
    def candidate(self) -> Candidate:
        return {each.name: each for each in find_candidates([self.house])}[self.name]

    @property
    def corpus(self) -> Path:
        return self.house / "corpora" / "few"

    def run(self) -> Run:
        return Run(folder=self.house / "records", cache=Cache(self.cache), toolchains=False)

    def accept(self) -> None:
        """Golden outputs made anew, as by somebody who does not look."""
        shutil.rmtree(self.house / "golden")
        accept_golden(self.house, self.cache, self.house / "records")

    def release(self, first: bool = True) -> None:
        """What is in the house, made the baseline of its build; the first one with ``first``."""
        candidate = self.candidate
        path = baselines.place(candidate.house, candidate.name, self.build)
        found = _release(self.run(), candidate, self.build)
        before = None if first else baselines.read(candidate.house, candidate.name, self.build)
        kept = Baseline(
            format=1,
            candidate=candidate.name,
            build=self.build,
            first=before.oldest if before else None,
            last=found,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(baselines.text(kept), encoding="utf-8")

    @cached_property
    def heard(self) -> Heard:
        return Heard(self)

    def judge(self) -> Told:
        """Every gate of the build, then the diagnosis, as the suites would have it."""
        with turned(self.dials):
            return self._judge()

    def _judge(self) -> Told:
        return _judge(self)


class Heard:
    """What is known of every window that the healthy house is judged on: whose it is, and under which condition."""

    def __init__(self, site: Site) -> None:
        candidate = site.candidate
        run = site.run()
        clips, choices = run.clips(candidate), run.choices(candidate)
        self.clips = len(clips)
        self.place: dict[bytes, int] = {}
        self.accent: list[str] = []
        self.condition: list[str] = []
        self.truth: list[int] = []
        for name in CONDITIONS:
            for clip, window in zip(clips, run.features(candidate, name), strict=True):
                self.place[window.tobytes()] = len(self.accent)
                self.accent.append(clip.accent)
                self.condition.append(name)
                self.truth.append(choices.index(clip.label))

    def places(self, features: Features) -> list[int | None]:
        return [self.place.get(np.ascontiguousarray(window, np.float32).tobytes()) for window in features]


def _judge(site: Site) -> Told:
    rows: list[Row] = []
    name, target, recipe_name = site.name, *site.build.split("/")
    try:
        candidate = site.candidate
        recipe, run = candidate.recipe(site.build), site.run()
        build = Build(candidate, recipe, targets.registry()[target].board(recipe).evidence.value)
    except VoxgateError as error:
        return Told((refused((name, target, recipe_name), error),), None)
    try:
        rows += _golden(candidate, run)
        rows += whole.conversion(build, run)
        rows += whole.judge(build, run, _outputs)
    except VoxgateError as error:
        rows.append(refused((name, target, recipe_name), error))
    return Told(tuple(rows), _why(candidate, run, site.build, rows))


def refused(whose: tuple[str, str, str], error: VoxgateError) -> Row:
    """The row of what cannot be judged at all, under the name of whose turn it is."""
    word = type(error).__name__.removesuffix("Error").lower()
    return lack(whose, word, "overall", outcome_of(error), str(error))


def _golden(candidate: Candidate, run: Run) -> Iterator[Row]:
    yield stored.golden(candidate, run.golden(candidate), run.golden_changes(candidate), "check")
    yield stored.unused(candidate, {each.name: each for each in find_candidates([candidate.house])})
    yield from Judged(Build(candidate, FLOAT, Evidence.HOST.value), run).floors.values()


def _outputs(build: Build, run: Run) -> list[Row]:
    rows, judged = whole.accuracy(build, run), Judged(build, run)
    try:
        if run.baseline(build.candidate, build.recipe) is not None:
            for metric in SINCE:
                rows += judged.margins(metric).values()
    except BaselineError as error:
        rows.append(refused((build.candidate.name, build.recipe.target, build.recipe.name), error))
    return rows


def _why(candidate: Candidate, run: Run, build: str, rows: list[Row]) -> Diagnosis | None:
    """The diagnosis, asked where the plugin asks for it, on the slice that fails first."""
    failing = [row for row in rows if row.outcome is Outcome.FAIL and row.build == build]
    first = next((row for gate in DIAGNOSED for row in failing if row.gate == gate), None)
    if first is None and not any(row.gate == "golden" for row in failing):
        return None
    try:
        part = first.slice if first else "overall"
        return diagnose(run, candidate, candidate.recipe(build), slice_id=part, failed=True, seconds=SECONDS)
    except VoxgateError:
        return None


def _release(run: Run, candidate: Candidate, build: str) -> Release:
    recipe = candidate.recipe(build)
    comparison, artifact = run.comparison(candidate, recipe), run.artifact(candidate, recipe)
    parts: list[Slice] = run.margins(candidate)
    scores = {part.id: comparison.accuracy(part, 0.95, 0, keywords=False) for part in parts}
    return Release(
        origin=Origin(date="2026-01-01 00:00 UTC", run="zoo", command="pytest", word="MAY SHIP", voxgate="0"),
        made=Made(key=artifact.key, evidence=artifact.evidence.value, sizes={}, tools=artifact.tools),
        rows=(),
        decided=Decided(
            audio=run.heard(candidate),
            confidence=0.95,
            scores={name: asdict(score) for name, score in scores.items() if math.isfinite(score.error)},
            wrong=decided_wrong(comparison, run.clips(candidate), candidate.labels),
        ),
    )


@contextmanager
def turned(dials: Dials) -> Iterator[None]:
    Silicon.dials = dials
    try:
        yield
    finally:
        Silicon.dials = Dials()


@contextmanager
def installed() -> Iterator[None]:
    """The silicon among the targets, as another distribution would add it; and streams heard outdoors.

    No fault here is of a room, and to simulate all of them takes longer than to judge a fault.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "entry_points", lambda group: [SimpleNamespace(load=lambda: silicon)])
        patch.setitem(laying.lay.__kwdefaults__, "ambiences", OUTDOORS)
        targets.registry.cache_clear()
        yield
    targets.registry.cache_clear()


def healthy(folder: Path, cache: Path) -> Path:
    """The house all faults are put into copies of: golden outputs made, both of its builds released."""
    kept: dict[str, None] = {}

    def keep(row: dict[str, str]) -> bool:
        if (row["accent"], row["split"]) != (RARE, "test"):
            return True
        kept.setdefault(row["speaker"])
        return row["speaker"] in list(kept)[:RARE_SPEAKERS]

    house = make_house(
        folder,
        accents=ACCENTS,
        speakers=SPEAKERS,
        conditions=CONDITIONS,
        recipes=RECIPES,
        limits=BUDGETS + BOARD,
        keep=keep,
    )
    accept_golden(house, cache, house / "records")
    for build in (HOST, SILICON):
        Site(house, cache, build).release()
    shutil.rmtree(house / "records")
    return house
