"""A Coral device, driven through a stand-in for tflite-runtime (tests/targets/coral.py): none is on this machine."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness.boards import coral
from harness.boards.local import LocalBoard
from harness.errors import InfraError, ToolchainError, Unsupported
from harness.quantize import ptq
from harness.recipe import Recipe
from harness.targets.base import Artifact, Evidence, Features, Node, Placement, Sizes
from tests.targets.coral import beside, runtime, stand_for_compiled, usb
from tests.targets.models import ds_cnn
from tests.targets.tflite_models import tflite_of


@pytest.fixture(scope="module")
def features() -> Features:
    return np.random.default_rng(1).standard_normal((20, 49, 10)).astype(np.float32)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runtime(tmp_path_factory.mktemp("runtime"))


def artifact(file: Path, precision: str = "int8") -> Artifact:
    nodes = (Node("n", "CONV_2D", "int8", "edgetpu", False),)
    recipe = Recipe.model_validate({"target": "edgetpu", "name": "this", "precision": precision})
    return Artifact("small", recipe, "key", file, Placement(nodes, Evidence.STATIC), Sizes(1), Evidence.BOARD)


@pytest.fixture
def built(tmp_path: Path, features: Features) -> Artifact:
    model = tflite_of(ds_cnn(tmp_path / "m.onnx", channels=16, blocks=2), tmp_path / "float.tflite")
    recipe = Recipe(target="edgetpu", name="int8", precision="int8")
    ptq.quantize_tflite(model, tmp_path / "model.tflite", features, recipe, dense_per_channel=False)
    stand_for_compiled(tmp_path / "model.tflite")
    return artifact(tmp_path / "model.tflite")


@pytest.fixture(autouse=True)
def attached(tmp_path: Path, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coral, "USB", usb(tmp_path / "usb"))
    monkeypatch.setattr(coral, "PCIE", tmp_path / "apex_0")
    monkeypatch.setattr(coral, "library", lambda: "libedgetpu.so.1")
    monkeypatch.setenv(coral.PYTHON, str(python))


def test_a_device_that_can_be_driven_is_the_board() -> None:
    assert coral.lacks() == ""
    board = coral.board()
    assert (board.name, board.evidence) == ("Coral Edge TPU", Evidence.BOARD)


@pytest.mark.parametrize("ids", [("1a6e", "089a"), ("18d1", "9302")], ids=":".join)
def test_it_shows_on_usb_before_and_after_its_firmware_is_loaded(
    ids: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coral, "USB", usb(tmp_path / "one", *ids))
    assert coral.device() == f"USB {':'.join(ids)}"


def test_it_shows_on_pcie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coral, "USB", usb(tmp_path / "other", "1d6b", "0002"))
    assert coral.device() == ""
    (tmp_path / "apex_0").touch()
    assert coral.device() == str(tmp_path / "apex_0")


def test_what_lacks_is_named_and_the_host_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(coral.PYTHON, str(tmp_path / "gone"))
    assert "gone, which cannot be run" in coral.lacks()
    monkeypatch.delenv(coral.PYTHON)
    assert coral.lacks() == "VOXGATE_EDGETPU_PYTHON names no Python with tflite-runtime"
    monkeypatch.setattr(coral, "library", lambda: None)
    assert coral.lacks() == "libedgetpu.so.1 is not installed"
    monkeypatch.setattr(coral, "USB", tmp_path / "none")
    assert coral.lacks().startswith("no Coral device is on this machine's USB")
    board = coral.board()
    assert (board.name, board.evidence) == ("LiteRT on this CPU", Evidence.HOST)


def test_it_answers_as_the_cpu_does_and_says_how_long_it_took(built: Artifact, features: Features) -> None:
    said: list[str] = []
    logits = coral.CoralBoard().run(built, features, said.append)
    np.testing.assert_allclose(logits, LocalBoard().run(built, features, print), atol=1e-4)
    assert logits.dtype == np.float32
    assert "ms an inference, median of 20" in said[-1]


def test_single_inferences_come_from_one_loaded_model(built: Artifact, features: Features) -> None:
    infer = coral.CoralBoard().open(built)
    expected = LocalBoard().run(built, features, print)
    for i in (3, 0, 7):
        np.testing.assert_allclose(infer(features[i]), expected[i], atol=1e-4)
    served = infer.__self__  # type: ignore[attr-defined]
    process, folder = psutil.Process(served.process.pid), served.folder
    del infer, served
    gc.collect()
    deadline = time.monotonic() + 10
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not process.is_running()
    assert not folder.exists()


def test_memory_is_that_of_loading_and_running(built: Artifact, features: Features) -> None:
    assert 0 < coral.CoralBoard().rss(built, features[0]) < 1 << 30


def test_a_float_artifact_runs_on_the_boards_cpu(built: Artifact, features: Features) -> None:
    plain = artifact(built.file.with_name("float.tflite"), "fp32")
    logits = coral.CoralBoard().run(plain, features, print)
    np.testing.assert_allclose(logits, LocalBoard().run(plain, features, print), atol=1e-4)


def test_without_the_compiler_nothing_runs_on_it(built: Artifact, features: Features) -> None:
    built.file.with_name("model_edgetpu.tflite").unlink()
    for call in (
        lambda: coral.CoralBoard().run(built, features, print),
        lambda: coral.CoralBoard().open(built),
        lambda: coral.CoralBoard().rss(built, features[0]),
    ):
        with pytest.raises(Unsupported, match="small edgetpu/this: a Coral Edge TPU runs what"):
            call()


def test_an_operator_newer_than_the_runtime_is_a_clear_error(built: Artifact, features: Features) -> None:
    beside(built.file.with_name("model_edgetpu.tflite"), "newer")
    remedy = r"Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'.* newer than this tflite-runtime knows"
    with pytest.raises(ToolchainError, match=f"small edgetpu/this: coral_worker refused: ValueError: {remedy}"):
        coral.CoralBoard().run(built, features, print)
    with pytest.raises(ToolchainError, match=remedy):
        coral.CoralBoard().open(built)


def test_a_device_that_is_busy_is_named(built: Artifact, features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coral, "library", lambda: "libbroken.so")
    with pytest.raises(ToolchainError, match=r"Failed to load delegate from libbroken.* Is the device plugged in"):
        coral.CoralBoard().run(built, features, print)


def test_a_board_that_is_lost_is_the_labs_fault(built: Artifact, features: Features) -> None:
    infer = coral.CoralBoard().open(built)
    infer(features[0])
    beside(built.file.with_name("model_edgetpu.tflite"), "lost")
    with pytest.raises(InfraError, match="small edgetpu/this: the Coral Edge TPU answers no more"):
        infer(features[0])
    with pytest.raises(InfraError, match="answers no more"):
        infer(features[0])


def test_a_compiled_model_without_libedgetpu_is_named(
    built: Artifact, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coral, "library", lambda: None)
    with pytest.raises(ToolchainError, match=r"unresolved custom op: edgetpu-custom-op.* libedgetpu took no part"):
        coral.CoralBoard().run(built, features, print)


def test_features_must_be_finite(built: Artifact, features: Features) -> None:
    with pytest.raises(ToolchainError, match="1 of 20 feature windows hold NaN"):
        coral.CoralBoard().run(built, np.where(np.arange(20)[:, None, None] == 7, np.nan, features), print)
