"""Baselines: what a build was worth when it was released, committed as text and compared with, clip by clip.

One JSON file a build, ``baselines/<candidate>/<target>/<recipe>.json``, keeps the first and the last accepted
release: their rows, placement, latencies, and every rendering they decided wrong. The last one shows a step, the
first one the sum of steps that were each too small to fail.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from harness.audio.corpus import Clip
from harness.candidate import inside
from harness.errors import BaselineError
from harness.interval import Estimate
from harness.row import Row
from harness.score.keyword import Comparison, Mask

MAX_FILE = 16 * 2**20
DEEP = 3  # levels of the file that get lines of their own
ACCEPT = "voxgate baseline accept"

Wrong = dict[str, dict[str, str | None]]  # clip id -> condition -> the label decided; None where none was


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Origin(Part):
    """Who accepted which run, when, and what had made it."""

    date: str
    run: str
    command: str
    word: str  # of the run's conclusion: MAY SHIP, or what was accepted in place of it
    voxgate: str
    by: str | None = None
    commit: str | None = None


class Made(Part):
    """What was built: the digest of its inputs, sizes in bytes, and the tools."""

    key: str
    evidence: str
    sizes: dict[str, int | None]
    tools: dict[str, str]


class Decided(Part):
    """What a build decided on every rendering of a corpus, as far as it was not right.

    ``audio`` tells by condition what was heard (``Run.heard``); ``scores`` the share decided right of each margin
    (an :class:`Estimate`), at ``confidence``.
    """

    audio: dict[str, str]
    confidence: float
    scores: dict[str, dict[str, float | str]]
    wrong: Wrong

    def score(self, slice_id: str) -> Estimate | None:
        found = self.scores.get(slice_id)
        return Estimate(**found) if found else None  # type: ignore[arg-type]


class Release(Part):
    """One accepted build."""

    origin: Origin
    made: Made
    rows: tuple[dict[str, Any], ...]
    decided: Decided
    nodes: tuple[tuple[str, str, str, str, bool], ...] = ()  # name, op, dtype, where, falls back
    latency_ms: dict[str, tuple[float, ...]] = {}  # percentiles 0 to 100 of timed rounds, by what was timed

    @field_validator("rows")
    @classmethod
    def _are_rows(cls, rows: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        try:
            for row in rows:
                Row.from_json(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"a row is none ({error})") from error
        return rows

    def figures(self) -> tuple[Row, ...]:
        return tuple(map(Row.from_json, self.rows))


class Baseline(Part):
    """The releases of one build; ``first`` is None while it is the last one, too."""

    format: int = Field(1, ge=1, le=1)
    candidate: str
    build: str
    first: Release | None
    last: Release

    @property
    def oldest(self) -> Release:
        """What slow drift is measured from."""
        return self.first or self.last


def place(house: Path, candidate: str, build: str) -> Path:
    """Where the baseline of a build is kept; ``build`` is ``target/recipe``."""
    return inside(house, f"baselines/{candidate}/{build}.json")


def read(house: Path, candidate: str, build: str) -> Baseline | None:
    """The baseline of a build, or None where none was accepted. Raises BaselineError for a file that is none."""
    path = place(house, candidate, build)
    if not path.exists():
        return None
    mend = f"Restore it from version control, or remove it and accept anew with: {ACCEPT}"
    try:
        if path.stat().st_size > MAX_FILE:
            raise ValueError(f"larger than {MAX_FILE >> 20} MiB")
        found = Baseline.model_validate(json.loads(path.read_text(encoding="utf-8")))
        if (found.candidate, found.build) != (candidate, build):
            raise ValueError(f"it is that of {found.candidate} on {found.build}")
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise BaselineError(f"baseline {path} is damaged ({where}: {fault['msg']}). {mend}") from error
    except (OSError, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise BaselineError(f"baseline {path} is damaged or none ({why}). {mend}") from error
    return found


def text(baseline: Baseline) -> str:
    """The file: one figure, node or clip a line, so that a review shows what changed."""
    return f"{_lines(baseline.model_dump(mode='json'), 0)}\n"


def decided_wrong(comparison: Comparison, clips: Sequence[Clip], labels: Sequence[str]) -> Wrong:
    """Every rendering the tested outputs decide wrong, by clip and condition."""
    tested = comparison.after()
    found: Wrong = {}
    for i in np.flatnonzero(tested != comparison.truth):
        label = labels[tested[i]] if tested[i] >= 0 else None
        found.setdefault(clips[comparison.clip[i]].id, {})[str(comparison.condition[i])] = label
    return found


def right_before(wrong: Mapping[str, Mapping[str, str | None]], comparison: Comparison, clips: Sequence[Clip]) -> Mask:
    """``(n,)`` of the comparison's renderings: which of them were decided right."""
    pairs = zip(comparison.clip, comparison.condition, strict=True)
    return np.array([str(condition) not in wrong.get(clips[clip].id, {}) for clip, condition in pairs], bool)


def _lines(value: Any, depth: int) -> str:
    if depth > DEEP or not value or not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    pad = " " * (depth + 1)
    if isinstance(value, list):
        if not isinstance(value[0], dict | list):
            return json.dumps(value, ensure_ascii=False)
        own = [f"{pad}{json.dumps(each, ensure_ascii=False)}" for each in value]
        opening, closing = "[", "]"
    else:
        own = [f"{pad}{json.dumps(key, ensure_ascii=False)}: {_lines(each, depth + 1)}" for key, each in value.items()]
        opening, closing = "{", "}"
    inner = ",\n".join(own)
    return f"{opening}\n{inner}\n{' ' * depth}{closing}"
