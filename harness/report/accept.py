"""``voxgate baseline accept``: the last run, made the baseline of its builds, if it may be one."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from harness import baseline as baselines
from harness import origin
from harness.baseline import Baseline, Decided, Made, Origin, Release
from harness.cache import disk_error, write_whole
from harness.candidate import Candidate
from harness.errors import BaselineError, nearest
from harness.gates.declared import unjudged
from harness.report.conclusion import GOLDEN, MAY_SHIP, Conclusion, change, conclude
from harness.report.records import Records
from harness.row import keyed
from harness.run import Run

OPEN = "PASSES HERE, BOARD FIGURES OPEN"
TIMED = ("inference", "total")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which builds are to be accepted (empty: all of the run), and how."""

    builds: tuple[str, ...] = ()
    without_board: bool = False
    restart: bool = False  # this release is the first one again: drift is measured from it


def accept(records: Records, candidate: Candidate, run: Run, asked: Asked) -> Iterator[str]:
    """Write the baseline of each build, and say what changes. Raises BaselineError before the first is written."""
    if candidate.task == "wakeword":
        raise _refused(
            candidate,
            "releases are compared decision by decision, of which a wake word's scores have none",
            "its golden scores tell what changed: pytest --golden=update -k golden",
        )
    found = {each.build: each for each in conclude(records.rows) if each.candidate == candidate.name}
    builds = asked.builds or tuple(name for name in found if name != GOLDEN)
    _whole(records, candidate, found, builds)
    ready = []
    for build in builds:
        _may(found[build], candidate, run, asked)
        ready.append((build, _release(records, candidate, found[build])))
    for build, release in ready:
        path = baselines.place(candidate.house, candidate.name, build)
        old = run.baseline(candidate, candidate.recipe(build))
        first = old.oldest if old and not asked.restart else None
        _write(path, Baseline(format=1, candidate=candidate.name, build=build, first=first, last=release))
        yield from _told(path, old, release)


def _whole(records: Records, candidate: Candidate, found: Collection[str], builds: Sequence[str]) -> None:
    if not builds:
        raise _refused(candidate, "the last run judged no build of it", "judge it first, with: pytest -m host")
    for build in builds:
        if build not in found or build == GOLDEN:
            known = [name for name in found if name != GOLDEN]
            why = f"the last run judged no {build!r}{nearest(build, known)}; it judged {', '.join(known) or 'nothing'}"
            raise _refused(candidate, why, "name one of those")
    if records.facts.get("exitstatus") not in (0, 1):
        raise _refused(candidate, "the last run did not come to its end", "judge it again, all of it")


def _may(conclusion: Conclusion, candidate: Candidate, run: Run, asked: Asked) -> None:
    word, build = conclusion.word, conclusion.build
    good = word == MAY_SHIP or (asked.without_board and word == OPEN)
    if not good:
        hint = "; --without-board accepts it with its board's figures open" if word == OPEN else ""
        raise _refused(
            candidate, f"{build} is {word} ({conclusion.reason.rstrip('.')})", f"judge one that may ship{hint}"
        )
    recipe = candidate.recipe(build)
    released = run.baseline(candidate, recipe) is not None
    lack = unjudged(conclusion.rows, candidate, recipe, run.margins(candidate), released=released)
    if lack:
        raise _refused(candidate, f"{build} was judged in part: {lack}", "judge all of it, without -k or files")


def _release(records: Records, candidate: Candidate, conclusion: Conclusion) -> Release:
    folder = records.folder / candidate.name / conclusion.build
    artifact = records.artifacts.get(f"{candidate.name}/{conclusion.build}", {})
    environment = records.facts.get("environment", {})
    try:
        return Release(
            origin=Origin(
                date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
                run=records.folder.name,
                command=str(records.facts.get("command", "")),
                word=conclusion.word,
                voxgate=str(environment.get("voxgate", "")),
                by=origin.person(candidate.house),
                commit=records.facts.get("commit", {}).get(candidate.name),
            ),
            made=Made(**{name: artifact[name] for name in ("key", "evidence", "sizes", "tools")}),
            rows=tuple(row.as_json() for row in conclusion.rows),
            decided=Decided.model_validate(_json(folder / "decisions.json")),
            nodes=tuple(
                (node["name"], node["op"], node["dtype"], node["where"], node["fallback"])
                for node in artifact["placement"]["nodes"]
            ),
            latency_ms=_latency(folder / "timings.json"),
        )
    except (OSError, KeyError, TypeError, ValueError, ValidationError) as error:
        why = f"records of {conclusion.build} in {records.folder} are incomplete ({' '.join(str(error).split())[:200]})"
        raise _refused(candidate, why, "judge it again") from error


def _latency(path: Path) -> dict[str, tuple[float, ...]]:
    if not path.is_file():
        return {}
    samples: Mapping[str, list[float]] = _json(path)["ms"]
    return {name: tuple(np.percentile(samples[name], range(101)).round(6).tolist()) for name in TIMED}


def _told(path: Path, old: Baseline | None, release: Release) -> Iterator[str]:
    yield f"{path}: {'accepted anew' if old else 'the first baseline'}, {release.origin.word}"
    before, now = keyed(old.last.figures() if old else ()), keyed(release.figures())
    differing = [row for key, row in now.items() if key not in before or before[key].value != row.value]
    for row in differing:
        yield f"  {row.gate} {row.slice}: {change(row, before)} {row.unit}"
    if old:
        gone = len(before.keys() - now.keys())
        yield f"  {len(differing)} of {len(now)} figures differ{f', {gone} are gone' if gone else ''}"
        if old.last.made.key != release.made.key:
            yield f"  inputs' digest {old.last.made.key[:16]} -> {release.made.key[:16]}"
    yield f"  review and commit it: git diff {path.name}" if old else "  commit it"


def _write(path: Path, baseline: Baseline) -> None:
    try:
        write_whole(path, baselines.text(baseline).encode())
    except OSError as error:
        raise disk_error(error, path) from error


def _refused(candidate: Candidate, why: str, remedy: str) -> BaselineError:
    return BaselineError(f"no baseline of {candidate.name}: {why}; {remedy}.")


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
