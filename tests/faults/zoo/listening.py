"""Where faults of what listens are put and judged: the wake word, the spoken commands, the pipeline of the house of
tones, each by the gates that the suites ask of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from harness.candidate import find_candidates
from harness.errors import VoxgateError
from harness.gates import pipeline as together
from harness.gates import streaming, wakeword
from harness.gates.base import Build
from harness.pipeline import find_pipelines
from harness.row import Row
from harness.run import Run
from harness.streaming import golden_build, streams_of
from harness.targets.base import Evidence
from tests.faults.zoo.site import HALF, SILICON, Heard, Site, Told, refused
from tests.faults.zoo.tones import make_house

Rows = Callable[[], Iterable[Row]]


@dataclass
class Voice(Site):
    """The spoken commands."""

    name: ClassVar[str] = "voice"
    builds: ClassVar[tuple[str, ...]] = (SILICON,)

    build: str = SILICON

    @staticmethod
    def healthy(folder: Path, cache: Path) -> Path:
        house = make_house(folder)
        for site in (Ear(house, cache), Voice(house, cache)):
            site.accept()
        shutil.rmtree(house / "records")
        return house

    @cached_property
    def heard(self) -> Heard:
        return Heard(self)

    def accept(self) -> None:
        shutil.rmtree(self.house / "golden" / self.name, ignore_errors=True)
        run = self.run()
        run.golden_mode = "new"
        self._golden(run)

    def _golden(self, run: Run) -> None:
        run.golden(self.candidate)


@dataclass
class Ear(Voice):
    """The wake word."""

    name: ClassVar[str] = "ear"
    builds: ClassVar[tuple[str, ...]] = (SILICON, HALF)

    def _golden(self, run: Run) -> None:
        run.golden_scores(self.candidate)

    def _judge(self) -> Told:
        whose = (self.name, *self.build.split("/", 1))
        try:
            candidate, run = self.candidate, self.run()
            recipe = candidate.recipe(self.build)
            build = Build(candidate, recipe, run.board(candidate, recipe).evidence.value)
            run.ready(candidate)
        except VoxgateError as error:
            return Told((refused(whose, error),), None)
        first = Build(candidate, golden_build(candidate), Evidence.HOST.value)
        gates: list[Rows] = [lambda: [streaming.golden(first, run.golden_scores(candidate), "check")]]
        gates += [lambda name=each.name: _heard(build, run, name) for each in streams_of(candidate, recipe)]
        gates += [
            lambda: [streaming.converted(build, run.own_path(candidate, recipe))],
            lambda: [streaming.reset(build, run.probe(candidate, recipe))],
            lambda: [streaming.scales(build, run.state_scales(candidate, recipe))],
            lambda: [streaming.aligned(build, run.against(candidate, recipe))],
            lambda: streaming.drift(build, run.against(candidate, recipe)),
        ]
        return Told(tuple(judged(gates, whose)), None)


def _heard(build: Build, run: Run, name: str) -> list[Row]:
    heard, point = run.listening(build.candidate, build.recipe, name)
    return wakeword.judge(build, heard, point, run.words(build.candidate, heard))


@dataclass
class Both(Voice):
    """The pipeline. Times and memory of both are measured on a host only, so not judged here."""

    name: ClassVar[str] = "both"
    builds: ClassVar[tuple[str, ...]] = ("silicon/int8+int8",)

    build: str = "silicon/int8+int8"

    def _judge(self) -> Told:
        target, pair_name = self.build.split("/")
        try:
            candidates = {each.name: each for each in find_candidates([self.house])}
            [pipeline] = find_pipelines([self.house], candidates)
            pair, run = pipeline.pair(target, pair_name), self.run()
            for candidate in candidates.values():
                run.ready(candidate)
        except VoxgateError as error:
            return Told((refused((self.name, target, pair_name), error),), None)
        build = together.Together(pipeline, pair, Evidence.BOARD.value, "zoo board", "synthetic")
        gates = [
            lambda gate=gate: [gate(build, run.session(pipeline, pair))]
            for gate in (together.success, together.command_accuracy, together.wer, together.activations)
        ]
        return Told(tuple(judged(gates, (self.name, target, pair_name))), None)


def judged(gates: Iterable[Rows], whose: tuple[str, str, str]) -> list[Row]:
    """Rows of every gate; where one cannot be judged, why."""
    rows: list[Row] = []
    for gate in gates:
        try:
            rows += gate()
        except VoxgateError as error:
            rows.append(refused(whose, error))
    return rows
