"""One build's accuracy, every gate judged at most once."""

from __future__ import annotations

from functools import cached_property

from harness.gates import accuracy
from harness.gates.base import Build
from harness.row import Row
from harness.run import FLOAT, Run
from harness.score.keyword import Comparison


class Judged:
    """Rows of the accuracy gates of one build; margins of a gate are judged together (Holm)."""

    def __init__(self, build: Build, run: Run) -> None:
        self.build = build
        self.run = run
        self._margins: dict[str, dict[str, Row]] = {}

    @cached_property
    def comparison(self) -> Comparison:
        return self.run.comparison(self.build.candidate, self.build.recipe)

    def sanity(self) -> Row:
        return accuracy.sane(self.build, self.comparison, self.run.margins(self.build.candidate))

    def margins(self, metric: str) -> dict[str, Row]:
        """Rows of all margins of ``drop``, ``flips`` or ``sqnr``, by slice."""
        if metric not in self._margins:
            parts = self.run.margins(self.build.candidate)
            self._margins[metric] = accuracy.judge(self.build, self.comparison, metric, parts)
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

    def _write(self, name: str, rows: list[Row]) -> None:
        build = self.build
        self.run.write(f"{build.candidate.name}/{build.recipe.id}/{name}", [row.as_json() for row in rows])
