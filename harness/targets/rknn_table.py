"""The per-layer table of librknnc: the RK3588 compiler's only word on what runs where.

It never prints a message about a fallback, so a table that is missing, cut short or not understood
is an error. Columns are found by their header: their order differs between versions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from harness.errors import ToolchainError
from harness.targets.base import Evidence, Node, Placement

MAX_LOG = 64 << 20  # bytes
TITLE = "Network Layer Information Table"
COLUMNS = ("ID", "OpType", "DataType", "Target", "FullName")
PREFIX = re.compile(r"^[A-Z] RKNN: \[[\d:.]+\] ?")
RULE = re.compile(r"^-{20,}$")
MEMORY = re.compile(r"Total (Internal|Weight) Memory Size: ([\d.]+) ?(B|KB|MB)$", re.MULTILINE)
UNIT = {"B": 1, "KB": 1 << 10, "MB": 1 << 20}
FLOATS = ("FLOAT", "BFLOAT", "DOUBLE")
CONVERSION = "exDataConvert"
REPEATED = re.compile(r"#\d+$")
NAMELESS = "(the compiler's own)"
ATTENTION = "_2sdpa"  # behind the name of an exSDPAttention row: two MatMuls and the Softmax between
BOUNDARY = ("InputOperator", "OutputOperator")


@dataclass(frozen=True, slots=True)
class Layer:
    """One row, in the compiler's own words."""

    op: str
    dtype: str
    target: str
    name: str


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the compiler said of one build; memory in bytes."""

    layers: tuple[Layer, ...]
    internal: int
    weights: int

    def placement(self, *, quantized: bool, kept: Collection[str] = (), subject: str = "") -> Placement:
        """Every node with its fallbacks marked.

        ``quantized``: integers were asked for, so float is a fallback too, but for the layers ``kept`` in float.
        Raises ToolchainError where one of those is found in no float row.
        """
        last = self.layers[-2]
        nodes = tuple(_node(layer, layer is last, quantized, kept) for layer in self.layers)
        _all_kept(self.layers, kept, subject)
        inner = [node.where for node in nodes if node.op not in BOUNDARY]
        partitions = sum(where == "npu" for where, _ in groupby(inner))
        return Placement(nodes, Evidence.STATIC, partitions, "layer table of rknn-toolkit2's compiler")


def read_log(path: Path, subject: str) -> Compiled:
    """The table and memory sizes in a build's standard output; ToolchainError naming ``subject``."""
    if not path.is_file():
        raise ToolchainError(f"{subject}: the compiler left no log ({path}), so nothing tells where layers run.")
    if path.stat().st_size > MAX_LOG:
        raise ToolchainError(f"{subject}: the compiler's log {path} is larger than {MAX_LOG >> 20} MiB; not read.")
    return parse(path.read_text(encoding="utf-8", errors="replace"), subject)


def parse(log: str, subject: str) -> Compiled:
    """Layers and memory of the last build in ``log``; ToolchainError when any part is not understood."""
    try:
        lines = [PREFIX.sub("", line).rstrip() for line in log.splitlines()]
        layers = tuple(_layers(block(lines)))
        _complete(layers)
        memory = {kind: round(float(size) * UNIT[unit]) for kind, size, unit in MEMORY.findall("\n".join(lines))}
        return Compiled(layers, memory["Internal"], memory["Weight"])
    except KeyError as error:
        raise _not_understood(subject, f"Total {error.args[0]} Memory Size is missing") from error
    except ValueError as error:
        raise _not_understood(subject, str(error)) from error


def _not_understood(subject: str, fault: str) -> ToolchainError:
    return ToolchainError(
        f"{subject}: the compiler's layer table cannot be trusted: {fault}. Where layers run is unknown, so this build "
        "is not judged. Is this rknn-toolkit2 2.5.0, run with RKNN_LOG_LEVEL=3? Run: voxgate toolchain install rk3588"
    )


