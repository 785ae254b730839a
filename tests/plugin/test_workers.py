"""Under pytest-xdist, all tests of one board go to one worker."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.plugin.workers import scope
from tests.house import RECIPE, Gate, edit

GROUPS = {"small-host-int8": "pi-1", "small-host-int8-wide": "pi-2", "other-rk3588-w8a8": "rk3588"}


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("suites/test_latency.py::test_inference[small-host-int8]", "pi-1"),
        ("suites/test_accuracy.py::test_drop[small-host-int8-accent=de]", "pi-1"),
        ("suites/test_accuracy.py::test_drop[small-host-int8-wide-accent=de]", "pi-2"),
        ("suites/test_latency.py::test_inference[other-rk3588-w8a8]@rk3588", "rk3588"),
        ("suites/test_golden.py::test_golden[small]", "suites/test_golden.py::test_golden[small]"),
        ("theirs.py::test_small-host-int8", "theirs.py::test_small-host-int8"),
        (
            "suites/test_latency.py::test_inference[small-host-int8x]",
            "suites/test_latency.py::test_inference[small-host-int8x]",
        ),
    ],
)
def test_a_test_belongs_to_the_board_of_its_build(nodeid: str, expected: str) -> None:
    assert scope(nodeid, GROUPS) == expected


def test_one_board_is_used_by_one_worker(gate: Gate, house: Path, tmp_path: Path) -> None:
    """What pytest-xdist itself lost with pytest 9.2: seen by who ran each test."""
    second = RECIPE.replace('name = "int8"', 'name = "second"')
    edit(house / "models" / "small" / "model.toml", RECIPE, RECIPE + second)
    lab = tmp_path / "lab.toml"
    lab.write_text(
        '[[board]]\nid = "pi-1"\ntargets = ["host"]\naddress = { user = "root", host = "127.0.0.1", port = 1 }\n'
    )
    run = gate(house, "-m", "host", "-k", "fallback or (footprint and file)", "-n", "2", "-v", f"--lab={lab}")
    assert run.code == 0, run.output
    workers = re.findall(r"^\[(gw\d)\] .* PASSED suites/", run.output, re.MULTILINE)
    assert len(workers) == 4
    assert len(set(workers)) == 1
