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


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """A scheduler and two workers."""
    found = Dask(tmp_path_factory.mktemp("dask"))
    for name in ("a", "b"):
        found.add(name)
    yield found
    found.end(*list(found.processes))


def contents(cache: Path) -> dict[str, bytes]:
    """Files of finished entries: others may be filling theirs in the cache that the tests share."""
    files = (path for kind in VALUES for path in cache.joinpath(kind).glob("[!.]*/*") if path.is_file())
    return {path.relative_to(cache).as_posix(): path.read_bytes() for path in files}


def tasks(run: GateRun) -> dict[str, dict[str, int]]:
    """How many each worker did, by stage."""
    found: dict[str, dict[str, int]] = json.loads((run.folder / "cluster.json").read_text())["tasks"]
    return found


def judged(gate: Gate, house: Path, dask: Dask, work: Path) -> GateRun:
    return gate(house, "-m", "host", "--scheduler", dask.ready(), work=work)


def test_verdicts_are_those_of_one_machine(
    gate: Gate, template: Path, healthy: GateRun, dask: Dask, tmp_path: Path
) -> None:
    run = judged(gate, template, dask, tmp_path)
    assert run.code == 0, run.output
    assert run.rows == healthy.rows
    made = contents(run.work / "cache")
    assert len(made) > len(VALUES)
    assert made.items() <= contents(gate.cache).items()
    assert "2 workers (a, b) of tcp://127.0.0.1:" in run.output
    assert "latency, memory and energy are measured here" in run.output
    done = tasks(run)
    assert set(done) == {"a", "b"}
    assert {stage for stages in done.values() for stage in stages} == {"render", "build", "run"}
    assert sum(stages.get("render", 0) for stages in done.values()) == RENDERED


def test_a_worker_killed_midway_changes_nothing(
    gate: Gate, template: Path, healthy: GateRun, dask: Dask, tmp_path: Path
) -> None:
    dask.add("doomed", doomed=True)
    run = judged(gate, template, dask, tmp_path)
    assert dask.processes["doomed"].wait(timeout=10) == -signal.SIGKILL
    dask.end("doomed")
    assert run.code == 0, run.output
    assert run.rows == healthy.rows
    assert "3 workers (a, b, doomed)" in run.output
    assert contents(run.work / "cache").items() <= contents(gate.cache).items()
    done = tasks(run)
    assert set(done) == {"a", "b"}
    assert sum(stages.get("render", 0) for stages in done.values()) == RENDERED


def test_a_worker_of_another_voxgate_is_refused(gate: Gate, template: Path, dask: Dask, tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "harness", tmp_path / "other" / "harness")
    edit(tmp_path / "other" / "harness" / "__init__.py", '__version__ = "', '__version__ = "9')
    dask.add("other", checkout=tmp_path / "other")
    run = judged(gate, template, dask, tmp_path / "work")
    dask.end("other")
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
