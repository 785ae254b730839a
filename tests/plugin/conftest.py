"""One small house and one healthy run of it, for all that is said of the plugin."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.house import Gate, GateRun, accept_golden, make_house, new_gate


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    return new_gate(tmp_path_factory.getbasetemp(), "plugin-runs")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Path:
    """A healthy house with its golden outputs. Not to be changed: copies are made of it."""
    house = make_house(tmp_path_factory.mktemp("template") / "house")
    accept_golden(house, gate.cache, gate.work())
    return house


@pytest.fixture
def house(tmp_path: Path, template: Path) -> Path:
    """A copy of the healthy house, for one test to spoil."""
    return Path(shutil.copytree(template, tmp_path / "house"))


@pytest.fixture(scope="session")
def healthy(gate: Gate, template: Path) -> GateRun:
    """The healthy house judged on the host."""
    work = gate.work()
    return gate(template, "-m", "host", f"--junitxml={work / 'junit.xml'}", work=work)
