"""What LiteRT made of a .tflite: which ops its XNNPACK delegate took, and sizes.

Without node fusion every delegated op has a DELEGATE node of its own with the same outputs, so the
match is exact; the fused interpreter then tells the number of partitions.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from harness.errors import ToolchainError
from harness.quantize.mixed import WEIGHTED_OPS
from harness.targets.base import Evidence, Node, Placement, Sizes
from harness.targets.liveness import peak_live

BOUNDARY = frozenset({"QUANTIZE", "DEQUANTIZE"})
DELEGATE = "DELEGATE"

Detail = dict[str, Any]  # LiteRT's own description of an op or a tensor


def read(model: Path, precision: str, kept: Collection[str] = ()) -> tuple[Placement, Sizes]:
    """Placement and sizes of ``model`` under LiteRT's default XNNPACK delegate.

    Where ``precision`` asks for integers, an op in float falls back, but for those ``kept`` in float by name.
    """
    ops = _ops(model, experimental_disable_delegate_node_fusion=True)
    own = [op for op in ops if op["op_name"] != DELEGATE]
    taken = {int(i) for op in ops if op["op_name"] == DELEGATE for i in op["outputs"]}
    delegated = [op for op in own if taken.intersection(map(int, op["outputs"]))]
    if not own:
        raise ToolchainError(f"LiteRT lists no op for {model.name}: an empty placement proves nothing.")
    silent = [
        op for op in own if len(op["inputs"]) and not len(op["outputs"])
    ]  # what assigns a variable makes no tensor to match by
    if sum(op["op_name"] == DELEGATE and not len(op["outputs"]) for op in ops) == len(silent):
        delegated += silent
    if len(delegated) != len(ops) - len(own):
        raise ToolchainError(
            f"{model.name}: {len(ops) - len(own)} delegate nodes for {len(delegated)} ops: this LiteRT "
            "fuses them, so its placement cannot be told. Use the pinned ai-edge-litert."
        )
    interpreter = _plain(model)
    tensors = {int(t["index"]): t for t in interpreter.get_tensor_details()}
    chosen = {int(op["index"]) for op in delegated}
    stored = {int(op["outputs"][0]) for op in own if op["op_name"] == "DEQUANTIZE"}  # in integers, widened to compute
    nodes = tuple(
        _node(op, tensors, int(op["index"]) in chosen, _float_where_asked_for_integers(op, precision, stored), kept)
        for op in own
    )
    partitions = sum(op["op_name"] == DELEGATE for op in _ops(model))
    return Placement(nodes, Evidence.HOST, partitions), _sizes(model, interpreter, own, tensors)


def sizes(model: Path) -> Sizes:
    """Sizes of ``model`` alone, without asking which ops a delegate takes."""
    interpreter = _plain(model)
    tensors = {int(t["index"]): t for t in interpreter.get_tensor_details()}
    return _sizes(model, interpreter, interpreter._get_ops_details(), tensors)


def _plain(model: Path) -> Interpreter:
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # a delegate adds tensors of its own
    return Interpreter(str(model), experimental_op_resolver_type=plain)


def _ops(model: Path, **options: bool) -> list[Detail]:
    interpreter = Interpreter(str(model), num_threads=1, **options)
    interpreter.allocate_tensors()
    ops: list[Detail] = interpreter._get_ops_details()  # the only way to see delegation
    return ops


def _float_where_asked_for_integers(op: Detail, precision: str, stored: set[int]) -> bool:
    """``stored`` are the tensors that DEQUANTIZE makes."""
    if precision == "int8":
        return op["op_name"] not in BOUNDARY and any(name.startswith("float") for name in _dtypes(op))
    if precision in ("int8-dynamic", "int8-weight-only") and op["op_name"] in WEIGHTED_OPS:
        return _dtypes(op)[2].startswith("float") and int(op["inputs"][1]) not in stored
    return False


def _dtypes(op: Detail) -> list[str]:
    """Of its results, then of what it takes."""
    return [np.dtype(kind).name for kind in (*op["result_types"], *op["operand_types"])]


def _node(op: Detail, tensors: dict[int, Detail], delegated: bool, wide: bool, kept: Collection[str]) -> Node:
    dtypes = _dtypes(op)
    made = [int(i) for i in op["outputs"] if int(i) in tensors]
    name = tensors[made[0]]["name"] if made else ""
    asked = wide and name in kept
    reasons = ["keep_float asks for float"] if asked else []
    if not delegated:
        reasons.append("XNNPACK does not take it: runs in LiteRT's builtin kernels")
    if wide and not asked:
        reasons.append("computes in float: not quantized")
    return Node(
        name=name or f"{op['op_name']}:{op['index']}",
        op=op["op_name"],
        dtype=next((n for n in dtypes if wide and n.startswith("float")), next(iter(dtypes), "none")),
        where="xnnpack" if delegated else "cpu-builtin",
        fallback=not delegated or (wide and not asked),
        reason="; ".join(reasons),
    )


def _sizes(model: Path, interpreter: Interpreter, own: list[Detail], tensors: dict[int, Detail]) -> Sizes:
    steps = [([int(i) for i in op["inputs"]], [int(i) for i in op["outputs"]]) for op in own]
    fed = {int(t["index"]) for t in interpreter.get_input_details()}
    alive = fed.union(*(outputs for _, outputs in steps))
    sizes = {i: _bytes(t) for i, t in tensors.items() if i in alive}
    results = {int(t["index"]) for t in interpreter.get_output_details()}
    return Sizes(model.stat().st_size, _weights(model), peak_live(steps, sizes, results))


def _bytes(tensor: Detail) -> int:
    return math.prod(map(int, tensor["shape"])) * np.dtype(tensor["dtype"]).itemsize


def _weights(model: Path) -> int:
    """Bytes of the constant buffers, each counted once however many tensors share it."""
    parsed = schema.Model.GetRootAs(model.read_bytes())
    buffers = set()
    for g in range(parsed.SubgraphsLength()):
        graph = parsed.Subgraphs(g)
        buffers |= {graph.Tensors(t).Buffer() for t in range(graph.TensorsLength())}
    # A large model's buffers lie behind the graph and say their size instead.
    return sum(parsed.Buffers(i).DataLength() or parsed.Buffers(i).Size() for i in buffers if i)
