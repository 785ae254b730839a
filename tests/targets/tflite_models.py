"""The LiteRT counterpart of the tests' ONNX models, written with the schema alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import onnx
from ai_edge_litert import schema_py_generated as schema

Array = npt.NDArray[Any]


class Writer:
    """Collects tensors and operators of one subgraph."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "test"
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, name: str, shape: tuple[int, ...], data: Array | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), 0
        whole = data is not None and data.dtype == np.int32
        tensor.type = schema.TensorType.INT32 if whole else schema.TensorType.FLOAT32
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, name: str, data: Array) -> int:
        return self.tensor(name, data.shape, data)

    def op(self, kind: str, inputs: list[int], output: int, options: Any = None, table: str = "NONE") -> int:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, [output]
        operator.builtinOptions = options
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
        self.graph.operators.append(operator)
        return output

    def save(self, path: Path, source: int, sink: int, signature: bool) -> Path:
        self.graph.inputs, self.graph.outputs = [source], [sink]
        self.model.subgraphs = [self.graph]
        if signature:
            defined = schema.SignatureDefT()
            defined.signatureKey, defined.subgraphIndex = "serving_default", 0
            defined.inputs, defined.outputs = [_named("features", source)], [_named("logits", sink)]
            self.model.signatureDefs = [defined]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def tflite_of(model: Path, path: Path, *, tail: str = "", signature: bool = True) -> Path:
    """``model`` is an ONNX of tests.targets.models.ds_cnn; ``tail`` a LiteRT operator before the pooling."""
    graph = onnx.load(model).graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    writer = Writer()
    source = layer = writer.tensor("features", (1, 49, 10, 1))
    shape: tuple[int, ...] = (1, 25, 5, 0)
    for node in (node for node in graph.node if node.op_type == "Conv"):
        kernel, bias = weights[node.input[1]], weights[node.input[2]]
        shape = (*shape[:3], len(bias))
        stride = next(a.ints[0] for a in node.attribute if a.name == "strides")
        layer = _conv(writer, layer, node.output[0].removesuffix(".conv"), kernel, bias, shape, stride)
    if tail:
        layer = writer.op(tail, [layer], writer.tensor("tail", shape))
    keep = schema.ReducerOptionsT()
    keep.keepDims = False
    axes = writer.constant("axes", np.array([1, 2], np.int32))
    layer = writer.op("MEAN", [layer, axes], writer.tensor("pool", (1, shape[3])), keep, "ReducerOptions")
    dense = [layer, writer.constant("fc.w", weights["fc.w"]), writer.constant("fc.b", weights["fc.b"])]
    logits = writer.tensor("logits", (1, len(weights["fc.b"])))
    options = schema.FullyConnectedOptionsT()
    sink = writer.op("FULLY_CONNECTED", dense, logits, options, "FullyConnectedOptions")
    return writer.save(path, source, sink, signature)


def _conv(
    writer: Writer, layer: int, name: str, kernel: Array, bias: Array, shape: tuple[int, ...], stride: int
) -> int:
    depthwise = kernel.shape[1] == 1 and "depth" in name
    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    options.padding = schema.Padding.SAME
    options.strideW = options.strideH = stride
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    if depthwise:
        options.depthMultiplier = 1
    turned = kernel.transpose(1, 2, 3, 0) if depthwise else kernel.transpose(0, 2, 3, 1)
    inputs = [layer, writer.constant(f"{name}.w", turned), writer.constant(f"{name}.b", bias)]
    kind = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if depthwise else ("CONV_2D", "Conv2DOptions")
    return writer.op(kind[0], inputs, writer.tensor(name, shape), options, kind[1])


def _named(name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