def block(lines: Sequence[str], title: str = TITLE) -> list[str]:
    """Header and rows between the rules that follow the last ``title``; ValueError where they are cut short."""
    titles = [number for number, line in enumerate(lines) if line.strip() == title]
    if not titles:
        raise ValueError("there is none in its output")
    blocks = [
        list(part) for rule, part in groupby(lines[titles[-1] + 1 :], lambda line: bool(RULE.match(line))) if not rule
    ]
    rules = sum(bool(RULE.match(line)) for line in lines[titles[-1] + 1 :])
    if rules < 3 or len(blocks) < 2:
        raise ValueError("it is cut short")
    header, rows = blocks[0], blocks[1]
    if len(header) != 1:
        raise ValueError(f"its header has {len(header)} lines")
    return header + rows


def _layers(table: list[str]) -> Iterator[Layer]:
    columns = table[0].split()
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise ValueError(f"it has no column {', '.join(missing)}")
    for number, line in enumerate(table[1:]):
        # A name may hold spaces, which is told apart only where it stands last.
        splits = len(columns) - 1 if columns[-1] == "FullName" else -1
        cells = line.split(maxsplit=splits)
        if columns[-1] == "FullName" and len(cells) == len(columns) - 1 and cells[-1].isdigit():
            cells.append(NAMELESS)  # a conversion of the compiler's own
        if len(cells) != len(columns):
            raise ValueError(f"row {number} has {len(cells)} cells for {len(columns)} columns")
        row = dict(zip(columns, cells, strict=True))
        if row["ID"] != str(number):
            raise ValueError(f"row {number} has ID {row['ID']!r}")
        if row["Target"] not in ("NPU", "CPU", "GPU") or not re.fullmatch(r"[A-Z]+\d*", row["DataType"]):
            raise ValueError(f"row {number} runs in {row['DataType']!r} on {row['Target']!r}")
        yield Layer(row["OpType"], row["DataType"], row["Target"], row["FullName"])


def _complete(layers: tuple[Layer, ...]) -> None:
    if len(layers) < 3 or layers[0].op != "InputOperator" or layers[-1].op != "OutputOperator":
        raise ValueError(f"its {len(layers)} rows do not lead from an InputOperator to an OutputOperator")


def _all_kept(layers: tuple[Layer, ...], kept: Collection[str], subject: str) -> None:
    floats = {_own_name(layer) for layer in layers if layer.dtype.startswith(FLOATS)}
    missing = [name for name in kept if name not in floats]
    if missing:
        raise ToolchainError(
            f"{subject}: keep_float names {', '.join(missing[:3])}, and the compiler's table has no float row of that "
            "name: it computes the layer in integers, or merged it with another. Name the layer with weights beside "
            "it, as voxgate placement lists them."
        )


def _own_name(layer: Layer) -> str:
    """The model's name of what a row computes: ``Conv:/head/Gemm#2`` is /head/Gemm, an attention its last MatMul."""
    return REPEATED.sub("", layer.name.partition(":")[2]).removesuffix(ATTENTION)


def _node(layer: Layer, last: bool, quantized: bool, kept: Collection[str]) -> Node:
    fallback, reason = _judge(layer, last, quantized)
    leaves = last and layer.op == "Reshape"
    if fallback and kept and (layer.target == "NPU" or leaves):
        if _own_name(layer) in kept:
            fallback, reason = False, "keep_float asks for it"
        elif layer.op == CONVERSION or leaves:
            fallback, reason = False, "it leads to or from a layer that keep_float keeps"
    return Node(layer.name, layer.op, layer.dtype.lower(), layer.target.lower(), fallback, reason)


def _judge(layer: Layer, last: bool, quantized: bool) -> tuple[bool, str]:
    if layer.op in BOUNDARY:
        return False, "tensors enter and leave through the CPU on every build"
    reasons = []
    if layer.target != "NPU" and not (last and layer.op == "Reshape"):
        reasons.append(f"the compiler put it on the {layer.target}")
    if quantized and layer.dtype.startswith(FLOATS):
        reasons.append(f"it stays {layer.dtype} where integers were asked for")
    if reasons:
        return True, " and ".join(reasons)
    return False, "" if layer.target == "NPU" else "the Reshape before the output is on the CPU in every build"
