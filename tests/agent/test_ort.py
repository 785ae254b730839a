"""onnxruntime with bound buffers says what it says by name; shapes that are not fixed are run by name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from harness.agent.ort import _runner, open_onnx

SHIPPED = Path(__file__).parents[2] / "models" / "commands" / "model.onnx"


def doubled(path: Path, shape: list[int | str], kind: int = TensorProto.FLOAT) -> Path:
    """``y = x + x``."""
    feed, result = (helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubled", [feed], [result])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_bound_buffers_give_the_same_bits_and_answers_of_ones_own() -> None:
    infer = open_onnx(SHIPPED)
    session = onnxruntime.InferenceSession(str(SHIPPED), providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    windows = np.random.default_rng(0).normal(size=(5, 49, 40)).astype(np.float32)
    kept = [infer(window) for window in windows]
    for window, logits in zip(windows, kept, strict=True):
        assert np.array_equal(session.run(None, {feed.name: window.reshape(feed.shape)})[0].reshape(-1), logits)
    assert len({logits.tobytes() for logits in kept}) == 5


def test_a_version_without_inner_parts_is_called_as_documented() -> None:
    called: list[object] = []
    session, bound = SimpleNamespace(run_with_iobinding=called.append), SimpleNamespace()
    _runner(session, bound)()
    assert called == [bound]


@pytest.mark.parametrize("shape", [[1, 2, 3], ["n", 2, 3]])
def test_a_window_of_another_size_is_refused(shape: list[int | str], tmp_path: Path) -> None:
    infer = open_onnx(doubled(tmp_path / "model.onnx", shape))
    with pytest.raises((ValueError, TypeError)):
        infer(np.ones(3, np.float32))  # would fit if it were repeated


def test_other_types_are_run_by_name(tmp_path: Path) -> None:
    infer = open_onnx(doubled(tmp_path / "model.onnx", [1, 4], TensorProto.DOUBLE))
    assert infer(np.arange(4.0)).tolist() == [0, 2, 4, 6]


def test_a_graph_that_gives_another_shape_than_it_declares_is_run_by_name(tmp_path: Path) -> None:
    feed, result = (helper.make_tensor_value_info(*each) for each in (("x", 1, [1, 4]), ("y", 1, [4])))
    nodes = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Reshape", ["h", "shape"], ["y"])]
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 4])
    graph = helper.make_graph(nodes, "flat", [feed], [result], [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    assert open_onnx(tmp_path / "m.onnx")(np.arange(4, dtype=np.float32)).tolist() == [0, 1, 2, 3]
