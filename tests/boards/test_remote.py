"""A board behind a real OpenSSH server on loopback, and everything that can go wrong between here and there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from harness.agent.wire import unpack
from harness.audio.frontend import FrontEnd
from harness.boards import desk, hold, lab, remote
from harness.boards.lab import Lab
from harness.boards.local import LocalBoard
from harness.boards.remote import RemoteBoard
from harness.boards.ssh import Link
from harness.errors import InfraError, ToolchainError, Unsupported
from harness.targets.base import Artifact, Evidence, Features
from tests.boards.conftest import artifact
from tests.loopback import Loopback, needs_sshd

pytestmark = [pytest.mark.xdist_group("loopback"), needs_sshd]
RESTART = 'power = { cycle = ["true"] }'


@contextmanager
def opened(
    loop: Loopback, folder: Path, more: str = "", head: str = "", say: Callable[[str], None] = print
) -> Iterator[RemoteBoard]:
    found = lab.load(loop.lab(folder / "lab.toml", more, head), say=say)
    board = found.board("host", "small host/this")
    assert isinstance(board, RemoteBoard)
    try:
        yield board
    finally:
        found.release()


@pytest.fixture
def board(loop: Loopback, tmp_path: Path) -> Iterator[RemoteBoard]:
    with opened(loop, tmp_path) as board:
        yield board


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can wait for, and small parts, so that there is a middle to break off in."""
    monkeypatch.setattr(remote, "ITEM_S", 3.0)
    monkeypatch.setattr(remote, "WARM_S", 5.0)
    monkeypatch.setattr(remote, "WINDOWS", 5)
    monkeypatch.setattr(hold, "CONNECT_S", 4.0)


@pytest.fixture
def tiny(models: dict[str, Path]) -> Artifact:
    return artifact(models["float.onnx"])


@pytest.mark.parametrize("name", ["float.onnx", "float.tflite", "int8.tflite"])
def test_outputs_are_those_of_the_same_runtime_here(
    name: str, board: RemoteBoard, models: dict[str, Path], features: Features
) -> None:
    made = artifact(models[name])
    np.testing.assert_array_equal(board.run(made, features, print), LocalBoard().run(made, features, print))
    assert (board.name, board.evidence) == ("loop (host, ssh)", Evidence.BOARD)


def test_a_virtual_board_is_an_emulator(loop: Loopback, tmp_path: Path) -> None:
    with opened(loop, tmp_path, "virtual = true") as board:
        assert (board.name, board.evidence) == ("loop (host, ssh, virtual)", Evidence.EMULATOR)


def test_stages_are_timed_over_there(board: RemoteBoard, tiny: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "LEAST_S", 0.3)
    front = FrontEnd(kind="mfcc")
    audio = (np.random.default_rng(0).standard_normal((4, front.samples)) * 1000).astype(np.int16)
    taken = board.time(tiny, front, audio, 70)
    assert len(taken.marks) >= 70
    assert taken.marks[-1, 3] - taken.marks[0, 0] >= 0.25e9
    assert (np.diff(taken.marks, axis=1) > 0).all()
    assert (taken.marks[1:, 0] >= taken.marks[:-1, 3]).all()
    assert taken.vitals["seconds"] > 0.2
    assert taken.burst == 0


def test_a_sustained_load_is_judged_by_its_end(board: RemoteBoard, tiny: Artifact) -> None:
    front = FrontEnd(kind="mfcc")
    audio = np.zeros((2, front.samples), np.int16)
    taken = board.time(tiny, front, audio, 70, seconds=4.0)
    span = taken.marks[-1, 3] - taken.marks[0, 0]
    assert span >= 3.9e9
    assert 0 < taken.burst <= len(taken.marks) - 70
    assert abs((taken.marks[taken.burst, 0] - taken.marks[0, 0]) / span - 2 / 3) < 0.2


