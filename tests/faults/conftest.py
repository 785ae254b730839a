"""Whole gate runs over spoiled houses, beside the healthy one they were copied from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.house import Gate, GateRun, accept_golden, make_house, new_gate


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    return new_gate(tmp_path_factory.getbasetemp(), "fault-runs")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Path:
    """A healthy house with its golden outputs. Not to be changed: copies are made of it."""
    house = make_house(tmp_path_factory.mktemp("template") / "house")
    accept_golden(house, gate.cache, gate.work())
    return house


@pytest.fixture
def house(tmp_path: Path, template: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "house"))


@pytest.fixture
def unjudged(house: Path) -> Path:
    """A copy without golden outputs, as of a candidate that was never accepted."""
    shutil.rmtree(house / "golden")
    return house


@pytest.fixture(scope="session")
def healthy(gate: Gate, template: Path) -> GateRun:
    return gate(template, "-m", "host")
