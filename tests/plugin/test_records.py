"""What a run leaves behind: JUnit properties, rows, records of stages, and what it took from the cache."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.house import Gate, GateRun

pytestmark = pytest.mark.xdist_group("plugin")
PROPERTIES = {"value", "unit", "limit", "low", "high", "n", "clusters", "evidence", "verdict"}
DROP = "test_drop[small-host-int8-overall]"


@pytest.fixture(scope="session")
def properties(healthy: GateRun) -> dict[str, dict[str, str]]:
    """The properties of every test in the JUnit file, by its name."""
    cases = ElementTree.parse(healthy.work / "junit.xml").iter("testcase")  # noqa: S314 (ours)
    return {case.attrib["name"]: {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")} for case in cases}


def test_the_healthy_house_passes(healthy: GateRun) -> None:
    assert healthy.code == 0, healthy.output
    assert {row["outcome"] for row in healthy.rows} == {"PASS"}


def test_junit_says_all_of_a_verdict(properties: dict[str, dict[str, str]]) -> None:
    assert set(properties[DROP]) >= PROPERTIES
    assert all(set(found) >= PROPERTIES for found in properties.values())


def test_junit_says_what_the_rows_say(healthy: GateRun, properties: dict[str, dict[str, str]]) -> None:
    said, row = properties[DROP], healthy.row("accuracy")
    assert {name: said[name] for name in ("unit", "evidence", "verdict")} == {
        "unit": row["unit"],
        "evidence": "host",
        "verdict": "PASS",
    }
    figures = ("value", "limit", "low", "high", "n", "clusters")
    assert [float(said[name]) for name in figures] == [row[name] for name in figures]
    assert row["low"] <= row["value"] <= row["high"] <= row["limit"]


def test_every_gate_has_rows_with_evidence(healthy: GateRun) -> None:
    gates = {row["gate"] for row in healthy.rows}
    assert gates >= {"sanity", "recall", "accuracy", "flips", "sqnr", "conversion", "placement", "footprint", "golden"}
    assert all(row["evidence"] in ("host", "static") for row in healthy.rows)


@pytest.mark.parametrize(
    "name",
    [
        "plan.json",
        "run.json",
        "small/golden.json",
        "small/host/int8/artifact.json",
        "small/host/int8/calibration.json",
        "small/host/int8/drop.json",
        "small/host/int8/cells.json",
    ],
)
def test_every_stage_leaves_its_record(healthy: GateRun, name: str) -> None:
    assert json.loads((healthy.folder / name).read_text())


def test_the_placement_of_every_node_is_on_record(healthy: GateRun) -> None:
    record = json.loads((healthy.folder / "small/host/int8/artifact.json").read_text())
    assert len(record["placement"]["nodes"]) == healthy.row("placement", "fallback")["n"]


def test_a_second_run_says_what_came_from_the_cache(gate: Gate, template: Path, healthy: GateRun) -> None:
    run = gate(template, "-m", "host")
    assert run.code == 0, run.output
    told = re.search(r"from cache: (.*)", run.output)
    assert told
    counts = re.findall(r"(\d+) of (\d+) (\w+)", told[1])
    assert {kind for _, _, kind in counts} >= {"artifacts", "outputs", "renditions", "features"}
    assert all(found == asked for found, asked, _ in counts)
    assert sorted(map(_figures, run.rows)) == sorted(map(_figures, healthy.rows))


def test_rows_of_xdist_workers_reach_the_records(gate: Gate, template: Path, healthy: GateRun) -> None:
    run = gate(template, "-m", "host", "-n", "2")
    assert run.code == 0, run.output
    assert sorted(map(_figures, run.rows)) == sorted(map(_figures, healthy.rows))
    assert len(list((run.work / "runs").iterdir())) == 2  # one run, and latest


def test_listing_tests_judges_nothing(gate: Gate, template: Path) -> None:
    started = time.monotonic()
    run = gate(template, "--collect-only", "-q")
    assert run.code == 0, run.output
    assert f"suites/test_accuracy.py::{DROP}" in run.output
    assert time.monotonic() - started < 30
    assert not (run.work / "runs" / "latest").exists()


def _figures(row: dict[str, object]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("gate", "slice", "value", "low", "high", "n", "outcome"))
