"""Boards for the tests that boot machines. One at a time is started; two are up only where a test needs two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.boards.virtual.board import VirtualBoard


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-faults", action="store_true", help="every fault at every moment, not each at one")


@pytest.fixture(scope="session")
def board_a(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualBoard]:
    """A board that is up. Who disturbs it puts it right again."""
    with VirtualBoard(tmp_path_factory.mktemp("boards") / "virtual-a", print) as board:
        yield board
