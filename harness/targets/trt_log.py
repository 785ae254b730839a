"""The per-layer table at the end of TensorRT's VERBOSE build log: its only word on types without a GPU.

An engine made for another GPU cannot be loaded here, so there is no inspector to ask. A table that is missing, cut
short or not understood is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ToolchainError
from harness.targets.trt_engine import Layer, Tensor, dtype_of

MAX_LOG = 64 << 20  # bytes
START, END = "[VERBOSE] Layers:", "I/O Tensors:"
LINE = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<kind>[^,]+), Inputs: \[(?P<inputs>.*?)\], Constants: \[(?P<constants>.*?)\], "
    r"Outputs: \[(?P<outputs>.*?)\], TacticName: .*?, StreamId: \d+,(?P<more>.*)"
)
TENSOR = re.compile(r"\{ Name: (.*?), Dimensions: \[[-\d,]*\],.*?Datatype: (\w+), Format: ")
NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")


def read_log(path: Path, subject: str, version: str) -> tuple[Layer, ...]:
    """The layers of a build's standard output; ToolchainError naming ``subject``."""
    if not path.is_file():
        raise ToolchainError(f"{subject}: TensorRT left no log ({path}), so nothing tells in which types it computes.")
    if path.stat().st_size > MAX_LOG:
        raise ToolchainError(f"{subject}: TensorRT's log {path} is larger than {MAX_LOG >> 20} MiB; not read.")
    return parse(path.read_text(encoding="utf-8", errors="replace"), subject, version)


def parse(log: str, subject: str, version: str) -> tuple[Layer, ...]:
    """The layers of the last build in ``log``, in order; ToolchainError when any part is not understood."""
    try:
        layers = tuple(_layer(line) for line in _table(log.splitlines()))
        if not layers:
            raise ValueError("it is empty")
        return layers
    except ValueError as error:
        raise ToolchainError(
            f"{subject}: the layer table in TensorRT's build log cannot be trusted: {error}. In which types layers "
            f"compute is unknown, so this build is not judged. Tables of {version} with ProfilingVerbosity.DETAILED "
            "and a VERBOSE logger are read. Run: voxgate toolchain install jetson"
        ) from error


def _table(lines: list[str]) -> Iterator[str]:
    starts = [number for number, line in enumerate(lines) if line == START]
    if not starts:
        raise ValueError("there is none in its output")
    for line in lines[starts[-1] + 1 :]:
        if line == END:
            return
        if line:
            yield line
    raise ValueError(f"it is cut short: no {END!r} follows")


def _layer(line: str) -> Layer:
    row = LINE.fullmatch(line)
    if row is None:
        raise ValueError(f"the row {line[:80]!r} has not the parts Name to Metadata")
    more = row["more"]
    if "Metadata:" not in more:
        raise ValueError(f"the row {line[:80]!r} has no Metadata")
    nodes = tuple(NODE.findall(more.partition("Metadata:")[2]))
    _tensors(row["constants"])  # nobody asks for them, but a table is understood as a whole or not at all
    return Layer(row["name"], row["kind"], _tensors(row["inputs"]), _tensors(row["outputs"]), nodes)


def _tensors(said: str) -> tuple[Tensor, ...]:
    found = tuple(Tensor(name, dtype_of(dtype)) for name, dtype in TENSOR.findall(said))
    if len(found) != said.count("{ Name: "):
        raise ValueError(f"{said[:80]!r} is no list of tensors with Dimensions, Datatype and Format")
    return found
