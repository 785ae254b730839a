"""What one run left on disk, read back: rows, plan, facts and artifacts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.baseline import Baseline
from harness.errors import VoxgateError
from harness.report import plots
from harness.row import Before, Row, keyed

LATEST = Path("runs") / "latest"
HEATMAP_GATE = "accuracy"
MAX_AUDIO = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Records:
    """One run. ``artifacts`` are ``Artifact.record()``s by build, as ``commands/rk3588/w8a8``."""

    folder: Path
    rows: tuple[Row, ...]
    facts: Mapping[str, Any]
    plan: tuple[Mapping[str, Any], ...]
    artifacts: Mapping[str, Mapping[str, Any]]
    baselines: Mapping[str, Baseline]  # what was released before, by build
    flips: Mapping[str, Mapping[str, Any]]  # the worst flipped decisions, by build, their audio beside them
    drift: tuple[str, ...] = ()  # figures that move toward their limits, in words
    curves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # DET curves of wake words, by build

    @property
    def before(self) -> Before:
        """Every figure of the last releases."""
        return keyed(row for each in self.baselines.values() for row in each.last.figures())

    def audio(self, build: str, file: str) -> bytes | None:
        """The FLAC of a flip, or None where it is gone; ``file`` is a name without a folder."""
        path = self.folder / build / Path(file).name
        return path.read_bytes() if path.is_file() and path.stat().st_size <= MAX_AUDIO else None

    def latency(self, build: str) -> Mapping[str, list[float]]:
        """Milliseconds of timed rounds by what was timed; empty where nothing was."""
        found: Mapping[str, list[float]] = _json(self.folder / build / "timings.json", {}).get("ms", {})
        return found


def read(work: Path) -> Records:
    """The last run below ``work``. Raises VoxgateError where nothing was judged."""
    folder = work / LATEST
    if not (folder / "rows.jsonl").is_file():
        why = "its last run judged nothing" if folder.is_dir() else "it has no run"
        raise VoxgateError(f"nothing to report in {work}: {why}. Judge first, with: pytest -m host --work {work}")
    lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    return Records(
        folder=folder.resolve(),
        rows=tuple(row for row in map(_row, lines) if row is not None),
        facts=_json(folder / "run.json", {}),
        plan=tuple(_json(folder / "plan.json", [])),
        artifacts=_by_build(folder, "artifact.json"),
        baselines=_baselines(folder),
        flips=_by_build(folder, "heard.json"),
        curves=_curves(folder),
        drift=tuple(_json(folder / "drift.json", [])),
    )


def heatmaps(rows: tuple[Row, ...], before: Before) -> dict[str, bytes]:
    """A PNG for every build that has accuracy on more than one slice, by ``candidate on target/recipe``."""
    builds: dict[str, list[Row]] = {}
    for row in rows:
        if row.gate == HEATMAP_GATE and row.value is not None:
            builds.setdefault(f"{row.candidate} on {row.build}", []).append(row)
    return {
        name: plots.heatmap(own, f"{name}: accuracy drop against golden", before)
        for name, own in builds.items()
        if len(own) > 1
    }


def _baselines(folder: Path) -> dict[str, Baseline]:
    found = {}
    for name, each in _by_build(folder, "baseline.json").items():
        with suppress(ValidationError):  # torn, by a run that was stopped
            found[name] = Baseline.model_validate(each)
    return found


def _by_build(folder: Path, name: str) -> dict[str, Any]:
    found = sorted(folder.glob(f"*/*/*/{name}"))
    return {path.parent.relative_to(folder).as_posix(): _json(path, {}) for path in found}


def _curves(folder: Path) -> dict[str, dict[str, Any]]:
    """By build what each kind of speech showed."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*/*/*/det-*.json")):
        found.setdefault(path.parent.relative_to(folder).as_posix(), {}).update(_json(path, {}))
    return found


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
