"""Two jobs, one board: the second waits or is told who has it, and a killed owner's lock ends with its heartbeat."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.boards.remote import RemoteBoard
from harness.boards.virtual.board import VirtualBoard
from harness.errors import InfraError
from tests.lab import bench
from tests.lab.bench import Bench

CHECKOUT = Path(__file__).parents[2]
LEASE_S = 8
HOLDER = """
import sys, time
from pathlib import Path
from tests.lab import bench
with bench.opened(Path(sys.argv[1]), sys.argv[2]) as board:
    board.hold.ready("holding it")
    print("held", flush=True)
    time.sleep(600)
"""

pytestmark = pytest.mark.usefixtures("brief")


def hold(board: RemoteBoard, owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_OWNER", owner)
    board.hold.ready("holding it")


def test_the_second_is_told_who_has_it(
    made: Bench, board_a: VirtualBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = bench.write_lab(tmp_path / "lab.toml", [board_a])
    with bench.opened(lab, board_a.name) as first, bench.opened(lab, board_a.name) as second:
        hold(first, "anna", monkeypatch)
        monkeypatch.setenv("VOXGATE_OWNER", "ben")
        with pytest.raises(InfraError, match=f"board {board_a.name} is held by anna"):
            made.judge(second)
        assert made.judge(first).outcome.value == "PASS"


def test_the_second_waits(made: Bench, board_a: VirtualBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    waits = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("waiting"):
            waits.set()

    def release_then() -> None:
        assert waits.wait(300)
        first.hold.release()

    lab = bench.write_lab(tmp_path / "lab.toml", [board_a], "wait_s = 120")
    with bench.opened(lab, board_a.name) as first, bench.opened(lab, board_a.name, say=say) as second:
        hold(first, "anna", monkeypatch)
        monkeypatch.setenv("VOXGATE_OWNER", "ben")
        threading.Thread(target=release_then, daemon=True).start()
        assert made.judge(second).outcome.value == "PASS"
    assert any(f"waiting for board {board_a.name}" in line and "anna" in line for line in said)


def test_a_killed_owners_lock_is_taken_over(
    made: Bench, board_a: VirtualBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First it is refused, since the owner may be well; when its heartbeat has ended it is not."""
    lab = bench.write_lab(tmp_path / "lab.toml", [board_a], f"lease_s = {LEASE_S}")
    environment = {**os.environ, "VOXGATE_OWNER": "carl"}
    command = [sys.executable, "-c", HOLDER, str(lab), board_a.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT, env=environment) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == b"held\n"
        finally:
            owner.send_signal(signal.SIGKILL)
    monkeypatch.setenv("VOXGATE_OWNER", "dora")
    started = time.monotonic()
    with bench.opened(lab, board_a.name) as refused, pytest.raises(InfraError, match="held by carl"):
        made.judge(refused)
    patient = bench.write_lab(tmp_path / "patient.toml", [board_a], f"lease_s = {LEASE_S}\nwait_s = 120")
    with bench.opened(patient, board_a.name) as board:
        assert made.judge(board).outcome.value == "PASS"
        assert "dora" in board_a.run("cat /var/tmp/voxgate/lock")
    assert time.monotonic() - started > LEASE_S / 2
