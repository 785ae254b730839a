"""What is made of a step's Q/DQ after its export: the same function, in the form that the targets read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from harness.errors import NotMeasured
from harness.recipe import Recipe
from harness.targets.base import Artifact, Evidence, Placement, Sizes
from harness.targets.state_scales import state_scales
from harness.targets.workers.qat_finish import finish_onnx

Floats = npt.NDArray[np.float32]
STATES = {"before": "after"}
SHAPE = [1, 4]


def save_step(path: Path, scale: float, zero: int, least: int = -128) -> Path:
    """after = features + before, score = relu(2 * after @ weights), all in int8; the state is read within too.

    ``least`` is the zero point behind the Relu.
    """
    constants = {
        "scale": np.float32(scale),
        "zero": np.int8(zero),
        "least": np.int8(least),
        "two": np.full(SHAPE, 127, np.int8),
        "weights": np.array([[3, -5, 7, 11]], np.int8),
        "of two": np.float32(2 / 127),
        "none": np.int8(0),
    }
    node = helper.make_node

    def rounded(name: str, zero: str, back: str) -> list[onnx.NodeProto]:
        there = node("QuantizeLinear", [name, "scale", zero], [f"{name} q"])
        return [there, node("DequantizeLinear", [f"{name} q", "scale", zero], [back], name=back)]

    nodes = [node("DequantizeLinear", [name, "of two", "none"], [f"{name} dq"]) for name in ("two", "weights")]
    nodes += [*rounded("features", "zero", "features dq"), *rounded("before", "zero", "before dq")]
    nodes += [node("Add", ["features dq", "before dq"], ["sum"]), *rounded("sum", "zero", "after")]
    nodes += [node("Mul", ["after", "two dq"], ["twice"]), *rounded("twice", "zero", "twice dq")]
    nodes += [node("Gemm", ["twice dq", "weights dq"], ["dense"], transB=1), node("Relu", ["dense"], ["clipped"])]
    nodes += rounded("clipped", "least", "score")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "step",
        [value(name, TensorProto.FLOAT, SHAPE) for name in ("features", "before")],
        [value("score", TensorProto.FLOAT, [1, 1]), value("after", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
        value_info=[value("sum q", TensorProto.INT8, SHAPE), value("weights dq", TensorProto.FLOAT, SHAPE)],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def says(path: Path, features: Floats, before: Floats) -> list[Floats]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return list(session.run(["score", "after"], {"features": features, "before": before}))


@settings(max_examples=25, deadline=None)
@given(
    scale=st.floats(1e-3, 1.0),
    zero=st.integers(-128, 127),
    least=st.sampled_from([-128, 0, 100]),
    values=st.lists(st.floats(-100, 100, width=32), min_size=8, max_size=8),
    unsigned=st.booleans(),
)
def test_it_stays_the_same_function(
    tmp_path_factory: pytest.TempPathFactory,
    scale: float,
    zero: int,
    least: int,
    values: list[float],
    unsigned: bool,
) -> None:
    path = save_step(tmp_path_factory.mktemp("step") / "qat.onnx", scale, zero, least)
    feeds = np.array(values, np.float32).reshape(2, *SHAPE)
    before = says(path, *feeds)
    finish_onnx(path, unsigned=unsigned)
    for one, other in zip(before, says(path, *feeds), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("unsigned", [True, False])
def test_an_output_is_nobodys_input_and_weights_alone_stay_signed(tmp_path: Path, unsigned: bool) -> None:
    path = save_step(tmp_path / "qat.onnx", 0.1, -5)
    finish_onnx(path, unsigned=unsigned)
    graph = onnx.load(path).graph
    read = {name for node in graph.node for name in node.input}
    assert not read & {value.name for value in graph.output}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    zeros = {node.output[0]: constants[node.input[2]] for node in graph.node if node.op_type == "DequantizeLinear"}
    assert zeros.pop("weights dq").dtype == np.int8
    assert {zero.dtype for zero in zeros.values()} == {np.dtype(np.uint8 if unsigned else np.int8)}
    assert int(zeros["after"]) == (123 if unsigned else -5)
    assert set(constants) <= read


@pytest.mark.parametrize(("least", "unsigned", "stays"), [(-128, True, False), (0, True, True), (-128, False, True)])
def test_a_relu_goes_where_rounding_clips_in_its_place(tmp_path: Path, least: int, unsigned: bool, stays: bool) -> None:
    path = save_step(tmp_path / "qat.onnx", 0.1, -5, least)
    finish_onnx(path, unsigned=unsigned)
    assert ("Relu" in {node.op_type for node in onnx.load(path).graph.node}) == stays


def test_a_state_is_still_read_as_it_is_written(tmp_path: Path) -> None:
    path = save_step(tmp_path / "qat.onnx", 0.1, -5)
    finish_onnx(path, unsigned=True)
    recipe = Recipe(target="host", name="qat", precision="int8", method="qat")
    parts = Placement((), Evidence.HOST), Sizes(1)
    (state,) = state_scales(Artifact("ear", recipe, "key", path, *parts, Evidence.HOST, states=STATES))
    assert state.agree
    assert state.read == (pytest.approx(0.1), 123)
    with pytest.raises(NotMeasured):
        state_scales(Artifact("ear", recipe, "key", path, *parts, Evidence.HOST))
