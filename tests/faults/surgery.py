"""Faults put into a healthy ONNX model: the same file to a reader, another one to a quantizer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import numpy_helper

WEIGHTED = (
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.FULLY_CONNECTED,
)
Weights = dict[str, npt.NDArray[np.float32]]


def imbalance(source: Path, path: Path, *, k: float, seed: int, only: int | None = None) -> Path:
    """The same float function with every convolution's channels scaled by s in [1/k, k], log-uniform.

    ``only`` names one convolution, by its place, to be scaled alone.

    What follows divides by s again: relu(s x) = s relu(x) for s > 0, and a mean over frames is linear. A chain of
    Conv, Relu, ReduceMean and Gemm is expected, as the shipped commands model is one.
    """
    model = onnx.load(source)
    random = np.random.default_rng(seed)
    weights = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer}
    chain = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    for place, (before, after) in enumerate(pairwise(chain)):
        channels = len(weights[before.input[2]])
        if only not in (None, place):
            continue
        scale = (k ** random.uniform(-1, 1, channels)).astype(np.float32)
        _multiply(weights, before, scale)
        _divide(weights, after, scale)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    path.write_bytes(model.SerializeToString())
    return path


def imbalance_step(source: Path, path: Path, *, k: float, seed: int) -> Path:
    """As :func:`imbalance`, of a streaming step: the convolutions' channels, and the columns of the gates behind them.

    Each Conv is followed by its Relu; a Flatten and a join with the state, which stands behind, may lie between the
    last and the Gemms that read it. Those divide their first columns. The recurrent unit itself has no such freedom:
    tanh bounds its state.
    """
    model = onnx.load(source)
    random = np.random.default_rng(seed)
    weights = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Conv"]:
        channels = len(weights[node.input[2]])
        scale = (k ** random.uniform(-1, 1, channels)).astype(np.float32)
        _multiply(weights, node, scale)
        for reader in _weighted_behind(model.graph, node.output[0]):
            if reader.op_type == "Conv":
                _divide(weights, reader, scale)
            else:
                weights[reader.input[1]][:, :channels] /= scale
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    path.write_bytes(model.SerializeToString())
    return path


def _weighted_behind(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """The next layers with weights that read a tensor, through what keeps its channels first."""
    found: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm") and node.input[0] == name:
            found.append(node)
        elif node.op_type in ("Relu", "Flatten", "Concat") and node.input[0] == name:
            found += _weighted_behind(graph, node.output[0])
    return found


def imbalance_tflite(source: Path, path: Path, *, k: float, seed: int) -> Path:
    """As :func:`imbalance`, of a .tflite that is a chain: LiteRT keeps a depthwise kernel's channels last."""
    random = np.random.default_rng(seed)

    def scale(content: Any) -> None:
        weighted = [op for op in content.subgraphs[0].operators if _kind(content, op) in WEIGHTED]
        for before, after in pairwise(weighted):
            depthwise = _kind(content, before) == schema.BuiltinOperator.DEPTHWISE_CONV_2D
            channels = len(tflite_weights(content, before, 2))
            factors = (k ** random.uniform(-1, 1, channels)).astype(np.float32)
            kernel = tflite_weights(content, before, 1).reshape((-1, channels) if depthwise else (channels, -1))
            put_tflite_weights(content, before, 1, kernel * (factors if depthwise else factors[:, None]))
            put_tflite_weights(content, before, 2, tflite_weights(content, before, 2) * factors)
            put_tflite_weights(content, after, 1, tflite_weights(content, after, 1).reshape(-1, channels) / factors)

    return rewrite_tflite(source, path, scale)


def rewrite_tflite(source: Path, path: Path, change: Callable[[Any], None]) -> Path:
    """A copy that ``change`` has been at."""
    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes()))
    change(content)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(content.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def tflite_weights(content: Any, op: Any, which: int) -> npt.NDArray[np.float32]:
    """An operator's constant input, flat."""
    graph = content.subgraphs[0]
    return np.frombuffer(bytes(content.buffers[graph.tensors[op.inputs[which]].buffer].data), np.float32)


def put_tflite_weights(content: Any, op: Any, which: int, values: npt.NDArray[Any]) -> None:
    buffer = content.buffers[content.subgraphs[0].tensors[op.inputs[which]].buffer]
    buffer.data = np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)


def _kind(content: Any, op: Any) -> int:
    code = content.operatorCodes[op.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def dead_giant(source: Path, path: Path, *, layers: int, factor: float) -> Path:
    """In each of the first convolutions one channel of giant weights that is never heard: its bias shuts its Relu.

    Float loses one channel of many; a quantizer with one scale for all channels loses the others' weights.
    """
    model = onnx.load(source)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Conv"][:layers]:
        weight, bias = (numpy_helper.to_array(tensors[name]).copy() for name in node.input[1:3])
        weight[0] *= factor
        bias[0] = -1e3 * factor
        for name, values in zip(node.input[1:3], (weight, bias), strict=True):
            tensors[name].CopyFrom(numpy_helper.from_array(values, name))
    path.write_bytes(model.SerializeToString())
    return path


def put_before(op: str, intruder: str, path: Path) -> None:
    """An operator of one input, ``/fault/<intruder>``, before the first ``op`` of the model at ``path``."""
    model = onnx.load(path)
    index, node = next((i, node) for i, node in enumerate(model.graph.node) if node.op_type == op)
    name = f"/fault/{intruder}"
    model.graph.node.insert(index, onnx.helper.make_node(intruder, [node.input[0]], [f"{name}_output_0"], name=name))
    node.input[0] = f"{name}_output_0"
    path.write_bytes(model.SerializeToString())


def _multiply(weights: Weights, node: onnx.NodeProto, scale: npt.NDArray[np.float32]) -> None:
    weights[node.input[1]] *= scale[:, None, None, None]
    weights[node.input[2]] *= scale


def _divide(weights: Weights, node: onnx.NodeProto, scale: npt.NDArray[np.float32]) -> None:
    values = weights[node.input[1]]  # (out, in, ...), or (channels, 1, ...) of a depthwise convolution
    if values.shape[1] == 1:
        values /= scale[:, None, None, None]
    else:
        values /= scale.reshape(1, -1, *[1] * (values.ndim - 2))
