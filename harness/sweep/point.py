"""One recipe on one target, judged: its figures, each with interval, n and evidence, and its verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness import __version__
from harness.cache import digest
from harness.candidate import Candidate
from harness.errors import VoxgateError
from harness.gates import whole
from harness.gates.base import Build
from harness.recipe import Recipe
from harness.report.conclusion import Conclusion, conclude
from harness.row import Row
from harness.run import Run
from harness.targets.base import Sizes
from harness.targets.registry import registry

MAY = ("MAY SHIP", "PASSES HERE, BOARD FIGURES OPEN")
ROWS = "rows.json"


@dataclass(frozen=True, slots=True)
class Point:
    """A build and what was judged of it; ``lack`` says why there is none."""

    recipe: Recipe
    path: str  # the recipes it stands beside: of one target and runtime
    rows: tuple[Row, ...] = ()
    sizes: Sizes | None = None
    lack: str = ""

    @property
    def conclusion(self) -> Conclusion | None:
        return conclude(self.rows)[0] if self.rows else None

    @property
    def word(self) -> str:
        return self.conclusion.word if self.conclusion else "NOT BUILT"

    @property
    def passes(self) -> bool:
        return self.word in MAY

    @property
    def margins(self) -> list[Row]:
        """The accuracy drop on every margin."""
        return [row for row in self.rows if row.gate == "accuracy" and not row.screened and row.value is not None]

    @property
    def drop(self) -> Row | None:
        """The margin that lost most."""
        return max(self.margins, key=lambda row: (row.value or 0.0, row.high or 0.0), default=None)

    @property
    def sqnr(self) -> Row | None:
        return self._one("sqnr", "overall")

    @property
    def slowdown(self) -> Row | None:
        """Median inference time over that of the float path."""
        return self._one("latency", "inference over float, p50")

    def record(self) -> dict[str, Any]:
        return {
            "build": self.recipe.id,
            "path": self.path,
            "recipe": self.recipe.model_dump(mode="json"),
            "word": self.word,
            "reason": self.conclusion.reason if self.conclusion else self.lack,
            "sizes": asdict(self.sizes) if self.sizes else None,
            **{name: row.as_json() if row else None for name, row in self._figures().items()},
            "rows": [row.as_json() for row in self.rows],
        }

    def _figures(self) -> dict[str, Row | None]:
        return {"drop": self.drop, "sqnr": self.sqnr, "slowdown": self.slowdown}

    def _one(self, gate: str, part: str) -> Row | None:
        found = (row for row in self.rows if (row.gate, row.slice) == (gate, part) and row.value is not None)
        return next(found, None)


def judge(run: Run, candidate: Candidate, recipe: Recipe, path: str, conversion: Sequence[Row]) -> Point:
    """Build and judge by every gate of the candidate; a build that fails is a point that says why.

    ``conversion`` are the rows of the float path that the recipe shares with others.
    """
    try:
        artifact = run.artifact(candidate, recipe)
        board = registry()[recipe.target].board(recipe)
        build = Build(candidate, recipe, artifact.evidence.value, run.seed, board.name)
        own = [replace(row, recipe=recipe.name) for row in conversion]
        return Point(recipe, path, (*own, *whole.judge(build, run, outputs=_outputs)), artifact.sizes)
    except VoxgateError as error:
        return Point(recipe, path, lack=str(error))


def conversion(run: Run, candidate: Candidate, recipe: Recipe) -> list[Row]:
    """Whether the float path of a recipe says what the ONNX model says."""
    board = registry()[recipe.target].board(recipe)
    build = Build(candidate, recipe, board.evidence.value, run.seed, board.name)
    return list(whole.conversion(build, run))


def _outputs(build: Build, run: Run) -> list[Row]:
    """The rows of the outputs' gates, from the cache where nothing that they depend on changed.

    Their intervals take longer than many a build; a sweep that was stopped must not compute them again.
    """
    candidate, recipe = build.candidate, build.recipe
    golden = run.golden(candidate)
    key = digest(
        __version__,
        run.artifact(candidate, recipe).key,
        build.source,
        build.seed,
        candidate.budgets(recipe).model_dump(mode="json"),
        [floor.model_dump(mode="json") for floor in candidate.floors],
        [(name, each.provenance.audio, digest(each.logits.tobytes())) for name, each in golden.items()],
    )

    def make(folder: Path) -> None:
        rows = [row.as_json() for row in whole.accuracy(build, run)]
        (folder / ROWS).write_text(json.dumps(rows), encoding="utf-8")

    entry = run.cache.entry("verdicts", key, make)
    return [Row.from_json(row) for row in json.loads((entry.path / ROWS).read_text(encoding="utf-8"))]
