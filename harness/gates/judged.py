"""One build's accuracy, every gate judged at most once."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.baseline import ACCEPT, Decided, decided_wrong
from harness.errors import Unsupported
from harness.gates import accuracy, regression
from harness.gates.base import Build
from harness.row import SINCE, Before, Row, keyed
from harness.run import FLOAT, Run
from harness.score.flips import flips
from harness.score.keyword import Comparison
from harness.score.slices import Slice

MOST_HEARD = 8  # flips with audio, a build


class Judged:
    """Rows of the accuracy gates of one build; margins of a gate are judged together (Holm)."""

    def __init__(self, build: Build, run: Run) -> None:
        self.build = build
        self.run = run
        self.flipped = 0  # decisions in all
        self.heard: list[tuple[Path, dict[str, Any]]] = []  # audio of the worst flips, and what is known of each
        self._margins: dict[str, dict[str, Row]] = {}

    @cached_property
    def comparison(self) -> Comparison:
        return self.run.comparison(self.build.candidate, self.build.recipe)

    def keep(self) -> None:
        """Run the build, and write what a baseline is made of and what a person may listen to."""
        comparison = self.comparison
        if self.build.recipe != FLOAT:
            self._keep_decisions(comparison)
            self._keep_flips(comparison)

    def sanity(self) -> Row:
        return accuracy.sane(self.build, self.comparison, self.run.margins(self.build.candidate))

    def margins(self, metric: str) -> dict[str, Row]:
        """Rows of all margins of ``drop``, ``flips``, ``sqnr``, ``regression``, ``drift``, or of COMMAND, by slice."""
        if metric not in self._margins:
            parts = self.run.margins(self.build.candidate)
            judge = self._since if metric in SINCE else self._against_golden
            self._margins[metric] = judge(metric, parts)
            self._write(metric, list(self._margins[metric].values()))
        return self._margins[metric]

    @cached_property
    def cells(self) -> list[Row]:
        """Rows of the accuracy drop in every cell accent x condition."""
        rows = list(accuracy.judge(self.build, self.comparison, "drop", self.run.cells(self.build.candidate)).values())
        self._write("cells", rows)
        return rows

    @cached_property
    def floors(self) -> dict[str, Row]:
        """Rows of the candidate's floors, keyed as Run.floors is."""
        of = "golden" if self.build.recipe == FLOAT else "artifact"
        rows = accuracy.floors(self.build, self.comparison, self.run.floors(self.build.candidate, of))
        self._write("floors", list(rows.values()))
        return rows

    @property
    def before(self) -> Before:
        """The figures of the build's last release."""
        baseline = self.run.baseline(self.build.candidate, self.build.recipe)
        return keyed(baseline.last.figures() if baseline else ())

    def _against_golden(self, metric: str, parts: list[Slice]) -> dict[str, Row]:
        return accuracy.judge(self.build, self.comparison, metric, parts)

    def _since(self, metric: str, parts: list[Slice]) -> dict[str, Row]:
        candidate, recipe = self.build.candidate, self.build.recipe
        baseline = self.run.baseline(candidate, recipe)
        if baseline is None:
            raise Unsupported(f"{candidate.name} on {recipe.id} has no baseline; accept a release with: {ACCEPT}")
        clips, heard = self.run.clips(candidate), self.run.heard(candidate)
        return regression.judge(self.build, self.comparison, clips, heard, baseline, metric, parts)

    def _keep_decisions(self, comparison: Comparison) -> None:
        """What a baseline is made of, should this build be released."""
        candidate, seed = self.build.candidate, self.build.seed
        confidence = candidate.budgets(self.build.recipe).confidence
        parts = self.run.margins(candidate)
        found = {part.id: comparison.accuracy(part, confidence, seed, keywords=False) for part in parts}
        scores = {name: asdict(score) for name, score in found.items() if math.isfinite(score.error)}
        wrong = decided_wrong(comparison, self.run.clips(candidate), self.run.choices(candidate))
        decided = Decided(audio=self.run.heard(candidate), confidence=confidence, scores=scores, wrong=wrong)
        self.run.write(self._record("decisions"), decided.model_dump(mode="json"))

    def _keep_flips(self, comparison: Comparison) -> None:
        """The worst flipped decisions with their audio, for whoever wants to hear them."""
        candidate = self.build.candidate
        found = flips(comparison, self.run.clips(candidate), self.run.choices(candidate))
        for i, flip in enumerate(found[:MOST_HEARD]):
            renditions = self.run.renditions(candidate, flip.condition)
            file = f"{self._record('heard')}-{i + 1}.flac"
            self.run.write_audio(file, renditions.audio[flip.clip], renditions.sample_rate)
            path = self.run.folder / file
            self.heard.append((path, {"rank": i + 1, "file": path.name, **asdict(flip)}))
        self.flipped = len(found)
        self.run.write(self._record("heard"), {"count": len(found), "heard": [flip for _, flip in self.heard]})

    def _write(self, name: str, rows: list[Row]) -> None:
        self.run.write(self._record(name), [row.as_json() for row in rows])

    def _record(self, name: str) -> str:
        return f"{self.build.candidate.name}/{self.build.recipe.id}/{name}"
