"""TensorRT and SNPE opened by the agent, over real ssh; both are stand-ins that answer as their documentation says.

Nothing here was seen on a Jetson or an RB5: see tests/standins/jetson/README.md and tests/targets/standins.py.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from harness.audio.frontend import FrontEnd
from harness.boards.lab import load
from harness.boards.local import LocalBoard
from harness.boards.remote import RemoteBoard
from harness.errors import NotMeasured, ToolchainError, Unsupported
from harness.recipe import Recipe
from harness.targets.base import Artifact, Evidence, Placement, Sizes
from tests import jetson_board
from tests.loopback import Loopback, needs_sshd
from tests.targets import standins
from tests.targets.models import ds_cnn

pytestmark = [needs_sshd, pytest.mark.xdist_group("loopback")]
WINDOWS = np.random.default_rng(1).standard_normal((5, 49, 10)).astype(np.float32)


def made(file: Path, target: str, precision: str = "int8") -> Artifact:
    recipe = Recipe.model_validate({"target": target, "name": "this", "precision": precision})
    return Artifact("small", recipe, "key", file, Placement((), Evidence.HOST), Sizes(1), Evidence.HOST)


def expected(model: Path) -> np.ndarray:
    return LocalBoard().run(made(model, "host"), WINDOWS, print)


@contextmanager
def opened(loop: Loopback, folder: Path, python: Path, target: str, more: str = "") -> Iterator[RemoteBoard]:
    path = loop.lab(folder / "lab.toml", more)
    text = path.read_text().replace(f'python = "{sys.executable}"', f'python = "{python}"')
    path.write_text(text.replace('targets = ["host"]', f'targets = ["{target}"]'))
    found = load(path)
    board = found.board(target, f"small {target}/this")
    assert isinstance(board, RemoteBoard)
    try:
        yield board
    finally:
        found.release()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    folder.mkdir()
    return ds_cnn(folder / "model.onnx", channels=8, blocks=1)


@pytest.fixture
def jetson(loop: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    def make(**state: object) -> object:
        python = jetson_board.make(tmp_path, monkeypatch, **state)
        wrapper = tmp_path / "python.sh"
        wrapper.write_text(f'#!/bin/sh\nPATH={tmp_path / "standin" / "bin"}:$PATH exec {python} "$@"\n')
        wrapper.chmod(0o755)
        return opened(loop, tmp_path, wrapper, "jetson", "virtual = true")

    return make


def test_a_board_builds_its_engine_once_and_runs_it(jetson: Callable[..., object], model: Path, loop: Loopback) -> None:
    with jetson() as board:  # type: ignore[attr-defined]
        np.testing.assert_allclose(board.run(made(model, "jetson"), WINDOWS, print), expected(model), atol=1e-5)
        (engine,) = (loop.home / "artifacts").glob("*.10.3.0.30.engine")
        before = engine.stat().st_mtime_ns
        board.hold.drop()
        board.run(made(model, "jetson"), WINDOWS, print)
        assert engine.stat().st_mtime_ns == before
        assert board.evidence is Evidence.EMULATOR


def test_an_engine_that_was_built_elsewhere_is_refused(jetson: Callable[..., object], tmp_path: Path) -> None:
    (tmp_path / "model.engine").write_bytes(b"ftrt")
    with jetson() as board, pytest.raises(ToolchainError, match="built by another TensorRT or for another GPU"):  # type: ignore[attr-defined]
        board.run(made(tmp_path / "model.engine", "jetson"), WINDOWS, print)


def test_a_model_that_tensorrt_refuses_is_the_models_fault(jetson: Callable[..., object], model: Path) -> None:
    with jetson(refuses=["Relu"]) as board, pytest.raises(ToolchainError, match=r"TensorRT 10\.3\.0\.30 refuses it"):  # type: ignore[attr-defined]
        board.run(made(model, "jetson"), WINDOWS, print)


def test_its_memory_and_trtexecs_time_are_told(jetson: Callable[..., object], model: Path) -> None:
    with jetson() as board:  # type: ignore[attr-defined]
        memory = board.device_memory(made(model, "jetson"))
        own = board.own_time(made(model, "jetson"), WINDOWS[0])
    assert (memory.bytes, dict(memory.parts)) == (2 << 20, {"of it activations": 4096})
    assert memory.evidence is Evidence.EMULATOR
    assert (own.ms, own.n) == (0.240234, 11932)


def test_without_tensorrt_its_origin_is_named(loop: Loopback, tmp_path: Path, model: Path) -> None:
    with (
        opened(loop, tmp_path, Path(sys.executable), "jetson") as board,
        pytest.raises(Unsupported, match="nvidia-jetpack"),
    ):
        board.run(made(model, "jetson"), WINDOWS, print)


@pytest.fixture
def rb5(loop: Loopback, tmp_path: Path) -> Iterator[RemoteBoard]:
    """A board whose PATH has the stand-ins of SNPE's tools, in the folders that an SDK has."""
    home = tmp_path / "2.37.0.250724"
    standins.executable(home / "bin" / "snpe-net-run", standins.NET_RUN)
    standins.executable(home / "bin" / "snpe-throughput-net-run", standins.THROUGHPUT)
    wrapper = tmp_path / "python.sh"
    wrapper.write_text(f'#!/bin/sh\nPATH={home / "bin"}:$PATH exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    with opened(loop, tmp_path, wrapper, "rb5", "virtual = true") as board:
        yield board


@pytest.fixture
def dlc(model: Path) -> Path:
    """As the stand-in's converter and quantizer leave it, beside its ONNX."""
    file = model.with_name("model.dlc")
    file.write_bytes(b"INT8  DLC" + zlib.compress(model.read_bytes()))
    return file


def test_a_dlc_runs_on_the_dsp_in_few_processes(rb5: RemoteBoard, dlc: Path, model: Path) -> None:
    np.testing.assert_allclose(rb5.run(made(dlc, "rb5"), WINDOWS, print), expected(model), atol=1e-5)
    own = rb5.own_time(made(dlc, "rb5"), WINDOWS[0])
    assert own.ms == pytest.approx(1e3 / 1581.96)
    assert own.source.startswith("snpe-throughput-net-run")
    assert rb5.identity()["snpe"] == "2.37.0.250724", "outputs of another SDK are other outputs"


def test_a_float_dlc_runs_on_the_cpu(rb5: RemoteBoard, model: Path) -> None:
    file = model.with_name("float.dlc")
    file.write_bytes(b"FLOAT DLC" + model.read_bytes())
    np.testing.assert_allclose(rb5.run(made(file, "rb5", "fp32"), WINDOWS, print), expected(model), atol=1e-5)


def test_the_start_of_a_process_is_no_models_time(rb5: RemoteBoard, dlc: Path) -> None:
    front = FrontEnd(kind="mfcc")
    audio = np.zeros((2, front.samples), np.int16)
    own = made(dlc, "rb5")
    asked = (
        lambda: rb5.time(own, front, audio, 64),
        lambda: rb5.time_in_turns(own, own, WINDOWS, 64),
        lambda: rb5.rss(own, WINDOWS[0]),
    )
    for ask in asked:
        with pytest.raises(NotMeasured, match=r"starts a process of its own.*VOXGATE_RB5=ssh"):
            ask()
    with pytest.raises(NotMeasured, match="device memory of small on rb5/this"):
        rb5.device_memory(own)


def test_a_dlc_that_snpe_refuses_is_the_models_fault(rb5: RemoteBoard, dlc: Path) -> None:
    dlc.write_bytes(b"INT8  DLCjunk")
    with pytest.raises(ToolchainError, match=r"snpe-net-run ended with exit code 1: .*zlib"):
        rb5.run(made(dlc, "rb5"), WINDOWS, print)


def test_without_snpe_its_place_is_named(loop: Loopback, tmp_path: Path, dlc: Path) -> None:
    with (
        opened(loop, tmp_path, Path(sys.executable), "rb5") as board,
        pytest.raises(Unsupported, match="below /opt/snpe"),
    ):
        board.run(made(dlc, "rb5"), WINDOWS, print)
