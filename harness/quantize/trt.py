"""ONNX as TensorRT 10 and 11 take it alike: strongly typed int8 in QDQ form, or fp16, float32 at both ends.

int8 is symmetric, weights per channel as int8 constants behind one DequantizeLinear each, biases in float, and
nothing between a convolution and its activation, so that TensorRT can fuse them. A quantizer that "succeeds"
without quantizing is the fault to fear: what it wrote is counted against what the float graph asks for.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from harness.errors import ToolchainError
from harness.quantize import ptq
from harness.recipe import Recipe

COMPUTE = ("Conv", "ConvTranspose", "Gemm", "MatMul")  # what has an int8 kernel, and is therefore quantized
RECURRENT = ("GRU", "LSTM", "RNN")  # TensorRT unrolls them into loops in float: never int8
ACTIVATIONS = ("Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Tanh")
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
OPTIONS = {
    "ActivationSymmetric": True,  # a zero point other than 0 does not parse
    "QuantizeBias": False,  # nor does int32 behind a DequantizeLinear
    "AddQDQPairToWeight": False,
    "OpTypesToExcludeOutputQuantization": list(COMPUTE),  # else Q/DQ lands between Conv and Relu
}
ROUNDED = {TensorProto.FLOAT16: TensorProto.FLOAT}


def prepare(model: Path, folder: Path, calibration: npt.NDArray[np.float32], recipe: Recipe) -> dict[str, int]:
    """Write ``model.onnx`` for TensorRT into ``folder``, for fp16 ``numerics.onnx`` too; returns its operators' counts.

    ``calibration`` is ``(n, frames, bins)``, unused where the model comes quantized already. Raises ToolchainError
    naming the operators where int8 was asked for and the graph would not be int8.
    """
    output = folder / "model.onnx"
    if recipe.precision == "int8":
        _int8(model, output, calibration, recipe)
    elif recipe.precision == "fp16":
        half = _half(model)
        onnx.save(rounded(half), folder / "numerics.onnx")
        onnx.save(half, output)
    else:
        shutil.copyfile(model, output)
    named = onnx.load(output)
    _name_nodes(named.graph)
    onnx.save(named, output)
    return dict(Counter(node.op_type for node in named.graph.node))


def _int8(model: Path, output: Path, calibration: npt.NDArray[np.float32], recipe: Recipe) -> None:
    if _count(onnx.load(model).graph, QUANTIZE):  # trained or quantized elsewhere: TensorRT judges it as it is
        shutil.copyfile(model, output)
        return
    ptq.quantize_onnx(model, output, calibration, recipe, ops=COMPUTE, options=OPTIONS)
    kept = ptq.kept_nodes(model, recipe)
    wrong = faults(onnx.load(model).graph, onnx.load(output).graph, kept)
    if wrong:
        raise ToolchainError(
            f"{recipe.id}: onnxruntime.quantization reported success, yet {'; '.join(wrong[:4])}. Export the model "
            f"with {', '.join(COMPUTE)} that read activations and constant weights; a recurrent layer becomes int8 "
            "only as a streaming step of Gemm nodes."
        )


def expected(graph: onnx.GraphProto, kept: Collection[str] = ()) -> tuple[int, int]:
    """How many QuantizeLinear and DequantizeLinear the float graph asks for, the nodes ``kept`` in float left out.

    Each tensor that a COMPUTE node reads is quantized once, however many read it; a constant is stored as int8 and
    only dequantized.
    """
    constants = _constants(graph)
    read = {name for node in graph.node if node.op_type in COMPUTE and node.name not in kept for name in node.input[:2]}
    return len(read - constants), len(read)


def faults(plain: onnx.GraphProto, quantized: onnx.GraphProto, kept: Collection[str] = ()) -> list[str]:
    """What keeps ``quantized`` from being the int8 form of ``plain``, each with the node at fault; empty when whole.

    The nodes ``kept`` in float must have no Q/DQ at their inputs.
    """
    wanted, found = expected(plain, kept), (_count(quantized, QUANTIZE), _count(quantized, DEQUANTIZE))
    wrong = [] if any(found) else [f"it holds no Q/DQ at all: its operators are {_ops(plain)}"]
    maker = {name: node for node in quantized.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in quantized.node:
        for name in node.input:
            readers[name].append(node)
    for node in (node for node in quantized.node if node.op_type in COMPUTE):
        plainly = [name for name in node.input[:2] if name not in maker or maker[name].op_type != DEQUANTIZE]
        if node.name in kept:
            wrong += [] if node.input[1] in plainly else [f"{_called(node)} is quantized, though keep_float names it"]
            continue
        wrong += [f"{_called(node)} reads {name} in float" for name in plainly]
        wrong += [f"{_called(node)} has a quantized bias" for name in node.input[2:3] if name in maker]
        wrong += [f"Q/DQ stands between {_called(node)} and {said}" for said in _parted(node.output[0], readers)]
    if found != wanted:
        wrong.append(
            f"it holds {found[0]} Q and {found[1]} DQ where the float graph asks for {wanted[0]} and {wanted[1]}"
        )
    return wrong


def _parted(output: str, readers: dict[str, list[onnx.NodeProto]]) -> Iterable[str]:
    """The activations that Q/DQ parts from the node with this output."""
    for quantize in readers[output]:
        if quantize.op_type == QUANTIZE:
            for dequantize in readers[quantize.output[0]]:
                yield from (_called(node) for node in readers[dequantize.output[0]] if node.op_type in ACTIVATIONS)


def _half(model: Path) -> onnx.ModelProto:
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted = ONNXModel(convert_float_to_float16(onnx.load(model), keep_io_types=True))
    converted.topological_sort()  # it appends the Cast of the input after the nodes that read it
    half: onnx.ModelProto = converted.model
    return half


def rounded(half: onnx.ModelProto) -> onnx.ModelProto:
    """The fp16 model for a CPU without fp16 kernels: computes in float32, every tensor rounded to fp16.

    onnxruntime widens an fp16 graph to float32 and drops the casts between its nodes, so that an overflow goes unseen.
    Here each of them is a pair of Cast that onnxruntime keeps, since it loses precision.
    """
    model = onnx.shape_inference.infer_shapes(half)
    graph = model.graph
    typed = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    for tensor in graph.initializer:
        _widen(tensor)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to":
                attribute.i = ROUNDED.get(attribute.i, attribute.i)
        nodes.append(node)
        for place, name in enumerate(node.output):
            if typed.get(name) == TensorProto.FLOAT16:
                node.output[place] = f"{name}__wide"
                nodes.append(helper.make_node("Cast", [f"{name}__wide"], [f"{name}__half"], to=TensorProto.FLOAT16))
                nodes.append(helper.make_node("Cast", [f"{name}__half"], [name], to=TensorProto.FLOAT))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return model


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _name_nodes(graph: onnx.GraphProto) -> None:
    """TensorRT's tables name nodes: every one needs a name."""
    for node in graph.node:
        if not node.name:
            node.name = f"{node.op_type}:{node.output[0]}"


def _constants(graph: onnx.GraphProto) -> set[str]:
    made = {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    return made | {tensor.name for tensor in graph.initializer}


def _count(graph: onnx.GraphProto, op: str) -> int:
    return sum(node.op_type == op for node in graph.node)


def _ops(graph: onnx.GraphProto) -> str:
    return ", ".join(f"{count} {op}" for op, count in sorted(Counter(node.op_type for node in graph.node).items()))


def _called(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or node.output[0]}"