def test_turns_find_the_slower(
    board: RemoteBoard, models: dict[str, Path], features: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.targets.models import ds_cnn

    monkeypatch.setattr(remote, "LEAST_S", 0.3)
    wide = artifact(ds_cnn(tmp_path / "wide.onnx", channels=64, blocks=4))
    taken = board.time_in_turns(wide, artifact(models["float.onnx"]), features, 60)
    assert np.median(taken.samples_ms[:, 0] / taken.samples_ms[:, 1]) > 2
    assert len(taken.warmups) == 2


def test_features_are_those_of_the_same_front_end_here(board: RemoteBoard) -> None:
    front = FrontEnd()
    audio = (np.random.default_rng(0).standard_normal((3, front.samples)) * 1000).astype(np.int16)
    np.testing.assert_array_equal(board.features(front, audio), front.batch(audio))
    fewer = board.features(front.model_copy(update={"mel_bins": 32}), audio)
    assert fewer.shape == (3, front.frames, 32)


def test_memory_is_weighed_over_there(board: RemoteBoard, tiny: Artifact, features: Features) -> None:
    there, here = board.rss(tiny, features[0]), LocalBoard().rss(tiny, features[0])
    assert there == pytest.approx(here, rel=0.3)


def test_an_artifact_is_sent_once(board: RemoteBoard, tiny: Artifact, features: Features, loop: Loopback) -> None:
    said: list[str] = []
    board.say = said.append
    board.run(tiny, features[:2], print)
    board.hold.drop()
    board.run(tiny, features[:2], print)
    assert len([line for line in said if "sending" in line]) == 1
    (kept,) = (loop.home / "artifacts").iterdir()
    assert kept.read_bytes() == tiny.file.read_bytes()


def test_a_damaged_artifact_on_the_board_is_sent_again(
    board: RemoteBoard, tiny: Artifact, features: Features, loop: Loopback
) -> None:
    expected = board.run(tiny, features, print)
    (kept,) = (loop.home / "artifacts").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    board.hold.drop()
    np.testing.assert_array_equal(board.run(tiny, features, print), expected)


class Counted:
    """How many windows were asked for, in all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.windows = 0
        plain = Link.call

        def call(link: Link, module: str, function: str, timeout_s: float, **arguments: object) -> object:
            if "windows" in arguments and function == "run":
                self.windows += len(unpack(arguments["windows"]))  # type: ignore[arg-type]
            return plain(link, module, function, timeout_s, **arguments)

        monkeypatch.setattr(Link, "call", call)


def once(when: str, act: Callable[[], object]) -> Callable[[str], None]:
    """A progress line's reader that acts at the first line with these words."""
    done: list[str] = []

    def say(line: str) -> None:
        print(line)
        if when in line and not done:
            done.append(line)
            act()

    return say


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["agent killed", "connection cut", "server gone for a while"])
def test_what_was_finished_is_not_run_again(
    how: str, loop: Loopback, tmp_path: Path, tiny: Artifact, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act() -> None:
        if how == "agent killed":
            for agent in loop.agents():
                agent.kill()
        elif how == "connection cut":
            loop.cut()
        else:
            loop.stop()
            threading.Timer(2.0, loop.start).start()

    counted = Counted(monkeypatch)
    with opened(loop, tmp_path) as board:
        found = board.run(tiny, features, once("10 of 20 windows", act))
    np.testing.assert_array_equal(found, LocalBoard().run(tiny, features, print))
    assert counted.windows <= 25, "only the part that was under way is run again"
    assert [each["while"] for each in board.hold.recoveries] == ["running small host/this"]


@pytest.mark.usefixtures("quick")
def test_a_timing_that_was_interrupted_begins_anew(
    loop: Loopback, tmp_path: Path, tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "LEAST_S", 2.5)
    front = FrontEnd(kind="mfcc")
    with opened(loop, tmp_path) as board:
        board.run(tiny, np.zeros((1, 49, 10), np.float32), print)
        (agent,) = loop.agents()
        threading.Timer(1.5, agent.kill).start()
        taken = board.time(tiny, front, np.zeros((2, front.samples), np.int16), 64)
    assert taken.marks[-1, 3] - taken.marks[0, 0] >= 2.4e9
    assert len(board.hold.recoveries) == 1


@pytest.mark.usefixtures("quick")
def test_a_board_that_hangs_is_infra_with_the_board_the_moment_and_the_remedy(
    loop: Loopback, tmp_path: Path, tiny: Artifact, features: Features
) -> None:
    with opened(loop, tmp_path) as board:
        board.hold.entry = board.entry.model_copy(update={"boot_s": 1.0})
        with pytest.raises(InfraError) as caught:
            board.run(tiny, features, once("10 of 20 windows", loop.pause))
    text = str(caught.value)
    assert "board loop was lost while running small host/this" in text
    assert "gave no answer in 3 s" in text
    assert "did not come back" in text
    assert re.search(r"ssh -p \d+ \S+@127\.0\.0\.1, or give it power", text)
    assert "What was finished before is kept" in text
    assert str(loop.address.identity) not in text


@pytest.mark.usefixtures("quick")
def test_a_board_that_hangs_is_power_cycled(loop: Loopback, tmp_path: Path, tiny: Artifact, features: Features) -> None:
    class Switch:
        cycles = 0

        def on(self) -> None: ...

        def off(self) -> None: ...

        def cycle(self) -> None:
            self.cycles += 1
            loop.resume()
            loop.stop()
            loop.start()

    with opened(loop, tmp_path) as board:
        board.hold.power = switch = Switch()
        board.hold.entry = board.entry.model_copy(update={"boot_s": 2.0})
        found = board.run(tiny, features, once("10 of 20 windows", loop.pause))
    np.testing.assert_array_equal(found, LocalBoard().run(tiny, features, print))
    assert switch.cycles == 1
    assert board.hold.recoveries[0]["power_cycled"]


@pytest.mark.usefixtures("quick")
def test_a_board_lost_again_and_again_is_given_up(
    board: RemoteBoard, loop: Loopback, tiny: Artifact, features: Features
) -> None:
    def kill(line: str) -> None:
        for agent in loop.agents():
            agent.kill()

    with pytest.raises(InfraError, match=r"board loop was lost 4 times while running small host/this"):
        board.run(tiny, np.repeat(features, 4, axis=0), kill)


def test_data_damaged_on_the_way_are_sent_again(
    board: RemoteBoard, tiny: Artifact, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(monkeypatch, times=1)
    np.testing.assert_array_equal(board.run(tiny, features, print), LocalBoard().run(tiny, features, print))


def test_a_board_that_always_damages_data_is_infra(
    board: RemoteBoard, tiny: Artifact, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(monkeypatch, times=9)
    with pytest.raises(
        InfraError, match=r"board loop while running small host/this: what was written has sha256.*SD card"
    ):
        board.run(tiny, features, print)


def damage(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    plain, left = Link.ask, [times]

    def ask(link: Link, module: str, function: str, timeout_s: float, **arguments: object) -> object:
        if function == "append" and left[0] > 0:
            left[0] -= 1
            arguments["data"] = bytes(arguments["data"])[:-1] + b"?"  # type: ignore[arg-type]
        return plain(link, module, function, timeout_s, **arguments)

    monkeypatch.setattr(Link, "ask", ask)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB, mounted for one test."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(place)], capture_output=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip("a file system can be mounted by root only")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"\0" * 4096)


def test_a_full_disk_is_infra(
    small_disk: Path, loop: Loopback, tmp_path: Path, tiny: Artifact, features: Features
) -> None:
    with opened(loop, tmp_path) as board:
        full = board.entry.model_copy(update={"folder": str(small_disk / "voxgate")})
        board.hold.entry = board.entry = full
        board.run(tiny, features[:1], print)
        board.hold.loaded.clear()
        for kept in (small_disk / "voxgate" / "artifacts").iterdir():
            kept.unlink()
        fill(small_disk / "filler")
        with pytest.raises(
            InfraError, match=r"while running small host/this: the disk is full: 0 MiB.*Free some space"
        ):
            board.run(tiny, features, print)
        (small_disk / "filler").unlink()
        assert len(board.run(tiny, features, print)) == len(features), "and goes on once there is room"


def test_a_stolen_board_is_noticed_before_the_next_figure(
    board: RemoteBoard,
    loop: Loopback,
    tmp_path: Path,
    tiny: Artifact,
    features: Features,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board.run(tiny, features, print)
    monkeypatch.setenv("VOXGATE_OWNER", "eve@elsewhere")
    thief = lab.load(tmp_path / "lab.toml")
    assert "board loop: held by" in refusal(lambda: desk.unlock(thief, thief.boards[0], force=False))
    assert desk.unlock(thief, thief.boards[0], force=True)
    with opened(loop, tmp_path) as theirs:
        theirs.run(tiny, features[:1], print)
        for measure in (
            lambda: board.run(tiny, features, print),
            lambda: board.time_in_turns(tiny, tiny, features, 10),
            lambda: board.rss(tiny, features[0]),
        ):
            with pytest.raises(InfraError, match=r"board loop while .* no longer ours, it was taken by eve@elsewhere"):
                measure()


@pytest.mark.usefixtures("quick")
def test_a_board_stolen_during_a_timing_ends_it(
    board: RemoteBoard, tmp_path: Path, tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    thief = lab.load(tmp_path / "lab.toml")
    threading.Timer(3.0, lambda: desk.unlock(thief, thief.boards[0], force=True)).start()
    began = time.monotonic()
    with pytest.raises(InfraError, match="its lock is gone: somebody unlocked it by force"):
        board.time(tiny, FrontEnd(kind="mfcc"), np.zeros((2, 16000), np.int16), 64, seconds=60)
    assert time.monotonic() - began < 40


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InfraError) as caught:
        call()
    return str(caught.value)


def test_a_board_in_use_is_refused_with_its_owners_name(
    board: RemoteBoard,
    loop: Loopback,
    tmp_path: Path,
    tiny: Artifact,
    features: Features,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VOXGATE_OWNER", "ann@first")
    board.run(tiny, features[:1], print)
    monkeypatch.setenv("VOXGATE_OWNER", "ben@second")
    with opened(loop, tmp_path) as second:
        text = refusal(lambda: second.run(tiny, features, print))
    assert "board loop is held by ann@first" in text
    assert "voxgate lab unlock loop --force" in text


def test_the_second_job_waits_where_it_may(
    board: RemoteBoard, loop: Loopback, tmp_path: Path, tiny: Artifact, features: Features
) -> None:
    board.run(tiny, features[:1], print)
    threading.Timer(3.0, board.hold.release).start()
    said: list[str] = []
    began = time.monotonic()
    with opened(loop, tmp_path, head="wait_s = 60", say=said.append) as second:
        assert len(second.run(tiny, features, print)) == len(features)
    assert 2 < time.monotonic() - began < 50
    assert any("waiting for board loop: held by" in line for line in said)


def test_the_lock_of_a_killed_job_ends_with_its_heartbeat(
    loop: Loopback, tmp_path: Path, tiny: Artifact, features: Features
) -> None:
    command = [sys.executable, "-c", KILLED, str(loop.lab(tmp_path / "lab.toml"))]
    leaving = {**os.environ, "TMPDIR": str(tmp_path)}  # what it cannot remove goes with the test's folder
    job = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=leaving)
    assert job.stdout is not None
    assert job.stdout.readline() == "held\n"
    job.kill()
    job.wait()
    with opened(loop, tmp_path) as second:
        assert "held by" in refusal(lambda: second.run(tiny, features, print))
    time.sleep(2.0)
    with opened(loop, tmp_path) as third:
        assert len(third.run(tiny, features, print)) == len(features)


KILLED = """
import sys, time
from pathlib import Path
from harness.boards import lab
found = lab.load(Path(sys.argv[1]))
hold = found.hold(found.boards[0])
hold.lease_s = 2.0
hold.ready("waiting to be killed")
time.sleep(3)  # longer than the lease: the heartbeat keeps it
print("held", flush=True)
time.sleep(60)
"""


def test_ones_own_reservation_lets_ones_own_runs_through(
    loop: Loopback, tmp_path: Path, tiny: Artifact, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXGATE_OWNER", "ann@first")
    found = lab.load(loop.lab(tmp_path / "lab.toml"))
    desk.lock(found, found.boards[0], 600, "looking at its thermals")
    with opened(loop, tmp_path) as own:
        own.run(tiny, features[:1], print)
    monkeypatch.setenv("VOXGATE_OWNER", "ben@second")
    with opened(loop, tmp_path) as other:
        assert re.search(
            r"reserved by ann@first .*looking at its thermals", refusal(lambda: other.run(tiny, features, print))
        )


def test_an_agent_left_at_work_by_a_lost_connection_is_ended(
    board: RemoteBoard, loop: Loopback, tiny: Artifact, features: Features
) -> None:
    board.run(tiny, features[:1], print)
    (left,) = loop.agents()
    left.suspend()  # a dropped link does not tell the board: its agent lives on
    board.hold.drop()
    board.run(tiny, features[:1], print)
    assert left not in [agent for agent in loop.agents() if agent.status() != "zombie"]


def test_a_runtime_that_is_not_there_is_unsupported_with_its_remedy(
    loop: Loopback, tmp_path: Path, tiny: Artifact, features: Features
) -> None:
    hook = 'runtimes = { ".onnx" = "nowhere:open_model" }'
    with opened(loop, tmp_path, hook) as board, pytest.raises(Unsupported, match=r"nowhere:open_model is not there"):
        board.run(tiny, features, print)


def test_an_artifact_of_no_known_runtime_names_the_line_to_write(
    board: RemoteBoard, tmp_path: Path, features: Features
) -> None:
    (tmp_path / "model.plan").write_bytes(b"engine")
    with pytest.raises(Unsupported, match=r'runtimes = \{ "\.plan" = "module:function" \}'):
        board.run(artifact(tmp_path / "model.plan"), features, print)


def test_no_cpu_passes_for_an_accelerator(board: RemoteBoard, models: dict[str, Path], features: Features) -> None:
    """ONNX Runtime would take the file of a target whose accelerator never sees it."""
    with pytest.raises(Unsupported, match=r"known for \.onnx files of htp"):
        board.run(artifact(models["float.onnx"], "htp"), features, print)
    with pytest.raises(Unsupported, match="tensorrt is not installed"):
        board.run(artifact(models["float.onnx"], "jetson"), features, print)
    with pytest.raises(ToolchainError, match="no part of it is compiled for the Edge TPU"):
        board.run(artifact(models["int8.tflite"], "edgetpu"), features, print)


def test_a_damaged_model_is_told_from_a_lost_board(board: RemoteBoard, tmp_path: Path, features: Features) -> None:
    (tmp_path / "damaged.onnx").write_bytes(b"no model at all" * 40)
    with pytest.raises(ToolchainError, match=r"damaged\.onnx of small host/this does not load"):
        board.run(artifact(tmp_path / "damaged.onnx"), features, print)


def test_another_host_key_is_refused_at_once(
    loop: Loopback, tmp_path: Path, tiny: Artifact, features: Features
) -> None:
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIJ3ZKqVnNUxpKbJpQbqLzKJ3J8rVb8n7Xh3q0m2bYwQk"
    strange = tmp_path / "known_hosts"
    strange.write_text(f"[127.0.0.1]:{loop.port} ssh-ed25519 {key}\n")
    began = time.monotonic()
    with opened(loop, tmp_path) as board:
        board.hold.address = board.hold.address.__class__(
            loop.address.user, loop.address.host, loop.port, loop.address.identity, strange
        )
        text = refusal(lambda: board.run(tiny, features, print))
    assert "Host key verification failed" in text
    assert time.monotonic() - began < 10


def test_a_board_without_that_python_says_so(
    loop: Loopback, tmp_path: Path, tiny: Artifact, features: Features
) -> None:
    with opened(loop, tmp_path) as board:
        board.hold.entry = board.entry.model_copy(update={"python": "python3.99"})
        assert "python3.99" in refusal(lambda: board.run(tiny, features, print))


def test_a_board_without_numpy_says_so(loop: Loopback, tmp_path: Path, tiny: Artifact, features: Features) -> None:
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with opened(loop, tmp_path) as board:
        board.hold.entry = board.entry.model_copy(update={"python": str(bare)})
        with pytest.raises(Unsupported, match=r"No module named 'numpy'; install it: python3 -m pip install numpy"):
            board.run(tiny, features, print)


def test_fewer_answers_than_windows_are_never_taken_for_all(
    board: RemoteBoard, tiny: Artifact, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Link.call

    def call(link: Link, module: str, function: str, timeout_s: float, **arguments: object) -> object:
        parts = plain(link, module, function, timeout_s, **arguments)
        return iter(list(parts)[:-1]) if function == "run" else parts

    monkeypatch.setattr(Link, "call", call)
    with pytest.raises(InfraError, match="it answered 0 of 20 windows"):
        board.run(tiny, features, print)


def test_features_that_are_not_finite_are_an_error(board: RemoteBoard, tiny: Artifact, features: Features) -> None:
    broken = features.copy()
    broken[3, 0, 0] = np.nan
    with pytest.raises(ToolchainError, match="NaN or infinity"):
        board.run(tiny, broken, print)


STAND_IN = '''
import numpy as np
import onnxruntime


class RKNNLite:
    """A stand-in for rknn-toolkit-lite2: same calls, and an ONNX file in place of one compiled for the NPU."""

    NPU_CORE_0 = 1

    def load_rknn(self, path):
        self.data = open(path, "rb").read()
        return -1 if self.data.startswith(b"no") else 0

    def init_runtime(self, core_mask):
        self.session = onnxruntime.InferenceSession(self.data)
        return 0

    def inference(self, inputs, data_format):
        assert data_format == (["nchw"] if inputs[0].ndim == 4 else None)
        return self.session.run(None, {self.session.get_inputs()[0].name: inputs[0]})
'''


@pytest.fixture
def with_stand_in(loop: Loopback, tmp_path: Path) -> Iterator[RemoteBoard]:
    """A board whose Python finds a stand-in of Rockchip's runtime."""
    package = tmp_path / "site" / "rknnlite"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "api.py").write_text(STAND_IN)
    python = tmp_path / "python-with-stand-in"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "site"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    text = f'[[board]]\nid = "pi"\n{loop.entry().partition("id =")[2].partition(chr(10))[2]}'
    path = tmp_path / "lab.toml"
    path.write_text(text.replace('["host"]', '["rk3588"]').replace(sys.executable, str(python)))
    found: Lab = lab.load(path)
    board = found.board("rk3588", "small rk3588/w8a8")
    assert isinstance(board, RemoteBoard)
    yield board
    found.release()


def test_rockchips_runtime_is_called_as_its_manual_says(
    with_stand_in: RemoteBoard, models: dict[str, Path], features: Features, tmp_path: Path
) -> None:
    """By a stand-in: no NPU is here."""
    (tmp_path / "model.onnx").write_bytes(models["float.onnx"].read_bytes())
    (tmp_path / "model.rknn").write_bytes(models["float.onnx"].read_bytes())
    found = with_stand_in.run(artifact(tmp_path / "model.rknn", "rk3588"), features, print)
    expected = LocalBoard().run(artifact(models["float.onnx"]), features, print)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    (tmp_path / "model.rknn").write_bytes(b"no such chip")
    with pytest.raises(ToolchainError, match="compiled for this chip"):
        with_stand_in.run(artifact(tmp_path / "model.rknn", "rk3588"), features, print)
