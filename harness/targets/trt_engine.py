"""The layers of a TensorRT engine against the ONNX nodes they came from: what computes where, and in which type.

A strongly typed network keeps the types that Q/DQ and Cast ask for, but fusion decides where they end: a convolution
behind a DequantizeLinear may still run in float, without a word. The type of a layer is that of the tensors it reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import onnx

from harness.errors import CandidateError, ToolchainError
from harness.quantize import mixed
from harness.quantize.trt import COMPUTE, DEQUANTIZE, QUANTIZE, RECURRENT
from harness.targets.base import Evidence, Node, Placement

DTYPES = {
    "Float": "float32", "FP32": "float32", "Half": "float16", "FP16": "float16", "BFloat16": "bfloat16",
    "BF16": "bfloat16", "Int8": "int8", "INT8": "int8", "UInt8": "uint8", "FP8": "fp8", "Int4": "int4", "INT4": "int4",
    "FP4": "fp4", "Int32": "int32", "INT32": "int32", "Int64": "int64", "INT64": "int64", "Bool": "bool",
    "BOOL": "bool",
}  # fmt: skip
WIDER = {"int8": ("float32", "float16", "bfloat16"), "fp16": ("float32",), "fp32": ()}
FLOATS = WIDER["int8"]
KERNELS = ("conv", "correlation", "gemm", "matmul", "matrixmultiply", "fullyconnected")  # parts of a kernel's LayerType
GENERATED = ("kgen", "pointwise", "foreignnode", "myelin")  # fused by a code generator: computing, or gluing, or both
BETWEEN = (QUANTIZE, DEQUANTIZE, "Cast")
DLA = "DLA"  # the LayerType of what a Deep Learning Accelerator took
FORGING = ("[", "]", "{", "}", ", ")  # what a name would need to pass for a part of a layer table
STREAMING = "export it as a streaming step of Gemm nodes, which take int8"


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    dtype: str  # as DTYPES spells it


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the engine; ``nodes`` are the ONNX nodes that its metadata names."""

    name: str
    kind: str  # LayerType
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    nodes: tuple[str, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(tensor.dtype for tensor in self.inputs or self.outputs))

    @property
    def reformats(self) -> bool:
        return self.kind.lower() == "reformat" or self.name.startswith("Reformatting CopyNode")

    def is_kind(self, parts: Sequence[str]) -> bool:
        return any(part in self.kind.lower() for part in parts)


@dataclass(frozen=True, slots=True)
class Graph:
    """What the ONNX given to TensorRT holds: operators by node name in order, and the names at its boundary.

    ``bare`` are the nodes that read the network's input or float weights with no Q/DQ between: float in any engine.
    """

    ops: Mapping[str, str]
    boundary: frozenset[str]
    bare: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Heard:
    """Who says so, and what else was heard of single layers by their names in the engine."""

    evidence: Evidence
    source: str
    share: Mapping[str, float] = field(default_factory=dict)  # of profiled time, where a board profiled
    left: Mapping[str, str] | None = None  # why layers cannot run on the DLA they were asked onto; None without one


def read_graph(path: Path) -> Graph:
    """Operators and boundary of an ONNX file. Raises CandidateError for a name that could forge a layer table."""
    graph = onnx.load(path).graph
    tensors = [value.name for value in (*graph.input, *graph.output)]
    names = [name for node in graph.node for name in (node.name, *node.output)]
    for name in (*tensors, *names):
        if any(part in name for part in FORGING):
            raise CandidateError(
                f"{path.name}: the name {name[:60]!r} holds one of {' '.join(FORGING)}, with which TensorRT writes its "
                "layer table, so that the table could not be trusted. Rename it in the export."
            )
    return Graph({node.name: node.op_type for node in graph.node}, frozenset(tensors), _bare(graph))


def _bare(graph: onnx.GraphProto) -> frozenset[str]:
    """Names of what an int8 kernel could compute, were it not for an input that nobody quantized."""
    constants = {tensor.name for tensor in graph.initializer}
    plain = {value.name for value in graph.input} - constants
    found = set()
    for node in graph.node:
        if node.op_type in COMPUTE and any(name in plain or name in constants for name in node.input[:2]):
            found.add(node.name)
        if node.op_type not in BETWEEN and (not node.input or constants.issuperset(node.input)):
            constants.update(node.output)
        elif node.op_type not in BETWEEN and plain.intersection(filter(None, node.input)):
            plain.update(node.output)
    return frozenset(found)


def dtype_of(said: str) -> str:
    """TensorRT's word for a type, alone or within the description of a format. Raises ValueError for an unknown one."""
    for word in said.replace(".", " ").split():
        if word in DTYPES:
            return DTYPES[word]
    raise ValueError(f"{said!r} names no type that is known here")


def placement(layers: Sequence[Layer], graph: Graph, asked: str, heard: Heard, subject: str) -> Placement:
    """Every layer as a node, named after the ONNX node it computes; ``asked`` is the recipe's precision.

    Raises ToolchainError where no layer says that it computes some Conv, ConvTranspose, Gemm or MatMul.
    """
    if not layers:
        raise ToolchainError(f"{subject}: the engine's layer table is empty, which proves nothing. Build it anew.")
    kernels = {name: _kernels(name, layers, heard) for name, op in graph.ops.items() if op in COMPUTE}
    loops = _loops(layers, [name for name, op in graph.ops.items() if op in RECURRENT])
    lost = [f"{graph.ops[name]} {name}" for name, found in {**kernels, **loops}.items() if not found]
    if lost:
        raise ToolchainError(
            f"{subject}: no layer of the engine says that it computes {', '.join(lost[:4])}, so their types are "
            f"unknown. This is read from the Metadata of layers as {heard.source} writes it; another version may not."
        )
    told: dict[str, list[Node]] = defaultdict(list)
    for name, found in kernels.items():
        told[found[0].name].append(_computing(name, found, graph, asked))
    for name, found in loops.items():
        told[found[0].name].append(_recurring(name, found, graph, asked))
    nodes = tuple(
        _heard(node, layer, heard) for layer in layers for node in told.get(layer.name) or [_plain(layer, graph)]
    )
    partitions = sum(1 for _ in groupby(node.where for node in nodes))
    return Placement(nodes, heard.evidence, partitions, heard.source)


