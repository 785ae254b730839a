"""A failing accuracy gate is looked into, once a build; a passing one costs nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness import cli
from tests.faults.test_diagnosis import only_silence
from tests.house import Gate, accept_golden, edit, make_house, new_gate


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    return new_gate(tmp_path_factory.getbasetemp(), "diagnosis-runs")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Path:
    house = make_house(tmp_path_factory.mktemp("healthy") / "house", accents=("de", "sv"), speakers=3)
    accept_golden(house, gate.cache, gate.work())
    return house


@pytest.fixture
def silent(healthy: Path, tmp_path: Path) -> Path:
    house = Path(shutil.copytree(healthy, tmp_path / "house"))
    only_silence(house)
    return house


def attached(folder: Path, name: str) -> list[str]:
    """The contents of every attachment of that name."""
    results = folder / "allure-results"
    found: list[str] = []

    def look(node: dict[str, object]) -> None:
        for each in node.get("attachments", []):  # type: ignore[attr-defined]
            if each["name"] == name:
                found.append((results / each["source"]).read_text(encoding="utf-8"))
        for step in node.get("steps", []):  # type: ignore[attr-defined]
            look(step)

    for path in results.glob("*-result.json"):
        look(json.loads(path.read_text(encoding="utf-8")))
    return found


def test_the_likely_cause_stands_below_the_verdict_and_in_the_report(gate: Gate, silent: Path) -> None:
    run = gate(silent, "-m", "host", "-k", "accuracy", "--diagnose=120")
    assert run.code == 1
    lines = [line.strip() for line in run.output.splitlines()]
    [cause] = [i for i, line in enumerate(lines) if line.startswith("likely cause: calibration: ")]
    assert any(line.startswith("DO NOT SHIP") for line in lines[:cause])
    assert run.output.count("looking for the cause") == 1
    record = json.loads((run.folder / "small" / "host" / "int8" / "diagnosis.json").read_text())
    assert record["verdict"] == "calibration"
    assert record["causes"][0]["effect"]["points"] > 20
    pages = attached(run.folder, "diagnosis")
    assert len(pages) == len([row for row in run.rows if row["outcome"] == "FAIL" and "," not in row["slice"]]) + 1
    assert all("Causes, likeliest first" in page for page in pages)
    assert json.loads(attached(run.folder, "diagnosis.json")[0]) == record


def test_nothing_is_looked_into_where_all_passes_or_nobody_asks(gate: Gate, healthy: Path, silent: Path) -> None:
    green = gate(healthy, "-m", "host", "-k", "accuracy", "--diagnose=120")
    assert green.code == 0, green.output
    unasked = gate(silent, "-m", "host", "-k", "accuracy", "--diagnose=0")
    assert unasked.code == 1
    for run in (green, unasked):
        assert "cause" not in run.output
        assert not list(run.folder.rglob("diagnosis.json"))
        assert attached(run.folder, "diagnosis") == []


def test_golden_that_cannot_judge_is_looked_into(gate: Gate, healthy: Path, tmp_path: Path) -> None:
    house = Path(shutil.copytree(healthy, tmp_path / "house"))
    edit(house / "models" / "small" / "model.toml", "mean = 7.0", "mean = 0.0")
    run = gate(house, "-m", "host", "-k", "test_drop", "--diagnose=120")
    assert run.code == 1
    told = " ".join(run.output.split())
    assert "likely cause: front end: it changed since golden was made: mean was 7.0 and is 0.0" in told
    assert "in model.toml, [frontend]: mean = 7.0" in told


def test_the_command_shows_causes_stages_and_experiments(
    gate: Gate, silent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["diagnose", str(silent / "models" / "small"), "--work", str(gate.work())]
    assert cli.main([*command, "--slice", "accent=sv"]) == 0
    told = capsys.readouterr().out
    for part in ("causes, likeliest first", "calibrated on accent=sv itself", "host/int8 on host", "likely cause: cal"):
        assert part in told
    assert cli.main([*command, "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert (found["slice"], found["verdict"]) == ("overall", "calibration")
    assert cli.main([*command, "--recipe", "host/int9"]) == 2
    assert "has no recipe 'host/int9' (did you mean 'host/int8'?)" in capsys.readouterr().err
    assert cli.main([*command, "--slice", "accent=se"]) == 2
    assert "no slice is named 'accent=se'" in capsys.readouterr().err


def test_the_coverage_of_a_calibration_is_shown(gate: Gate, silent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["calibrate", str(silent / "models" / "small"), "--work", str(gate.work())]
    assert cli.main(command) == 0
    told = capsys.readouterr().out
    assert "labels in the test only: down, follow me, go, hey robot, left, no and 5 more" in told
    assert "conditions in the test only: noise-20db" in told
    assert "warning: its median level is" in told
    assert "% of the test's feature values lie outside its range" in told
    assert cli.main([*command, "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["labels"]["go"][0] == 0
    assert len(found["overlap"]) == 40
