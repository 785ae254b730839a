"""Small ONNX models for the tests, made with onnx.helper alone, seeded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int | str, ...]
INPUT: Shape = (1, 1, 49, 10)
LABELS = 12


class Graph:
    """Collects nodes and seeded weights; ``save`` closes the graph."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, *shape: int) -> str:
        scale = 1 / math.sqrt(math.prod(shape[1:]))
        values = (self.random.standard_normal(shape) * scale).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def constant(self, name: str, values: list[int]) -> str:
        self.weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def node(self, op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(self, source: str, name: str, shape: tuple[int, ...], *, group: int = 1, stride: int = 1) -> str:
        rows, columns = shape[2:]
        pads = [(rows - 1) // 2, (columns - 1) // 2, rows // 2, columns // 2]
        inputs = [source, self.weight(f"{name}.w", *shape), self.weight(f"{name}.b", shape[0])]
        window: dict[str, Any] = {"kernel_shape": [rows, columns], "strides": [stride] * 2, "pads": pads}
        self.node("Conv", inputs, f"{name}.conv", group=group, **window)
        return self.node("Relu", [f"{name}.conv"], name)

    def linear(self, source: str, width: int) -> None:
        weights = [self.weight("fc.w", LABELS, width), self.weight("fc.b", LABELS)]
        self.node("Gemm", [source, *weights], "logits", transB=1)

    def save(self, path: Path, *, shape: Shape = INPUT, opset: int = 17) -> Path:
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, list(shape))],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, LABELS])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        path.write_bytes(model.SerializeToString())
        return path


def ds_cnn(
    path: Path,
    *,
    channels: int = 64,
    blocks: int = 4,
    tail: str = "",
    opset: int = 17,
    shape: Shape = INPUT,
) -> Path:
    """A depthwise-separable network, (1, 1, 49, 10) to (1, 12), with operator ``tail`` before its pooling."""
    graph = Graph()
    layer = graph.conv("features", "stem", (channels, 1, 10, 4), stride=2)
    for block in range(blocks):
        layer = graph.conv(layer, f"depth{block}", (channels, 1, 3, 3), group=channels)
        layer = graph.conv(layer, f"point{block}", (channels, channels, 1, 1))
    if tail:
        layer = graph.node(tail, [layer], "tail")
    graph.node("GlobalAveragePool", [layer], "pool")
    graph.node("Flatten", ["pool"], "flat")
    graph.linear("flat", channels)
    return graph.save(path, opset=opset, shape=shape)


def gru(path: Path, *, hidden: int = 64, bins: int = 10) -> Path:
    """A convolution, then a GRU over the frames, then a linear layer: (1, 1, 49, bins) to (1, 12)."""
    graph = Graph()
    layer = graph.conv("features", "stem", (4, 1, 3, 3), stride=1)
    graph.node("Transpose", [layer], "frames_first", perm=[2, 0, 1, 3])
    graph.node("Reshape", ["frames_first", graph.constant("sequence_shape", [49, 1, 4 * bins])], "sequence")
    gates = [graph.weight("gru.w", 1, 3 * hidden, 4 * bins), graph.weight("gru.r", 1, 3 * hidden, hidden)]
    graph.nodes.append(
        helper.make_node("GRU", ["sequence", *gates], ["states"], name="gru", hidden_size=hidden, linear_before_reset=1)
    )
    graph.node("Gather", ["states", graph.constant("last", [48])], "state", axis=0)
    graph.node("Reshape", ["state", graph.constant("flat_shape", [1, hidden])], "flat")
    graph.linear("flat", hidden)
    return graph.save(path, shape=(1, 1, 49, bins))


