"""Why a node is not on the HTP, from the lines onnxruntime's QNN provider logs while it partitions.

A node unit that fails is logged as one message: its nodes, one a line, and a REASON. What the backend's validator
refused stands in the message before it, as an error code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.errors import ToolchainError

MAX_LOG = 64 << 20  # bytes
FAILED = re.compile(r"^Validation FAILED for (\d+) nodes in OrtNodeUnit \((.*)\) :$")
NODE = re.compile(r"^\tOperator type: (\S*) Node name: (.*) Node index: \d+$")
REASON = re.compile(r"^\tREASON : (.*)$")
REFUSED = re.compile(r"^QNN\.backendValidateOpConfig\(\) failed for node `.*` of type `(.*)` with error code (\d+)$")
GENERIC = "Failed to add node."  # what the REASON says wherever the validator refused

Line = tuple[int, str, str]  # severity, place in the source, message


def read(path: Path, subject: str) -> list[Line]:
    """The recorded lines of one build. Raises ToolchainError where they are missing or not what was recorded."""
    try:
        if path.stat().st_size > MAX_LOG:
            raise ValueError(f"larger than {MAX_LOG >> 20} MiB")
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [_line(line) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise _not_understood(subject, f"its record {path.name} cannot be read ({error})") from error


def _line(line: Any) -> Line:
    severity, place, message = line
    if not isinstance(severity, int) or not isinstance(place, str) or not isinstance(message, str):
        raise TypeError(f"{str(line)[:80]!r} is not a severity, a place and a message")
    return severity, place, message


def reasons(lines: Iterable[Line], subject: str) -> dict[str, str]:
    """Node name to the reason it was last refused with. Raises ToolchainError for a message not understood."""
    found: dict[str, str] = {}
    refusal = ""
    for _, place, message in lines:
        said = message.strip("\n")
        refused = REFUSED.match(said)
        if refused:
            refusal = f"QNN's validator refuses {refused[1]} as it is quantized or shaped here (code {refused[2]})"
        elif place.endswith("LogNodeSupport"):
            if not said.startswith("Validation PASSED"):
                found.update(_unit(said.split("\n"), refusal, subject))
            refusal = ""
    return found


def _unit(lines: list[str], refusal: str, subject: str) -> dict[str, str]:
    """The reason of every node of one refused unit."""
    head = FAILED.match(lines[0])
    nodes = [match for line in lines[1:] if (match := NODE.match(line))]
    given = [match[1] for line in lines[1:] if (match := REASON.match(line))]
    if head is None or len(nodes) != int(head[1]) or len(nodes) + len(given) != len(lines) - 1:
        said = " ".join(lines)[:120]
        raise _not_understood(subject, f"the message {said!r} names {len(nodes)} nodes in {len(lines)} lines")
    reason = " ".join(given).strip()
    if refusal and (not reason or reason == GENERIC):
        reason = refusal
    reason = reason or "QNN's provider gives no reason"
    core = next((node[2] for node in nodes if node[1] == head[2]), nodes[0][2])
    return {node[2]: reason if node[2] == core else f"goes with {head[2]} {core}: {reason}" for node in nodes}


def _not_understood(subject: str, fault: str) -> ToolchainError:
    return ToolchainError(
        f"{subject}: the log of QNN's provider cannot be trusted: {fault}. Why nodes are off the HTP is unknown, so "
        "this build is not judged. Is this onnxruntime-qnn 2.7.0? Run: voxgate toolchain install htp"
    )