def keeping(placed: Placement, kept: Collection[str], graph: Graph, subject: str) -> Placement:
    """Nodes that ``keep_float`` names, and the copies that lead to and from them, asked for instead of fallen back.

    Raises ToolchainError where TensorRT computes one of them in int8 all the same.
    """
    if not kept:
        return placed
    floats = {node.name for node in placed.nodes if node.dtype in FLOATS}
    mixed.require_float([name for name in kept if graph.ops.get(name) in COMPUTE], floats, subject)
    nodes = []
    for node in placed.nodes:
        if node.fallback and node.name in kept and node.dtype in FLOATS:
            nodes.append(replace(node, fallback=False, reason="keep_float asks for it"))
        elif node.fallback and node.op == "Reformat":
            reason = f"{node.reason}: it leads to or from a layer that keep_float keeps"
            nodes.append(replace(node, fallback=False, reason=reason))
        else:
            nodes.append(node)
    return replace(placed, nodes=tuple(nodes))


def _kernels(name: str, layers: Sequence[Layer], heard: Heard) -> list[Layer]:
    """The layers that compute a node: the library kernels among those that name it, else the generated ones.

    What went to the DLA is one layer there, that need not name its nodes.
    """
    own = [layer for layer in layers if name in layer.nodes and not layer.reformats]
    if not own and heard.left is not None and name not in heard.left:
        own = [layer for layer in layers if layer.kind == DLA]
    return [layer for layer in own if layer.is_kind(KERNELS)] or own


def _loops(layers: Sequence[Layer], names: Sequence[str]) -> dict[str, list[Layer]]:
    """The layers that compute each recurrent node: those that name it, else what a loop leaves without any name."""
    quiet = [layer for layer in layers if not layer.nodes and layer.is_kind((*KERNELS, *GENERATED)) and layer.inputs]
    return {name: [layer for layer in layers if name in layer.nodes] or quiet for name in names}


def _computing(name: str, found: Sequence[Layer], graph: Graph, asked: str) -> Node:
    library = found[0].is_kind(KERNELS)
    # A generated kernel that reads the network's own float input converts it first.
    reads = [t.dtype for each in found for t in each.inputs if library or t.name not in graph.boundary]
    wide = next((dtype for dtype in WIDER[asked] if dtype in reads), "")
    reason = f"asked for {asked}, but layer {found[0].name} ({found[0].kind}) reads {wide}" if wide else ""
    if asked == "int8" and not wide and name in graph.bare:
        wide, reason = found[0].reads[0], "asked for int8, but the ONNX has no Q/DQ before it"
    dtype = wide or (reads or list(found[0].reads) or ["unknown"])[0]
    return Node(name, graph.ops[name], dtype, "gpu", bool(wide), reason)


def _recurring(name: str, found: Sequence[Layer], graph: Graph, asked: str) -> Node:
    wide = [layer for layer in found if set(layer.reads) & set(WIDER[asked])]
    dtype = (wide or found)[0].reads[0]
    reason = (
        f"asked for {asked}, but it became a loop of which {len(wide)} layers compute in {dtype} and "
        f"{len(found) - len(wide)} in {asked}; {STREAMING}"
        if wide
        else ""
    )
    return Node(name, graph.ops[name], dtype, "gpu", bool(wide), reason)


def _plain(layer: Layer, graph: Graph) -> Node:
    """A layer that computes none of the judged nodes: glue, pooling, a reformat."""
    dtype = (layer.reads or ("unknown",))[0]
    if not layer.reformats:
        parts = [name for name in layer.nodes if graph.ops.get(name) not in (None, *BETWEEN)]
        return Node(layer.name, layer.kind, dtype, "gpu", False, f"part of {', '.join(parts)}" if parts else "")
    if {tensor.name for tensor in (*layer.inputs, *layer.outputs)} & graph.boundary:
        return Node(layer.name, "Reformat", dtype, "gpu", False, "copies at the network's boundary")
    copied = " to ".join(tensor.dtype for tensor in (*layer.inputs[:1], *layer.outputs[:1]))
    return Node(layer.name, "Reformat", dtype, "gpu", True, f"copies {copied} between layers whose formats differ")


def _heard(node: Node, layer: Layer, heard: Heard) -> Node:
    """The node with what only a board says: the DLA, and its share of the time."""
    where, fallback, reasons = node.where, node.fallback, [node.reason]
    if heard.left is not None and layer.kind == DLA:
        where = "dla"
    elif heard.left is not None and not layer.reformats:
        why = next(
            (heard.left[name] for name in (layer.name, *layer.nodes) if name in heard.left), "TensorRT says no why"
        )
        fallback, reasons = True, [*reasons, f"asked onto the DLA, but runs on the GPU: {why}"]
    if layer.name in heard.share:
        reasons.append(f"{100 * heard.share[layer.name]:.1f} % of the profiled time")
    return replace(node, where=where, fallback=fallback, reason="; ".join(filter(None, reasons)))
