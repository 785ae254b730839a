"""Faults put into a healthy ONNX model: the same file to a reader, another one to a quantizer."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

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
