"""ONNX for TensorRT: int8 whole or refused by name, fp16 with its overflows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from harness.errors import ToolchainError
from harness.quantize import ptq, trt
from harness.recipe import Recipe
from tests.targets.models import Graph, ds_cnn, gru, recurrent, transposed

WINDOWS = np.random.default_rng(1).standard_normal((16, 49, 10)).astype(np.float32)


def recipe(precision: str = "int8", **settings: object) -> Recipe:
    return Recipe.model_validate({"target": "jetson", "name": "this", "precision": precision, **settings})


def prepared(write: Callable[[Path], Path], folder: Path, precision: str = "int8") -> onnx.GraphProto:
    trt.prepare(write(folder / "source.onnx"), folder, WINDOWS, recipe(precision))
    return onnx.load(folder / "model.onnx").graph


def outputs(path: Path, features: np.ndarray = WINDOWS) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"features": window[None, None]})[0] for window in features])


def test_int8_is_symmetric_per_channel_and_has_no_quantized_bias(tmp_path: Path) -> None:
    graph = prepared(ds_cnn, tmp_path)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    scales = []
    for node in (node for node in graph.node if node.op_type in (trt.QUANTIZE, trt.DEQUANTIZE)):
        zero = values[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
        scales.append(values[node.input[1]].size)
    assert scales.count(64) == 9, "nine convolutions of 64 channels"
    assert {values[node.input[2]].dtype for node in graph.node if node.op_type == "Conv"} == {np.dtype(np.float32)}
    boundary = [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)]
    assert boundary == [TensorProto.FLOAT, TensorProto.FLOAT]
    exact, near = outputs(tmp_path / "source.onnx"), outputs(tmp_path / "model.onnx")
    assert 0 < np.abs(near - exact).max() < 0.2 * exact.std()


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=st.integers(0, 4), channels=st.sampled_from([4, 8, 16]))
def test_every_compute_node_costs_one_q_and_two_dq(tmp_path: Path, blocks: int, channels: int) -> None:
    graph = prepared(lambda path: ds_cnn(path, channels=channels, blocks=blocks), tmp_path)
    nodes = 2 * blocks + 2
    assert [trt._count(graph, op) for op in (trt.QUANTIZE, trt.DEQUANTIZE)] == [nodes, 2 * nodes]
    assert trt.expected(onnx.load(tmp_path / "source.onnx").graph) == (nodes, 2 * nodes)


def test_success_without_a_single_qdq_is_an_error_that_names_the_operators(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"reported success, yet it holds no Q/DQ at all.*1 GRU.*streaming step"):
        prepared(recurrent, tmp_path)


def test_a_transposed_convolution_is_quantized_too(tmp_path: Path) -> None:
    prepared(transposed, tmp_path)
    assert trt.expected(onnx.load(tmp_path / "source.onnx").graph) == (3, 6)


def healthy(folder: Path) -> tuple[onnx.GraphProto, onnx.ModelProto]:
    prepared(ds_cnn, folder)
    plain, quantized = onnx.load(folder / "source.onnx").graph, onnx.load(folder / "model.onnx")
    assert trt.faults(plain, quantized.graph) == []
    return plain, quantized


def node_of(graph: onnx.GraphProto, name: str) -> onnx.NodeProto:
    return next(node for node in graph.node if node.name == name)


def test_a_convolution_fed_in_float_is_named(tmp_path: Path) -> None:
    plain, quantized = healthy(tmp_path)
    node_of(quantized.graph, "point1.conv").input[0] = "depth1"
    assert "Conv point1.conv reads depth1 in float" in trt.faults(plain, quantized.graph)


def test_a_quantized_bias_and_qdq_before_an_activation_are_named(tmp_path: Path) -> None:
    source = ds_cnn(tmp_path / "source.onnx")
    options = {**trt.OPTIONS, "QuantizeBias": True, "OpTypesToExcludeOutputQuantization": []}
    ptq.quantize_onnx(source, tmp_path / "bad.onnx", WINDOWS, recipe(), ops=trt.COMPUTE, options=options)
    found = trt.faults(onnx.load(source).graph, onnx.load(tmp_path / "bad.onnx").graph)
    assert "Conv stem.conv has a quantized bias" in found
    assert "Q/DQ stands between Conv stem.conv and Relu stem" in found
    assert any("Q and" in said and "where the float graph asks for 10 and 20" in said for said in found)


def test_a_model_that_comes_quantized_is_left_as_it_is(tmp_path: Path) -> None:
    prepared(ds_cnn, tmp_path)
    (tmp_path / "again").mkdir()
    trt.prepare(tmp_path / "model.onnx", tmp_path / "again", WINDOWS[:0], recipe())
    np.testing.assert_array_equal(outputs(tmp_path / "again" / "model.onnx"), outputs(tmp_path / "model.onnx"))


def test_layers_that_stay_in_float_have_their_qdq_left_out(tmp_path: Path) -> None:
    source = ds_cnn(tmp_path / "source.onnx")
    asked = recipe(keep_float=["point1.conv"])
    trt.prepare(source, tmp_path, WINDOWS, asked)
    plain, quantized = onnx.load(source).graph, onnx.load(tmp_path / "model.onnx").graph
    assert trt.faults(plain, quantized, ["point1.conv"]) == []
    constants = {tensor.name for tensor in quantized.initializer}
    assert node_of(quantized, "point1.conv").input[1] in constants  # its weights are read as they are
    assert "Conv point1.conv reads" in " ".join(trt.faults(plain, quantized))  # not asked for, it is a fault
    assert "Conv stem.conv is quantized, though keep_float names it" in trt.faults(plain, quantized, ["stem.conv"])


def test_int8_without_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="no calibration windows"):
        trt.prepare(ds_cnn(tmp_path / "source.onnx"), tmp_path, WINDOWS[:0], recipe())


@pytest.mark.parametrize("precision", ["int8", "fp16", "fp32"])
@pytest.mark.parametrize("write", [ds_cnn, gru, transposed])
def test_what_tensorrt_is_given_is_valid_onnx_in_order(
    write: Callable[[Path], Path], precision: str, tmp_path: Path
) -> None:
    prepared(write, tmp_path, precision)
    for path in tmp_path.glob("*.onnx"):
        onnx.checker.check_model(path, full_check=True)


def test_fp16_keeps_float32_at_both_ends_and_halves_the_weights(tmp_path: Path) -> None:
    graph = prepared(gru, tmp_path, "fp16")
    kinds = {tensor.data_type for tensor in graph.initializer if tensor.name.endswith((".w", ".b", ".r"))}
    assert kinds == {TensorProto.FLOAT16}
    boundary = [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)]
    assert boundary == [TensorProto.FLOAT, TensorProto.FLOAT]
    exact, near = outputs(tmp_path / "source.onnx"), outputs(tmp_path / "numerics.onnx")
    assert 0 < np.abs(near - exact).max() < 0.02 * exact.std()


def test_numerics_of_fp16_are_values_that_fp16_holds(tmp_path: Path) -> None:
    prepared(ds_cnn, tmp_path, "fp16")
    logits = outputs(tmp_path / "numerics.onnx")
    np.testing.assert_array_equal(logits, logits.astype(np.float16).astype(np.float32))


def overflowing(path: Path) -> Path:
    """Its convolution reaches 1e5, more than fp16 holds, and its last layer brings that back to ordinary logits."""
    graph = Graph()
    graph.weights.append(numpy_helper.from_array(np.full((4, 1, 1, 1), 1e4, np.float32), "big.w"))
    graph.node("Conv", ["features", "big.w"], "big")
    graph.node("GlobalMaxPool", ["big"], "pool")
    graph.node("Flatten", ["pool"], "flat")
    graph.weights.append(numpy_helper.from_array(np.full((12, 4), 1e-4, np.float32), "small.w"))
    graph.node("Gemm", ["flat", "small.w"], "logits", transB=1)
    return graph.save(path)


def test_an_overflow_of_fp16_is_seen_where_onnxruntime_alone_hides_it(tmp_path: Path) -> None:
    prepared(overflowing, tmp_path, "fp16")
    loud = np.full((1, 49, 10), 10, np.float32)
    assert np.isfinite(outputs(tmp_path / "model.onnx", loud)).all(), "widened to float32 behind one's back"
    assert not np.isfinite(outputs(tmp_path / "numerics.onnx", loud)).any()


def test_fp32_is_the_model_itself_and_every_node_has_a_name(tmp_path: Path) -> None:
    source = ds_cnn(tmp_path / "source.onnx")
    model = onnx.load(source)
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, source)
    trt.prepare(source, tmp_path, WINDOWS[:0], recipe("fp32"))
    names = [node.name for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert len(set(names)) == len(names)
    assert "Conv:stem.conv" in names
    np.testing.assert_array_equal(outputs(tmp_path / "model.onnx"), outputs(source))


def test_a_constant_node_counts_as_a_constant() -> None:
    value = helper.make_tensor("value", TensorProto.FLOAT, [2, 2], [1.0] * 4)
    nodes = [
        helper.make_node("Constant", [], ["w"], value=value),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("MatMul", ["x", "y"], ["z"]),
    ]
    graph = helper.make_graph(nodes, "constants", [], [])
    assert trt.expected(graph) == (2, 3), "x and y are activations, x quantized once"
