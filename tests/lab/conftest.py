"""Two boards for the tests that boot machines, and what is measured on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.boards import labfile, remote
from harness.boards.virtual.board import VirtualBoard
from tests.lab import bench
from tests.lab.bench import Bench


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-faults", action="store_true", help="every fault at every moment, not the few of CI")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("boards")


@pytest.fixture(scope="session")
def board_a(folder: Path) -> Iterator[VirtualBoard]:
    """A board that is up. Who disturbs it puts it right again."""
    with VirtualBoard(folder / "virtual-a", print) as board:
        yield board


@pytest.fixture(scope="session")
def board_b(folder: Path) -> Iterator[VirtualBoard]:
    with VirtualBoard(folder / "virtual-b", print) as board:
        yield board


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return bench.make_bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short timings, whose clock counts instructions and so cannot fall; and limits that a test can wait for."""
    monkeypatch.setattr(remote, "LEAST_S", 0.4)
    monkeypatch.setattr(remote, "ITEM_S", 18.0)
    monkeypatch.setattr(remote, "WARM_S", 30.0)
    monkeypatch.setattr(labfile, "EMULATED", 1.5)
