"""What rknn-toolkit2's accuracy_analysis says of every layer: error_analysis.txt, read and turned into dB."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import ToolchainError
from harness.targets.base import LayerError

MAX_TEXT = 4 << 20  # bytes of one analysis
TITLE = re.compile(r"^layer_name\s+simulator_error\s*$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
NUMBER = r"([-+.\deE]+|nan|inf)"
ROW = re.compile(rf"^\[\w+\] (\S+)\s+{NUMBER} \| {NUMBER}\s+{NUMBER} \| {NUMBER}\s*$")
MERGED = re.compile(r"^\[\w+\] \S+\s*$")  # computed together with the row below
MATRIX = "_mm"  # what the toolkit appends to the output of a Gemm that it makes a convolution
EXACT_DB = 200.0  # where the toolkit's five digits show no error


def read(path: Path, subject: str) -> dict[str, tuple[float, float]]:
    """Each tensor's Euclidean error: with those of all layers before it, and by its own layer alone.

    Raises ToolchainError where the text is not what rknn-toolkit2 2.5.0 writes.
    """
    if not path.is_file() or path.stat().st_size > MAX_TEXT:
        raise ToolchainError(f"{subject}: rknn-toolkit2 left no {path.name} that can be read; its layers are unknown.")
    text = COLOUR.sub("", path.read_text(encoding="utf-8", errors="replace"))
    found, title = {}, TITLE.search(text)
    for line in text[title.end() :].splitlines() if title else ():
        row = ROW.match(line)
        if row:
            found[row[1]] = (float(row[3]), float(row[5]))
        elif line.startswith("[") and not MERGED.match(line):
            raise ToolchainError(
                f"{subject}: {path.name} of rknn-toolkit2 holds a row that is not understood: {line!r}."
            )
    if not found:
        raise ToolchainError(f"{subject}: {path.name} of rknn-toolkit2 names no layer; is this rknn-toolkit2 2.5.0?")
    return found


def errors(
    windows: Sequence[tuple[Mapping[str, tuple[float, float]], Mapping[str, float]]],
) -> dict[str, LayerError]:
    """dB of every tensor over all windows, from their Euclidean errors and the norms of their float values."""
    signal: dict[str, float] = defaultdict(float)
    noise: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for found, norms in windows:
        for name, euclidean in _whole(found).items():
            if name in norms:
                signal[name] += norms[name] ** 2
                noise[name] = [total + each**2 for total, each in zip(noise[name], euclidean, strict=True)]
    return {name: LayerError(*(_decibels(signal[name], each) for each in noise[name])) for name in noise}


def _whole(found: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """A Gemm's product, which the toolkit lists apart from the tensor it is reshaped to, told under that tensor."""
    whole = dict(found)
    for name, (_, alone) in found.items():
        tensor = name.removesuffix(MATRIX)
        if tensor != name and tensor in found:
            whole[tensor] = (found[tensor][0], max(alone, found[tensor][1]))
    return whole


def _decibels(signal: float, noise: float) -> float:
    return min(EXACT_DB, 10 * math.log10(signal / noise)) if signal and noise else EXACT_DB
