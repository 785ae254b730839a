from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.audio import pool
from harness.boards.local import LocalBoard
from harness.boards.runtimes import open_model
from harness.errors import NotMeasured, ToolchainError
from harness.targets.base import Board, Features
from tests.boards.conftest import artifact
from tests.targets.models import ds_cnn


@pytest.mark.parametrize("name", ["float.onnx", "float.tflite", "int8.tflite"])
def test_outputs_come_in_order_as_float_logits(name: str, models: dict[str, Path], features: Features) -> None:
    board, made = LocalBoard(), artifact(models[name])
    logits = board.run(made, features, print)
    assert logits.shape == (20, 12)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(board.run(made, features[::-1], print), logits[::-1])
    np.testing.assert_array_equal(board.open(made)(features[7]), logits[7])


@pytest.mark.parametrize("name", ["float.onnx", "int8.tflite"])
def test_helpers_give_the_same_logits(
    name: str, models: dict[str, Path], features: Features, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alone = LocalBoard().run(artifact(models[name]), features, print)
    np.save(tmp_path / "features.npy", features)
    monkeypatch.setattr(pool, "ENOUGH", 1)
    monkeypatch.setattr(pool, "SIZE", 3)
    monkeypatch.setattr(pool, "processors", lambda: 2)
    pool._idle.clear()
    for windows in (features, np.load(tmp_path / "features.npy", mmap_mode="r")):
        np.testing.assert_array_equal(LocalBoard().run(artifact(models[name]), windows, print), alone)


def test_int8_outputs_are_dequantized(models: dict[str, Path], features: Features) -> None:
    exact = LocalBoard().run(artifact(models["float.tflite"]), features, print)
    near = LocalBoard().run(artifact(models["int8.tflite"]), features, print)
    assert 0 < np.abs(near - exact).max() < 0.1
    assert len(np.unique(near)) <= 256


def test_inputs_beyond_the_range_saturate(models: dict[str, Path], features: Features) -> None:
    infer = open_model(models["int8.tflite"])
    np.testing.assert_array_equal(infer(np.full_like(features[0], 1e3)), infer(np.full_like(features[0], 1e30)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_an_error(value: float, models: dict[str, Path], features: Features) -> None:
    broken = features.copy()
    broken[[3, 5], 0, 0] = value
    with pytest.raises(ToolchainError, match=r"2 of 20 feature windows.*window 3"):
        LocalBoard().run(artifact(models["int8.tflite"]), broken, print)


def test_no_window_gives_no_output(models: dict[str, Path], features: Features) -> None:
    assert len(LocalBoard().run(artifact(models["float.onnx"]), features[:0], print)) == 0


@pytest.mark.parametrize("name", ["model.rknn", "gone.onnx", "damaged.onnx", "damaged.tflite"])
def test_what_cannot_be_run_says_so(name: str, tmp_path: Path) -> None:
    if name != "gone.onnx":
        (tmp_path / name).write_bytes(b"no model at all" * 40)
    with pytest.raises(ToolchainError, match=name.replace(".", r"\.")):
        open_model(tmp_path / name)


@pytest.mark.parametrize("name", ["float.onnx", "int8.tflite"])
def test_resident_memory_is_that_of_the_model(name: str, models: dict[str, Path], features: Features) -> None:
    try:
        size = LocalBoard().rss(artifact(models[name]), features[0])
    except NotMeasured as reason:
        pytest.skip(str(reason))
    assert 0 < size < 64 << 20


def test_resident_memory_grows_with_the_model(tmp_path: Path, features: Features) -> None:
    """A wider model must cost more: 512 channels hold some 2 MiB of weights."""
    sizes = []
    for channels in (16, 512):
        model = ds_cnn(tmp_path / f"{channels}.onnx", channels=channels, blocks=2)
        try:
            sizes.append(LocalBoard().rss(artifact(model), features[0]))
        except NotMeasured as reason:
            pytest.skip(str(reason))
    assert sizes[1] > sizes[0] + (2 << 20)


def test_resident_memory_of_a_damaged_model_is_an_error(tmp_path: Path, features: Features) -> None:
    (tmp_path / "damaged.onnx").write_bytes(b"no model" * 40)
    with pytest.raises(ToolchainError, match="process of its own"):
        LocalBoard().rss(artifact(tmp_path / "damaged.onnx"), features[0])


def test_a_board_without_a_clock_does_not_measure(features: Features, tmp_path: Path) -> None:
    with pytest.raises(NotMeasured):
        Board.open(LocalBoard(), artifact(tmp_path / "any.onnx"))
