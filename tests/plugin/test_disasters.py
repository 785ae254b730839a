"""What happens to machines: full disks, toolchains that crash, two runs at once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.targets import toolchain
from tests.house import RECIPE, RK3588, Gate, GateRun, edit

CRASHES = "#!/bin/sh\nkill -SEGV $$\n"
NO_ROOM = 1 << 20  # bytes: less than the calibration clips take


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={NO_ROOM}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here (it takes root): {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_fills_up_is_named(gate: Gate, template: Path, small_disk: Path) -> None:
    run = gate(template, "-m", "host", "-k", "drop", work=small_disk)
    assert run.code == 1, run.output
    assert f"the disk is full: {small_disk / 'cache' / 'renditions'}" in run.output
    assert "Free some space, or name another work folder with --work DIR" in run.output
    assert "Traceback" not in run.output
    assert {row["outcome"] for row in run.rows} == {"INFRA"}
    assert not list((small_disk / "cache" / "renditions").glob("*/"))


def test_a_disk_full_from_the_start_is_named(gate: Gate, template: Path, small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filling").write_bytes(bytes(2 * NO_ROOM))
    run = gate(template, "-m", "host", "-k", "drop", work=small_disk)
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.output
    assert "the disk is full" in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_results_that_find_no_room_fail_the_run_at_its_end(
    gate: Gate, template: Path, small_disk: Path, workers: tuple[str, ...]
) -> None:
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filling").write_bytes(bytes(2 * NO_ROOM))
    run = gate(template, "-m", "host", "-k", "drop", "--alluredir", str(small_disk / "results"), *workers)
    assert run.code == 1, run.output
    assert {row["outcome"] for row in run.rows} == {"PASS"}  # judged all the same
    assert "records of this run are lost, so it fails: the disk is full: " in run.output
    assert "INTERNALERROR" not in run.output
    assert "Traceback" not in run.output


def test_a_toolchain_that_crashes_is_infrastructure(
    gate: Gate, house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "toolchains"))
    python = toolchain.place("rk3588") / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(CRASHES)
    python.chmod(0o755)
    (toolchain.place("rk3588") / toolchain.MARKER).write_text("{}")
    edit(house / "models" / "small" / "model.toml", RECIPE, RECIPE + RK3588)
    environment = {"VOXGATE_TOOLCHAINS": str(tmp_path / "toolchains"), "TMPDIR": str(tmp_path)}
    run = gate(house, "-m", "host or rk3588", "-k", "drop", environment=environment)
    assert run.code == 1, run.output
    assert "small rk3588/w8a8: rknn_worker crashed with SIGSEGV" in run.output
    assert f"To run it again by hand: {python}" in run.output
    assert "Traceback" not in run.output
    assert {(row["target"], row["outcome"]) for row in run.rows} == {("host", "PASS"), ("rk3588", "INFRA")}


def test_two_runs_share_one_cache_and_make_everything_once(gate: Gate, template: Path, tmp_path: Path) -> None:
    def judge(number: int) -> GateRun:
        work = tmp_path / f"work-{number}"
        work.mkdir()
        (tmp_path / "cache").mkdir(exist_ok=True)
        (work / "cache").symlink_to(tmp_path / "cache", target_is_directory=True)
        return gate(template, "-m", "host", work=work)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(judge, (1, 2))
    assert (first.code, second.code) == (0, 0), first.output + second.output
    assert sorted(map(str, first.rows)) == sorted(map(str, second.rows))
    made: dict[str, int] = {}
    for run in (first, second):
        for kind, (found, asked) in json.loads((run.folder / "run.json").read_text())["cache"].items():
            made[kind] = made.get(kind, 0) + asked - found
    assert made == {kind: len(list((tmp_path / "cache" / kind).glob("[!.]*/"))) for kind in made}
