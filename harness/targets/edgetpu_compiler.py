"""What edgetpu_compiler prints: its table of operators is the only word on what it mapped.

A partial mapping exits with 0, so the exit code says nothing of placement; a table that is missing, cut short or not
understood is an error. The table counts operators by kind and status: which of a kind it means is told by the
compiled file, whose operators outside the one for the Edge TPU are those that run on the CPU.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.errors import ToolchainError
from harness.targets import edgetpu_map, edgetpu_rules
from harness.targets.base import Evidence, Node, Placement
from harness.targets.tflite_file import Op, Tflite

MAX_LOG = 4 << 20  # bytes
KNOWN = "16."  # whose statuses and rules are known; no other was released since 2021
VERSION = re.compile(r"^Edge TPU Compiler version (\S+)$", re.MULTILINE)
HEADER = re.compile(r"^Operator\s+Count\s+Status$", re.MULTILINE)
ROW = re.compile(r"^([A-Z][A-Z0-9_]*)\s+(\d+)\s+(\S.*)$")
AFTER = ("Compilation child process completed", "Compilation succeeded", "See the operation log file")
TOTALS = {
    "on the Edge TPU": re.compile(r"^Number of operations that will run on Edge TPU: (\d+)$", re.MULTILINE),
    "on the CPU": re.compile(r"^Number of operations that will run on CPU: (\d+)$", re.MULTILINE),
    "in all": re.compile(r"^Total number of operations: (\d+)$", re.MULTILINE),
}
CACHED = re.compile(r"^On-chip memory used for caching model parameters: ([\d.]+)(B|KiB|MiB|GiB)$", re.MULTILINE)
BEYOND = re.compile(
    r"^Off-chip memory used for streaming uncached model parameters: ([\d.]+)(B|KiB|MiB|GiB)$", re.MULTILINE
)
UNIT = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
MAPPED = "Mapped to Edge TPU"
LATER = "More than one subgraph is not supported"
STATUSES = {  # every status known, with what it means beside the compiler's own words
    MAPPED: "",
    LATER: "it comes after an operator that does not map: everything after that runs on the CPU",
    "Operation not supported": "the Edge TPU has no such operator",
    "Operation version not supported": "its version is newer than the compiler knows",
    "Operation is working on an unsupported data type": "the Edge TPU takes int8 and uint8 only",
    "Operation is otherwise supported, but not mapped due to some unspecified limitation": "",
    "Tensor has unsupported rank (up to 3 innermost dimensions mapped)": "a batch, or more than three dimensions",
}
OLDER = "it was written by a newer converter than the compiler knows; convert with older operator versions"
FATAL = (  # sign in the output, and what it means
    (re.compile(r"Model not quantized"), "Model not quantized: the Edge TPU takes int8 only; quantize it in full"),
    (re.compile(r"Didn't find op for builtin opcode '\w+' version '\d+'"), OLDER),
    (re.compile(r"Op builtin_code out of range: \d+"), OLDER),
    (re.compile(r"Model could not be parsed"), "the compiler cannot read it: damaged, or with dynamic shapes"),
    (re.compile(r"Compilation failed due to large activation tensors in model"), "its activations are too large"),
    (re.compile(r"Internal compiler error. Aborting!"), "a fault of the compiler's own; simplify what it was given"),
    (re.compile(r"Invalid model: .*"), "the compiler does not take it"),
    (re.compile(r"Compilation failed!?"), "the compiler gives no reason"),
)


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the compiler said: its version, (operator, count, status) rows, and parameter memory in bytes."""

    version: str
    rows: tuple[tuple[str, int, str], ...]
    cached: int
    streamed: int

    @property
    def source(self) -> str:
        return f"edgetpu_compiler {self.version}"

    def placement(self, model: Tflite, left: Tflite) -> Placement:
        """Every operator of ``model``, with those marked that the compiled file ``left`` to the CPU."""
        outside = {(op.kind, op.name) for op in left.ops if op.custom != edgetpu_map.COMPILED}
        nodes = tuple(_nodes(self, model.ops, outside))
        partitions = sum(op.custom == edgetpu_map.COMPILED for op in left.ops)
        more = edgetpu_map.streamed(self.cached, self.streamed)
        return Placement((*nodes, *more), Evidence.STATIC, partitions, self.source)


