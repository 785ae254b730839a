"""How many moments a gate is killed at: a few in every run, twenty on request."""

from __future__ import annotations

import pytest

FEW = 4


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, metavar="N", help=f"kill a gate at N random moments (default: {FEW})")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "moment" in metafunc.fixturenames:
        count = metafunc.config.getoption("--kills", default=None) or FEW  # unknown when all of tests/ is run
        metafunc.parametrize("moment", [f"{number + 1}-of-{count}" for number in range(count)])
