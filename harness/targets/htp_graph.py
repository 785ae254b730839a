"""The graphs QNN compiled, from the JSON its provider dumps: every operator in the accelerator, and its types.

Being placed is not being quantized: QNN takes float operators too, so an island of them, or a model that nobody
quantized, is seen only here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from harness.errors import ToolchainError
from harness.targets.base import Node

MAX_GRAPH = 64 << 20  # bytes
KINDS = {0x00: "int", 0x01: "uint", 0x02: "float", 0x03: "int", 0x04: "uint", 0x05: "bool"}  # high byte of a data type
QUANTIZED = (0x03, 0x04)  # of these, fixed point
FLOAT = 0x02
STATIC = 4  # a tensor's type: weights and other constants
BOUNDARY = frozenset({"Quantize", "Dequantize"})
MOVES = frozenset(  # copy values and compute none: nothing is lost where one of them stays in float
    {
        "Concat", "DepthToSpace", "ExpandDims", "Gather", "Pack", "Reshape", "SpaceToDepth", "Split", "Squeeze",
        "StridedSlice", "Tile", "Transpose", "UnPack",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a QNN graph."""

    kind: int  # high byte of its data type
    bits: int
    static: bool
    elements: int

    @property
    def dtype(self) -> str:
        return "bool" if KINDS[self.kind] == "bool" else f"{KINDS[self.kind]}{self.bits}"


@dataclass(frozen=True, slots=True)
class Op:
    """One operator of a QNN graph, and the tensors between it and others (no constants)."""

    name: str
    kind: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def node(self, activation_bits: int | None) -> Node:
        """Its placement. ``activation_bits`` of an int8 recipe; None where float was asked for."""
        reason = "" if activation_bits is None else self._too_wide(activation_bits)
        dtype = (self.outputs if self.kind == "Quantize" else self.inputs or self.outputs)[0].dtype
        return Node(self.name, self.kind, dtype, "npu", bool(reason), reason)

    def _too_wide(self, bits: int) -> str:
        if self.kind in BOUNDARY | MOVES:
            return ""
        taken = (*self.inputs, *self.outputs)
        if any(tensor.kind == FLOAT for tensor in taken):
            return f"in the accelerator but computes in float where int8 (a{bits}w8) was asked for: not quantized"
        wider = max((tensor.bits for tensor in taken if tensor.kind in QUANTIZED), default=0)
        return f"computes in {wider} bits where {bits} were asked for" if wider > bits else ""


@dataclass(frozen=True, slots=True)
class Graph:
    """One QNN graph: a partition. ``weights`` in bytes."""

    ops: tuple[Op, ...]
    weights: int


def read(path: Path, subject: str) -> Graph:
    """One dumped graph. Raises ToolchainError naming ``subject`` where any part of it is not understood."""
    try:
        if path.stat().st_size > MAX_GRAPH:
            raise ValueError(f"it is larger than {MAX_GRAPH >> 20} MiB")
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ToolchainError(
            f"{subject}: QNN's record of its graph {path.name} cannot be trusted: {why}. Which operators compute in "
            "float is unknown, so this build is not judged. Is this onnxruntime-qnn 2.7.0? Run: voxgate toolchain "
            "install htp"
        ) from error


def parse(text: str) -> Graph:
    """The graph of one dump. Raises ValueError, KeyError, TypeError or AttributeError for anything else."""
    graph = json.loads(text)["graph"]
    tensors = {name: _tensor(name, tensor) for name, tensor in graph["tensors"].items()}
    ops = tuple(_op(name, graph["nodes"][name], tensors) for name in _ordered(graph["nodes"]))
    if not ops:
        raise ValueError("it holds no operator")
    held = [tensor for tensor in tensors.values() if tensor.static]
    return Graph(ops, sum(math.ceil(tensor.elements * tensor.bits / 8) for tensor in held))


def _tensor(name: str, said: dict[str, Any]) -> Tensor:
    code = said["data_type"]
    kind, digits = code >> 8, f"{code & 0xFF:x}"  # QNN spells the width in decimal: 0x0416 is a uint16
    if kind not in KINDS or not digits.isdecimal():
        raise ValueError(f"tensor {name!r:.60} has the unknown data type {code:#x}")
    return Tensor(kind, int(digits), said["type"] == STATIC, math.prod(said["dims"]))


def _ordered(nodes: dict[str, Any]) -> Iterable[str]:
    """Names of operators, each after those it takes from; the dump is in the order of the alphabet."""
    maker = {output: name for name, said in nodes.items() for output in said["output_names"]}
    takes = {name: [maker[each] for each in said["input_names"] if each in maker] for name, said in nodes.items()}
    return TopologicalSorter(takes).static_order()


def _op(name: str, said: dict[str, Any], tensors: dict[str, Tensor]) -> Op:
    inputs = [tensors[each] for each in said["input_names"] if each]
    outputs = [tensors[each] for each in said["output_names"] if each]
    if not outputs:
        raise ValueError(f"operator {name!r:.60} writes nothing")
    return Op(name, str(said["type"]), tuple(tensor for tensor in inputs if not tensor.static), tuple(outputs))