def parse(log: str, model: Tflite, subject: str) -> Compiled:
    """The table and memory in the output of one successful run. Raises ToolchainError naming ``subject``."""
    try:
        versions = VERSION.findall(log)
        if not versions:
            raise ValueError("it does not say its version")
        if not versions[0].startswith(KNOWN):
            raise ValueError(f"version {versions[0]} is not {KNOWN}x, whose table is known")
        rows = tuple(_rows(log))
        _complete(log, rows, model)
        return Compiled(versions[0], rows, _memory(CACHED, log, "cached"), _memory(BEYOND, log, "streamed"))
    except ValueError as error:
        raise ToolchainError(
            f"{subject}: the table of edgetpu_compiler cannot be trusted: {error}. Where operators run is unknown, so "
            "this build is not judged. Is the edgetpu_compiler on PATH version 16.0, and its output whole? Run: "
            "edgetpu_compiler -s MODEL.tflite"
        ) from error


def fault(log: str) -> str:
    """Why the compiler made nothing, in its own words and ours; an empty string where it names no reason."""
    for sign, meaning in FATAL:
        if found := sign.search(log):
            return f'"{found[0].rstrip("!. ")}" ({meaning})'
    return ""


def _rows(log: str) -> Iterator[tuple[str, int, str]]:
    headers = list(HEADER.finditer(log))
    if len(headers) != 1:
        raise ValueError(f"there are {len(headers)} tables in its output")
    for line in log[headers[0].end() :].splitlines():
        text = line.strip()
        if text.startswith(AFTER):
            return
        if not text:
            continue
        row = ROW.match(text)
        if row is None:
            raise ValueError(f"the line {text[:60]!r} is none of a table")
        if row[3] not in STATUSES:
            raise ValueError(f"the status {row[3][:90]!r} of {row[1]} is not known")
        yield row[1], int(row[2]), row[3]


def _complete(log: str, rows: tuple[tuple[str, int, str], ...], model: Tflite) -> None:
    """The table must count every operator of the model, and agree with the totals above it."""
    told: Counter[str] = Counter()
    for kind, count, _ in rows:
        told[kind] += count
    there = Counter(op.kind for op in model.ops)
    if told != there:
        kind = next(kind for kind in {**there, **told} if told[kind] != there[kind])
        raise ValueError(f"it counts {told[kind]} {kind} where the model has {there[kind]}")
    mapped = sum(count for _, count, status in rows if status == MAPPED)
    sums = {"on the Edge TPU": mapped, "on the CPU": len(model.ops) - mapped, "in all": len(model.ops)}
    for what, pattern in TOTALS.items():
        said = pattern.search(log)
        if said and int(said[1]) != sums[what]:
            raise ValueError(f"its rows count {sums[what]} operators {what}, and the line above them {said[1]}")


def _memory(pattern: re.Pattern[str], log: str, what: str) -> int:
    found = pattern.search(log)
    if found is None:
        raise ValueError(f"it does not say how much memory its {what} parameters take")
    return round(float(found[1]) * UNIT[found[2]])


def _nodes(compiled: Compiled, ops: tuple[Op, ...], outside: set[tuple[str, str]]) -> Iterator[Node]:
    for op in ops:
        others = [(count, status) for kind, count, status in compiled.rows if kind == op.kind and status != MAPPED]
        count = sum(count for count, _ in others)
        same = [other for other in ops if other.kind == op.kind]
        named = [other for other in same if (other.kind, other.name) in outside]
        certain = len(named) == count or count in (0, len(same))
        # Should the compiled file name them otherwise: the subgraph comes first, so the CPU's are the last.
        on_cpu = op in (named if len(named) == count else same[len(same) - count :])
        made = _placed(op, others) if on_cpu else edgetpu_map.node(op, "")
        doubt = f" ({count} of {len(same)} {op.kind}: which, is inferred from their order)"
        yield made if certain else replace(made, reason=made.reason + doubt)


def _placed(op: Op, others: list[tuple[int, str]]) -> Node:
    """The operator on the CPU, with the compiler's words, and what the rules know where those name several reasons."""
    status = " or ".join(status for _, status in others)
    meaning = edgetpu_rules.refusal(op) or STATUSES.get(status, "")
    return edgetpu_map.node(op, f'the compiler says "{status}"' + (f": {meaning}" if meaning else ""))
