"""What an RK3588 says of its time: the tables of rknn-toolkit2's eval_perf, or of the runtime itself.

The compiler's table (:mod:`harness.targets.rknn_table`) counts nodes; a single node on the CPU may take most of the
time, which only a board tells. Rows must add up to the printed totals: a table cut short is an error, never "no CPU".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.errors import ToolchainError
from harness.targets.base import Evidence, OpTime, Profile
from harness.targets.rknn_table import MAX_LOG, PREFIX, TITLE, block

RANKING = "Operator Time Consuming Ranking Table"
TIMES = re.compile(r"([CGN]PU)Time\(us\)")
ELAPSED = re.compile(r"Total Operator Elapsed Per Frame Time\(us\): ?(\d+)")
SOURCE = "performance detail of the RKNN runtime, layer by layer"


def parse(log: str, subject: str, evidence: Evidence = Evidence.BOARD) -> Profile:
    """The time of every operator by unit, from the last tables in ``log``.

    Raises ToolchainError, naming ``subject``, where any part is missing, cut short, or does not add up.
    """
    try:
        if len(log) > MAX_LOG:
            raise ValueError(f"it is larger than {MAX_LOG >> 20} MiB")
        lines = [PREFIX.sub("", line).rstrip() for line in log.splitlines()]
        ops = tuple(_ops(block(lines, RANKING)))
        _adds_up(ops, lines)
        return Profile(ops, evidence, SOURCE)
    except ValueError as error:
        raise ToolchainError(
            f"{subject}: the board's table of operator times cannot be trusted: {error}. The CPU's share of the time "
            "is unknown, so it is not judged. Is the board's librknnrt as new as the toolkit? Of a log of eval_perf(): "
            "were perf_debug=True and rknn_server used, and was all of it kept?"
        ) from error


def _ops(table: Sequence[str]) -> Iterator[OpTime]:
    columns = table[0].split()
    units = {column: unit[1].lower() for column in columns if (unit := TIMES.fullmatch(column))}
    missing = {"OpType", "CallNumber", "CPUTime(us)", "NPUTime(us)", "TotalTime(us)"} - set(columns)
    if missing:
        raise ValueError(f"it has no column {', '.join(sorted(missing))}")
    for line in table[1:]:
        cells = line.split()
        if len(cells) != len(columns):
            raise ValueError(f"the row {line.strip()[:40]!r} has {len(cells)} cells for {len(columns)} columns")
        row = dict(zip(columns, cells, strict=True))
        us = {unit: float(_count(row[column], row["OpType"])) for column, unit in units.items()}
        if sum(us.values()) != _count(row["TotalTime(us)"], row["OpType"]):
            raise ValueError(f"the times of {row['OpType']} do not add up to their {row['TotalTime(us)']} us")
        yield OpTime(row["OpType"], _count(row["CallNumber"], row["OpType"]), us)


def _adds_up(ops: Sequence[OpTime], lines: Sequence[str]) -> None:
    """Operators against the elapsed time and against the layers, each printed by itself."""
    said = [int(found[1]) for line in lines if (found := ELAPSED.search(line))]
    if not said:
        raise ValueError("the elapsed time of a frame is missing")
    whole = sum(sum(op.us.values()) for op in ops)
    if whole != said[-1] or not whole:
        raise ValueError(f"its operators take {whole:.0f} us, the frame {said[-1]}")
    layers, calls = len(block(lines, TITLE)) - 1, sum(op.calls for op in ops)
    if layers != calls:
        raise ValueError(f"it counts {calls} calls of operators for {layers} layers")


def _count(cell: str, op: str) -> int:
    if not cell.isdecimal():
        raise ValueError(f"{cell!r} of {op} is no count")
    return int(cell)
