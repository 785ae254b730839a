"""Whole runs with --lab: this machine as a board behind a real OpenSSH server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import Gate, edit
from tests.loopback import Loopback, needs_sshd, serving

pytestmark = [pytest.mark.xdist_group("loopback"), needs_sshd]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    with serving(tmp_path_factory.mktemp("loopback") / "sshd") as board:
        yield board


@pytest.fixture
def timed(house: Path) -> Path:
    """A house with budgets that only time decides, wide enough for a busy machine."""
    edit(house / "models" / "small" / "model.toml", "file_kib = 128", WIDE)
    return house


WIDE = "file_kib = 128\nrss_mib = 64\nlatency_ms = { p50 = 900.0 }\nend_to_end_ms = { p50 = 900.0 }\nslowdown = 900.0"


def test_the_figures_are_the_boards(gate: Gate, timed: Path, board: Loopback, tmp_path: Path) -> None:
    lab = board.lab(tmp_path / "lab.toml")
    run = gate(timed, "-m", "host", f"--lab={lab}", "--inconclusive=skip", "--rounds=64", "--require-board", "-rs")
    assert run.code == 0, run.output
    measured = {row["gate"] for row in run.rows if row["evidence"] == "board"}
    assert measured >= {"accuracy", "flips", "sqnr", "latency"}, measured
    assert {row["source"] for row in run.rows if row["gate"] == "latency"} == {"loop (host, ssh)"}
    assert {row["outcome"] for row in run.rows if row["gate"] == "latency"} <= {"PASS", "INCONCLUSIVE"}
    assert str(board.address.identity) not in "".join(path.read_text() for path in run.folder.rglob("*.json"))
