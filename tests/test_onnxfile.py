from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from harness.errors import CandidateError
from harness.onnxfile import as_inputs, inspect
from tests.targets.models import Shape, ds_cnn


def test_a_sound_model_tells_its_shape(tmp_path: Path) -> None:
    model = inspect(ds_cnn(tmp_path / "model.onnx", blocks=1))
    assert (model.opset, model.input_name, model.output_name) == (17, "features", "logits")
    assert model.input_shape == (1, 1, 49, 10)
    assert model.labels == 12
    assert {"Conv", "Gemm"} <= set(model.ops)


@pytest.mark.parametrize("content", [b"", b"not a model" * 50, None], ids=["empty", "garbage", "missing"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CandidateError, match=r"model\.onnx.*Export it again"):
        inspect(path)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.99])
def test_a_truncated_model_is_refused(tmp_path: Path, part: float) -> None:
    path = ds_cnn(tmp_path / "model.onnx", blocks=1)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(CandidateError):
        inspect(path)


@pytest.mark.parametrize("shape", [("n", 1, 49, 10), (1, 1, "t", 10), (1, 49, 10), (2, 1, 49, 10)], ids=str)
def test_dynamic_and_odd_inputs_are_refused(tmp_path: Path, shape: Shape) -> None:
    with pytest.raises(CandidateError, match=r"dynamic|batch 1"):
        inspect(ds_cnn(tmp_path / "model.onnx", blocks=1, shape=shape))


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    path = ds_cnn(tmp_path / "model.onnx", blocks=1)
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CandidateError, match="lies in another file"):
        inspect(path)


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    path = ds_cnn(tmp_path / "model.onnx", blocks=1)
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, 8]))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CandidateError, match=r"2 inputs \(features, state\)"):
        inspect(path)


def test_a_name_cannot_forge_a_line_of_a_log(tmp_path: Path) -> None:
    path = ds_cnn(tmp_path / "model.onnx", blocks=1)
    model = onnx.load(path)
    model.graph.node[0].name = "stem\n1 Conv INT8 NPU"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CandidateError, match="control characters"):
        inspect(path)


def test_features_take_the_shape_of_the_input(tmp_path: Path) -> None:
    model = inspect(ds_cnn(tmp_path / "model.onnx", blocks=1))
    features = np.arange(2 * 49 * 10, dtype=np.float32).reshape(2, 49, 10)
    assert as_inputs(features, model).shape == (2, 1, 49, 10)
    assert np.array_equal(as_inputs(features, model)[:, 0], features)
    with pytest.raises(CandidateError, match="40 bins"):
        as_inputs(np.zeros((2, 49, 40), np.float32), model)
    features[1, 3, 3] = np.nan
    with pytest.raises(CandidateError, match=r"1 of 2 feature windows.*window 1"):
        as_inputs(features, model)
