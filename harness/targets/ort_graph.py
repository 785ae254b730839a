"""What onnxruntime made of an ONNX file: its optimized graph, realised dtypes, and sizes.

Who assigned which node is onnxruntime's own record; the dtypes are read from the graph it
optimized, since it may fuse a quantized node, leave it in float, or quantize one it was not told to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from harness.agent.ort import session_options
from harness.errors import ToolchainError
from harness.targets.base import Evidence, Node, Placement, Sizes
from harness.targets.liveness import peak_live

BOUNDARY = frozenset({"QuantizeLinear", "DequantizeLinear"})
MOVES = frozenset(  # copy values and compute none: nothing is lost where one of them stays in float
    {"Flatten", "Identity", "ReorderInput", "ReorderOutput", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
WEIGHTED = frozenset(
    {"Conv", "ConvTranspose", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm", "GRU", "LSTM", "MatMul"}
)
FLOATS = frozenset({"float", "float16", "double", "bfloat16"})
BYTES = {
    "float": 4,
    "float16": 2,
    "bfloat16": 2,
    "double": 8,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "bool": 1,
}
DTYPES = {"float": "float32", "double": "float64"}
PROVIDERS = ["CPUExecutionProvider"]
UNITS = {"CPUExecutionProvider": "cpu"}
RENAMED = re.compile(r"(_token_\d+|_nchwc)+$")  # what the optimizer appends to names


Origins = dict[str, onnx.NodeProto]  # the node of the model that makes each tensor


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor of the optimized graph; ``size`` in bytes, None where the shape is not static."""

    dtype: str
    size: int | None


def read(model: Path, scratch: Path, precision: str, kept: Collection[str] = ()) -> tuple[Placement, Sizes]:
    """Placement and sizes of ``model`` as onnxruntime executes it here; ``scratch`` is removed again.

    Where ``precision`` asks for integers, a node in float falls back, but for those ``kept`` in float by name.
    """
    optimized, units = _optimize(model, scratch)
    values = _values(optimized)
    origin = _origins(onnx.load(model).graph)
    nodes = tuple(_node(node, values, units, origin, precision, kept) for node in optimized.graph.node)
    if not nodes:
        raise ToolchainError(f"onnxruntime lists no node for {model.name}: that proves nothing.")
    partitions = sum(1 for i, node in enumerate(nodes) if i == 0 or node.where != nodes[i - 1].where)
    sizes = Sizes(model.stat().st_size, _weights(model), _activations(optimized, values))
    return Placement(nodes, Evidence.HOST, partitions), sizes


def _optimize(model: Path, scratch: Path) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The graph as executed, and the unit each of the model's own nodes was assigned to."""
    options = session_options()
    options.optimized_model_filepath = str(scratch)
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(str(model), options, providers=PROVIDERS)
    units = {
        node.name: UNITS.get(part.ep_name, part.ep_name)
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    }
    optimized = onnx.load(scratch)
    scratch.unlink()
    if not units:
        raise ToolchainError(f"onnxruntime recorded no assignment for {model.name}: its placement is unknown.")
    return optimized, units


def _values(optimized: onnx.ModelProto) -> dict[str, Value]:
    """Every tensor between nodes, typed by onnxruntime itself: each becomes an output of a copy."""
    probe = onnx.ModelProto()
    probe.CopyFrom(optimized)
    known = {output.name for output in probe.graph.output}
    names = [name for node in probe.graph.node for name in node.output if name and name not in known]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = session_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=PROVIDERS)
    return {value.name: _value(value) for value in (*session.get_inputs(), *session.get_outputs())}


def _value(argument: Any) -> Value:
    dtype = argument.type.removeprefix("tensor(").removesuffix(")")
    if dtype not in BYTES or not all(isinstance(size, int) for size in argument.shape):
        return Value(dtype, None)
    return Value(dtype, math.prod(argument.shape) * BYTES[dtype])


def _node(
    node: onnx.NodeProto,
    values: dict[str, Value],
    units: dict[str, str],
    origin: Origins,
    precision: str,
    kept: Collection[str],
) -> Node:
    taken = [values[name].dtype for name in node.input if name in values]  # activations: values has no constants
    written = [values[name].dtype for name in node.output if name in values]
    dtype = (taken or written or ["unknown"])[0]
    if node.op_type == "QuantizeLinear" and written:
        dtype = written[0]
    computes = node.op_type not in BOUNDARY | MOVES if precision == "int8" else node.op_type in WEIGHTED
    wide = precision.startswith("int8") and computes and any(kind in FLOATS for kind in taken or written)
    name = _own_name(node, origin)
    asked = wide and name in kept
    reason = "computes in float: not quantized, or no quantized kernel of onnxruntime takes it" if wide else ""
    reason = "keep_float asks for float" if asked else reason
    return Node(name, node.op_type, DTYPES.get(dtype, dtype), units.get(name, "cpu"), wide and not asked, reason)


def _own_name(node: onnx.NodeProto, origin: Origins) -> str:
    """The model's own name for a node of the optimized graph, which is named after itself or its output."""
    name = RENAMED.sub("", node.name or node.output[0])
    made_by = origin.get(name)
    while made_by is not None and made_by.op_type != node.op_type:  # Relu fused into the Conv before it
        made_by = origin.get(made_by.input[0])
    return made_by.name if made_by is not None and made_by.name else name


def _origins(graph: onnx.GraphProto) -> Origins:
    return {name: node for node in graph.node for name in node.output}


def _weights(model: Path) -> int:
    """Bytes of the file's constants, as stored."""
    graph = onnx.load(model).graph
    return sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in graph.initializer)


def _activations(optimized: onnx.ModelProto, values: dict[str, Value]) -> int | None:
    if any(value.size is None for value in values.values()):
        return None
    steps = [(list(node.input), list(node.output)) for node in optimized.graph.node]
    sizes = {name: value.size for name, value in values.items() if value.size is not None}
    return peak_live(steps, sizes, {output.name for output in optimized.graph.output})
