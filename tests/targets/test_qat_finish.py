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


def save_step(path: Path, scale: float, zero: int) -> Path:
    """after = features + before, score = 2 * after: all in int8, the state read within the graph too."""
    constants = {
        "scale": np.float32(scale),
        "zero": np.int8(zero),
        "two": np.full(SHAPE, 127, np.int8),
        "of two": np.float32(2 / 127),
        "none": np.int8(0),
    }
    node = helper.make_node
    nodes = [node("DequantizeLinear", ["two", "of two", "none"], ["twice"], name="weights")]
    for name in ("features", "before"):
        nodes += [
            node("QuantizeLinear", [name, "scale", "zero"], [f"{name} q"]),
            node("DequantizeLinear", [f"{name} q", "scale", "zero"], [f"{name} dq"]),
        ]
    nodes += [
        node("Add", ["features dq", "before dq"], ["sum"]),
        node("QuantizeLinear", ["sum", "scale", "zero"], ["sum q"]),
        node("DequantizeLinear", ["sum q", "scale", "zero"], ["after"], name="state"),
        node("Mul", ["after", "twice"], ["score"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "step",
        [value(name, TensorProto.FLOAT, SHAPE) for name in ("features", "before")],
        [value(name, TensorProto.FLOAT, SHAPE) for name in ("score", "after")],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
        value_info=[value("sum q", TensorProto.INT8, SHAPE)],
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
    values=st.lists(st.floats(-100, 100, width=32), min_size=8, max_size=8),
    unsigned=st.booleans(),
)
def test_it_stays_the_same_function(
    tmp_path_factory: pytest.TempPathFactory, scale: float, zero: int, values: list[float], unsigned: bool
) -> None:
    path = save_step(tmp_path_factory.mktemp("step") / "qat.onnx", scale, zero)
    feeds = np.array(values, np.float32).reshape(2, *SHAPE)
    before = says(path, *feeds)
    finish_onnx(path, unsigned=unsigned)
    for one, other in zip(before, says(path, *feeds), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("unsigned", [True, False])
def test_an_output_is_nobodys_input_and_activations_alone_become_unsigned(tmp_path: Path, unsigned: bool) -> None:
    path = save_step(tmp_path / "qat.onnx", 0.1, -5)
    finish_onnx(path, unsigned=unsigned)
    graph = onnx.load(path).graph
    read = {name for node in graph.node for name in node.input}
    assert not read & {value.name for value in graph.output}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    zeros = {node.output[0]: constants[node.input[2]] for node in graph.node if node.op_type == "DequantizeLinear"}
    assert zeros.pop("twice").dtype == np.int8  # weights
    assert {(zero.dtype, int(zero)) for zero in zeros.values()} == {
        (np.dtype(np.uint8), 123) if unsigned else (np.dtype(np.int8), -5)
    }
    assert set(constants) <= read


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
