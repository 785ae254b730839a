"""The figures of the report's page of metrics: of every build its sizes, its overall figures, and its worst slice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.report.conclusion import used
from harness.row import AT_LEAST, SINCE, Row

FILE = "figures-perf.json"  # Allure reads what ends so, latencies' too
NAMES = {"accuracy": "accuracy drop", "frr": "FRR", "wer": "WER", "cer": "CER", "sqnr": "SQNR"}
SIZES = "footprint"
OVERALL = "overall"


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure. ``build`` is ``candidate on target/recipe``; history hangs on both names."""

    build: str
    title: str
    value: float
    unit: str
    better: str = "lower"

    @property
    def key(self) -> str:
        return f"{self.build} {self.title}"


def metrics(rows: Iterable[Row]) -> Iterator[Metric]:
    """What a reader compares from run to run, in the order of the rows; a figure that was not measured is left out."""
    worst: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row.value is None or row.gate in SINCE:
            continue
        build, name = f"{row.candidate} on {row.build}", NAMES.get(row.gate, row.gate)
        if row.gate == SIZES:
            yield Metric(build, f"size, {row.slice}", row.value, row.unit)
        elif row.slice.split(" ")[-1] == OVERALL:  # also of a kind of speech: "recordings overall"
            kind = row.slice.removesuffix(OVERALL).strip()
            title = f"{name}, {kind}" if kind else name
            yield Metric(build, title, row.value, row.unit, "higher" if row.gate in AT_LEAST else "lower")
        elif row.limit is not None and "=" in row.slice and not row.screened:
            before = worst.get((build, name))
            if before is None or used(row) > used(before):
                worst[build, name] = row
    for (build, name), row in worst.items():
        better = "higher" if row.gate in AT_LEAST else "lower"
        yield Metric(build, f"{name}, worst slice", row.value or 0.0, row.unit, better)


def write(results: Path, rows: Iterable[Row], now_ms: int) -> None:
    """The file that Allure reads them from."""
    found = [
        {"id": each.key, "key": each.key, "value": each.value, "start": now_ms, "stop": now_ms}
        for each in metrics(rows)
    ]
    (results / FILE).write_text(json.dumps(found, indent=1), encoding="utf-8")


def configured(results: Path, rows: Iterable[Row]) -> dict[str, Any]:
    """Titles and units, one group a build; latencies are keyed ``candidate on build what p50``."""
    groups: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for each in metrics(rows):
        groups[each.build] = {"title": each.build}
        told[each.key] = {"title": each.title, "unit": each.unit, "better": each.better, "group": each.build}
    for path in sorted(results.glob("*-perf.json")):
        if path.name == FILE:
            continue
        for key in (figure["key"] for figure in json.loads(path.read_text(encoding="utf-8"))):
            candidate, on, build, title = key.split(" ", 3)
            group = f"{candidate} {on} {build}"
            groups[group] = {"title": group}
            told[key] = {"title": title, "unit": "ms", "better": "lower", "group": group}
    return {"groups": groups, "metrics": told}