def half_quantized(path: Path, *, weights: bool = False) -> Path:
    """Two linear layers in Q/DQ form, as training leaves them, but for the first one's input, or its ``weights``."""
    graph = Graph()
    for name, value in (("scale", np.float32(0.05)), ("zero", np.int8(0))):
        graph.weights.append(numpy_helper.from_array(np.array(value), name))

    def pair(source: str) -> str:
        graph.node("QuantizeLinear", [source, "scale", "zero"], f"{source}.q")
        return graph.node("DequantizeLinear", [f"{source}.q", "scale", "zero"], f"{source}.dq")

    graph.node("Flatten", [pair("features") if weights else "features"], "flat")
    first = graph.weight("first.w", 64, 490)
    graph.node("Gemm", ["flat", first if weights else pair(first)], "first", transB=1)
    graph.node("Relu", ["first"], "relu")
    graph.node("Gemm", [pair("relu"), pair(graph.weight("fc.w", LABELS, 64))], "logits", transB=1)
    return graph.save(path)


def transposed(path: Path) -> Path:
    """A convolution, then a transposed one (no int8 kernel in TensorRT-RTX), pooling and a linear layer."""
    graph = Graph()
    graph.conv("features", "stem", (8, 1, 3, 3))
    graph.node("ConvTranspose", ["stem", graph.weight("up.w", 8, 8, 3, 3)], "up", pads=[1, 1, 1, 1])
    graph.node("GlobalAveragePool", ["up"], "pool")
    graph.node("Flatten", ["pool"], "flat")
    graph.linear("flat", 8)
    return graph.save(path)


def recurrent(path: Path) -> Path:
    """A GRU over the frames and nothing that has an int8 kernel: (1, 1, 49, 10) to (1, 12)."""
    graph = Graph()
    graph.node("Reshape", ["features", graph.constant("sequence_shape", [49, 1, 10])], "sequence")
    gates = [graph.weight("gru.w", 1, 3 * LABELS, 10), graph.weight("gru.r", 1, 3 * LABELS, LABELS)]
    graph.nodes.append(helper.make_node("GRU", ["sequence", *gates], ["states"], name="gru", hidden_size=LABELS))
    graph.node("Gather", ["states", graph.constant("last", [48])], "state", axis=0)
    graph.node("Reshape", ["state", graph.constant("flat_shape", [1, LABELS])], "logits")
    return graph.save(path)


def layer_norm(path: Path, *, channels: int = 16) -> Path:
    """A convolution, a LayerNormalization over its channels, another convolution: (1, 1, 49, 10) to (1, 12)."""
    graph = Graph()
    layer = graph.conv("features", "stem", (channels, 1, 10, 4), stride=2)
    graph.node("Transpose", [layer], "channels_last", perm=[0, 2, 3, 1])
    around_one = graph.random.uniform(0.5, 1.5, channels).astype(np.float32)
    graph.weights.append(numpy_helper.from_array(around_one, "norm.w"))
    graph.weights.append(numpy_helper.from_array(around_one - 1, "norm.b"))
    graph.node("LayerNormalization", ["channels_last", "norm.w", "norm.b"], "norm", axis=-1, epsilon=1e-5)
    graph.node("Transpose", ["norm"], "channels_first", perm=[0, 3, 1, 2])
    layer = graph.conv("channels_first", "point", (channels, channels, 1, 1))
    graph.node("GlobalAveragePool", [layer], "pool")
    graph.node("Flatten", ["pool"], "flat")
    graph.linear("flat", channels)
    return graph.save(path)


def insert_gelu(model: onnx.ModelProto, tensor: str) -> None:
    """A GELU behind ``tensor``, for all that take it, spelled in the operators that opset 17 has."""
    nodes = list(model.graph.node)
    for name, value in (("gelu.root", 2**-0.5), ("gelu.one", 1.0), ("gelu.half", 0.5)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    for node in nodes:
        node.input[:] = ["gelu" if name == tensor else name for name in node.input]
    spelled = [
        ("Mul", [tensor, "gelu.root"], "gelu.scaled"),
        ("Erf", ["gelu.scaled"], "gelu.erf"),
        ("Add", ["gelu.erf", "gelu.one"], "gelu.raised"),
        ("Mul", [tensor, "gelu.raised"], "gelu.gated"),
        ("Mul", ["gelu.gated", "gelu.half"], "gelu"),
    ]
    made = [helper.make_node(op, inputs, [output], name=output) for op, inputs, output in spelled]
    place = next(index for index, node in enumerate(nodes) if tensor in node.output) + 1
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:place], *made, *nodes[place:]])
