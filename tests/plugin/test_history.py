"""Every judging run is in the history, stopped ones as far as they came; the command prints and plots it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import cli
from harness.history import NAME, History
from tests.house import CHECKOUT, Gate, GateRun

pytestmark = pytest.mark.xdist_group("plugin")


def test_a_run_is_kept_whole(healthy: GateRun) -> None:
    points = History(healthy.work / NAME).points("small", 9)
    assert sorted(str(point.row.as_json()) for point in points) == sorted(map(str, healthy.rows))
    assert {point.run for point in points} == {healthy.folder.name}
    assert {point.exitstatus for point in points} == {0}
    assert all(point.artifact for point in points if point.row.build == "host/int8")


def test_runs_of_several_work_folders_and_workers_share_a_named_file(
    gate: Gate, template: Path, tmp_path: Path
) -> None:
    store = tmp_path / "ours.sqlite"
    runs = [gate(template, "-m", "host", "-k", "placement", f"--history={store}", *more) for more in ((), ("-n", "2"))]
    assert [run.code for run in runs] == [0, 0]
    points = History(store).points("small", 9)
    assert {point.run for point in points} == {run.folder.name for run in runs}
    assert not any((run.work / NAME).exists() for run in runs)


def test_a_killed_run_keeps_what_it_judged(gate: Gate, template: Path) -> None:
    work = gate.work()
    command = [sys.executable, "-m", "pytest", "--candidates", str(template), "--work", str(work), "-m", "host"]
    process = subprocess.Popen(
        [*command, "-p", "no:cacheprovider"],
        cwd=CHECKOUT,
        env=gate.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and not History(work / NAME).candidates() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    points = History(work / NAME).points("small", 9)
    assert points
    assert {point.exitstatus for point in points} == {None}
    run = gate(template, "-m", "host", work=work)
    assert run.code == 0, run.output
    assert len({point.run for point in History(work / NAME).points("small", 9)}) == 2


def test_a_history_that_cannot_be_written_fails_the_run_and_says_so(gate: Gate, template: Path, tmp_path: Path) -> None:
    store = tmp_path / "history.sqlite"
    store.write_text("no database" * 100)
    run = gate(template, "-m", "host", "-k", "placement", f"--history={store}")
    assert run.code == 1
    assert "records of this run are lost" in run.output
    assert "Name another file with --history FILE" in run.output
    assert "MAY SHIP" in run.output or "PARTLY JUDGED" in run.output


def test_the_command_prints_and_plots(healthy: GateRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["history", "small", "--work", str(healthy.work)]) == 0
    told = capsys.readouterr().out
    assert healthy.folder.name in told
    assert any(line.split()[:3] == ["host/int8", "accuracy", "overall"] for line in told.splitlines())
    assert "nothing drifts toward its limit" in told
    page = healthy.work / "history" / "small.html"
    assert f"plots: {page}" in told
    assert "data:image/png;base64," in page.read_text()


def test_an_unknown_candidate_names_the_nearest(healthy: GateRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["history", "smal", "--work", str(healthy.work)]) == 2
    assert "did you mean 'small'" in capsys.readouterr().err
