"""A gate whose stages are done by the workers of a scheduler: the same verdicts, also where one is killed midway."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dask_loopback import Dask
from tests.house import CHECKOUT, Gate, GateRun, edit

USAGE = pytest.ExitCode.USAGE_ERROR
RENDERED = 12  # parts of at most 50 clips: of the test clips twice, of the calibration clips twice
VALUES = ("features", "outputs", "renditions")  # kinds of entries that hold figures alone


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    folder = tmp_path / "dask"
    folder.mkdir()
    found = Dask(folder)
    yield found
    found.stop()


def contents(cache: Path) -> dict[str, bytes]:
    files = (path for kind in VALUES for path in cache.joinpath(kind).glob("*/*") if path.is_file())
    return {path.relative_to(cache).as_posix(): path.read_bytes() for path in files}


def test_verdicts_are_those_of_one_machine(gate: Gate, template: Path, healthy: GateRun, dask: Dask) -> None:
    dask.add("a")
    dask.add("b")
    run = gate(template, "-m", "host", "--scheduler", dask.ready(), work=dask.folder / "work")
    assert run.code == 0, run.output
    assert run.rows == healthy.rows
    made = contents(run.work / "cache")
    assert len(made) > len(VALUES)
    assert made.items() <= contents(gate.cache).items()
    assert "2 workers (a, b) of tcp://127.0.0.1:" in run.output
    assert "latency, memory and energy are measured here" in run.output
    done = json.loads((run.folder / "cluster.json").read_text())["tasks"]
    assert set(done) == {"a", "b"}
    assert {stage for stages in done.values() for stage in stages} == {"render", "build", "run"}
    assert sum(stages.get("render", 0) for stages in done.values()) == RENDERED


def test_a_worker_killed_midway_changes_nothing(gate: Gate, template: Path, healthy: GateRun, dask: Dask) -> None:
    dask.add("lasting")
    dask.add("doomed", doomed=True)
    run = gate(template, "-m", "host", "--scheduler", dask.ready(), work=dask.folder / "work")
    assert dask.processes["doomed"].wait(timeout=10) == -signal.SIGKILL
    assert run.code == 0, run.output
    assert run.rows == healthy.rows
    assert "2 workers (doomed, lasting)" in run.output
    assert contents(run.work / "cache").items() <= contents(gate.cache).items()
    done = json.loads((run.folder / "cluster.json").read_text())["tasks"]
    assert sum(done.get("doomed", {}).values()) <= 1
    assert sum(stages.get("render", 0) for stages in done.values()) == RENDERED


def test_a_worker_of_another_voxgate_is_refused(gate: Gate, template: Path, dask: Dask) -> None:
    shutil.copytree(CHECKOUT / "harness", dask.folder / "other" / "harness")
    edit(dask.folder / "other" / "harness" / "__init__.py", '__version__ = "', '__version__ = "9')
    dask.add("other", checkout=dask.folder / "other")
    run = gate(template, "-m", "host", "--scheduler", dask.ready(), work=dask.folder / "work")
    assert run.code == USAGE
    assert "is not of this machine's make" in run.output
    assert "it has voxgate 9" in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--scheduler", "board.local"], "is no address of a Dask scheduler: tcp://HOST:8786"),
        (["-o", "voxgate_scheduler=tcp://127.0.0.1:1", "-n", "2"], "judges in one process: drop -n"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(gate: Gate, template: Path, more: list[str], told: str) -> None:
    run = gate(template, "-m", "host", *more)
    assert run.code == USAGE
    assert told in run.output
