"""What one run left on disk, read back: rows, plan, facts and artifacts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import VoxgateError
from harness.report import plots
from harness.row import Row

LATEST = Path("runs") / "latest"
HEATMAP_GATE = "accuracy"


@dataclass(frozen=True, slots=True)
class Records:
    """One run. ``artifacts`` are ``Artifact.record()``s by build, as ``commands/rk3588/w8a8``."""

    folder: Path
    rows: tuple[Row, ...]
    facts: Mapping[str, Any]
    plan: tuple[Mapping[str, Any], ...]
    artifacts: Mapping[str, Mapping[str, Any]]


def read(work: Path) -> Records:
    """The last run below ``work``. Raises VoxgateError where nothing was judged."""
    folder = work / LATEST
    if not (folder / "rows.jsonl").is_file():
        why = "its last run judged nothing" if folder.is_dir() else "it has no run"
        raise VoxgateError(f"nothing to report in {work}: {why}. Judge first, with: pytest -m host --work {work}")
    lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    found = sorted(folder.glob("*/*/*/artifact.json"))
    return Records(
        folder=folder.resolve(),
        rows=tuple(row for row in map(_row, lines) if row is not None),
        facts=_json(folder / "run.json", {}),
        plan=tuple(_json(folder / "plan.json", [])),
        artifacts={path.parent.relative_to(folder).as_posix(): _json(path, {}) for path in found},
    )


def heatmaps(rows: tuple[Row, ...]) -> dict[str, bytes]:
    """A PNG for every build that has accuracy on more than one slice, by ``candidate on target/recipe``."""
    builds: dict[str, list[Row]] = {}
    for row in rows:
        if row.gate == HEATMAP_GATE and row.value is not None:
            builds.setdefault(f"{row.candidate} on {row.build}", []).append(row)
    return {
        name: plots.heatmap(own, f"{name}: accuracy drop against golden")
        for name, own in builds.items()
        if len(own) > 1
    }


def _row(line: str) -> Row | None:
    try:
        return Row.from_json(json.loads(line))
    except (ValueError, TypeError):
        return None  # the last line of a run that was killed while writing


def _json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return default  # a run that was stopped has not written everything
