"""Layers that an int8 recipe leaves in float: the names that ``keep_float`` takes, and what they stand for."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import onnx

from harness.errors import CandidateError, ToolchainError

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "GRU", "LSTM", "MatMul", "RNN"})
WEIGHTED_OPS = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
)  # of LiteRT; their second input is weights
FUSED = frozenset(  # what a compiler computes together with the layer before it, so that one type serves both
    {"Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Tanh"}
)
SHOWN = 3  # layers named in an error


def chosen(patterns: Sequence[str], names: Iterable[str], subject: str) -> tuple[str, ...]:
    """The layers that names or shell-like patterns stand for, in the model's order.

    Raises CandidateError for one that matches nothing, naming the nearest layers.
    """
    known = list(dict.fromkeys(names))
    found: set[str] = set()
    for pattern in patterns:
        hits = [pattern] if pattern in known else [name for name in known if fnmatchcase(name, pattern)]
        if not hits:
            near = difflib.get_close_matches(pattern, known, n=SHOWN, cutoff=0) or known[:SHOWN]
            raise CandidateError(
                f"{subject}: keep_float names {pattern!r}, which is no layer of the model. The nearest of "
                f"{len(known)}: {', '.join(near)}. Correct it, or write a pattern such as '*{_tail(near)}'."
            )
        found.update(hits)
    return tuple(name for name in known if name in found)


def require_float(kept: Iterable[str], floats: Collection[str], subject: str) -> None:
    """Raise ToolchainError where a layer to keep is not among those found in float: it must not look honoured."""
    lost = [name for name in kept if name not in floats]
    if lost:
        raise ToolchainError(
            f"{subject}: keep_float names {', '.join(lost[:SHOWN])}, which the runtime computes in integers all the "
            "same: onnxruntime quantizes a lone float layer between quantized ones when it opens the model. Keep the "
            "layer before or behind it in float as well, or leave it out."
        )


def with_fused(model: Path) -> dict[str, tuple[onnx.NodeProto, ...]]:
    """Every named node of an ONNX model, with the activation that alone reads it."""
    graph = onnx.load(model).graph
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {value.name for value in graph.output}
    return {node.name: (node, *_activation(node, readers, outputs)) for node in graph.node if node.name}


def weighted(model: Path) -> tuple[str, ...]:
    """The named nodes of an ONNX model that hold weights and compute with them."""
    graph = onnx.load(model).graph
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    return tuple(
        node.name
        for node in graph.node
        if node.name and node.op_type in WEIGHTED and constants.intersection(node.input[1:])
    )


def branches(model: Path) -> bool:
    """Whether several nodes read what one computes: a residual, or attention."""
    graph = onnx.load(model).graph
    computed = {name for node in graph.node for name in node.output if node.op_type != "Constant"}
    read = [name for node in graph.node for name in node.input if name in computed]
    return len(read) > len(set(read))


def _activation(
    node: onnx.NodeProto, readers: Mapping[str, list[onnx.NodeProto]], outputs: set[str]
) -> list[onnx.NodeProto]:
    if node.op_type not in WEIGHTED or outputs.intersection(node.output):
        return []
    after = readers.get(node.output[0], [])
    return after if len(after) == 1 and after[0].op_type in FUSED else []


def _tail(near: Sequence[str]) -> str:
    return near[0].rpartition("/")[2] if near else ""
