"""Where each operator of a .tflite would run, by Coral's rules: a prediction, where the real compiler is not at hand.

The compiler makes one subgraph for the Edge TPU. It begins where the first operators map; what follows the first
that do not stays on the CPU, also where it would map by itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import ToolchainError
from harness.targets import edgetpu_rules as rules
from harness.targets.base import Evidence, Node, Placement
from harness.targets.tflite_file import Op, Tflite

COMPILED = "edgetpu-custom-op"
SOURCE = "Coral's operator rules, static"
TPU, CPU, STREAMED = "edgetpu", "cpu", "off-chip"
ON_CHIP = int(7.7 * 2**20)  # bytes for parameters: 8 MB of memory, less what the compiler keeps

Refusals = dict[int, str]  # operator to why it does not map by itself
Waits = dict[int, set[int]]  # operator to those whose outputs it takes


def placement(model: Tflite) -> Placement:
    """Every operator with where and why. Raises ToolchainError for a model that is compiled already."""
    if any(op.custom == COMPILED for op in model.ops):
        raise ToolchainError(
            f"{model.path.name} is compiled for the Edge TPU already: nothing tells where its operators run. "
            "Name the .tflite that it was made from."
        )
    refused, waits = _refusals(model), _waits(model.ops)
    mapped = _mapped(model.ops, refused, waits)
    nodes = tuple(node(op, "" if op.index in mapped else _reason(op, model.ops, refused, waits)) for op in model.ops)
    return Placement(nodes, Evidence.STATIC, int(bool(mapped)), SOURCE)


def node(op: Op, reason: str) -> Node:
    """An operator on the Edge TPU, or on the CPU for ``reason``."""
    if not reason:
        since = rules.TABLE[op.kind][0] if op.kind in rules.TABLE else 0
        reason, where = f"needs Edge TPU runtime {since}" if since else "", TPU
    else:
        where = CPU
    return Node(op.name, op.custom or op.kind, _dtype(op), where, where == CPU, reason)


def parameters(ops: Iterable[Op]) -> int:
    """Bytes of the constants that the operators take, each buffer once."""
    buffers = {t.buffer: len(t.data) for op in ops for t in op.inputs if t is not None and t.data is not None}
    return sum(buffers.values())


def streamed(cached: int, beyond: int) -> tuple[Node, ...]:
    """A finding for parameters (bytes) that do not fit on the chip; none where all do."""
    if not beyond:
        return ()
    reason = (
        f"{beyond / 2**20:.2f} MiB of its {(cached + beyond) / 2**20:.2f} MiB of parameters do not fit on the chip, "
        "which holds about 7.7 MiB: they are sent over USB or PCIe at every inference"
    )
    return (Node("parameters", "PARAMETERS", "int8", STREAMED, True, reason),)


def _refusals(model: Tflite) -> Refusals:
    """Why operators do not map by themselves, by index; empty where all do."""
    if model.subgraphs > 1:
        fault = f"the model has {model.subgraphs} subgraphs, and the compiler takes one"
        return {op.index: fault for op in model.ops}
    if not any(t.dtype in rules.QUANTIZED for op in model.ops for t in (*op.fed, *op.outputs)):
        return {op.index: "Model not quantized: the Edge TPU takes int8 and uint8 only" for op in model.ops}
    return {op.index: reason for op in model.ops if (reason := rules.refusal(op))}


def _mapped(ops: tuple[Op, ...], refused: Refusals, waits: Waits) -> set[int]:
    """Indices of the operators of the one subgraph: those that map and wait for nothing that runs on the CPU.

    Only what makes a float input int8 may precede it there, as compiled models with float inputs show.
    """
    before = {op.index for op in ops if _opens(op) and not waits[op.index]}
    taken: set[int] = set()
    for op in ops:  # in the order of execution
        if op.index not in refused and waits[op.index] <= taken | before:
            taken.add(op.index)
    return taken


def _opens(op: Op) -> bool:
    """Whether it makes a float input int8."""
    return op.kind == "QUANTIZE" and any(tensor.dtype == "float32" for tensor in op.fed)


def _reason(op: Op, ops: tuple[Op, ...], refused: Refusals, waits: Waits) -> str:
    """Its own refusal, or the operator before it that sends it to the CPU."""
    if op.index in refused:
        return refused[op.index]
    before, queue = {op.index}, [op.index]
    while queue:
        new = waits[queue.pop()] - before
        before |= new
        queue += new
    stops = [other for other in ops if other.index in before and other.index in refused]
    first = next((stop for stop in stops if waits[stop.index] or not _opens(stop)), None)
    if first is None:
        return "it takes what only a later operator makes: the file is out of order, so nothing runs it"
    known = (
        "which the Edge TPU does not support"
        if first.kind not in rules.TABLE
        else f"which does not map ({refused[first.index]})"
    )
    return f"after {first.custom or first.kind} {first.name}, {known}: everything after it runs on the CPU"


def _waits(ops: tuple[Op, ...]) -> Waits:
    """For every operator those whose outputs it takes; state that is kept between inferences waits for nobody."""
    made = {tensor.index: op.index for op in ops for tensor in op.outputs if not tensor.variable}
    return {op.index: {made[t.index] for t in op.fed if t.index in made and made[t.index] != op.index} for op in ops}


def _dtype(op: Op) -> str:
    return op.outputs[0].dtype if op.outputs else "unknown"
