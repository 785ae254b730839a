"""What SNPE's profiling tools say of one run: snpe-diagview's layers and times, snpe-throughput-net-run's rate.

Layers are the only evidence of where a DLC ran: the runtimes column of snpe-dlc-info says the same of every layer.
A listing that is missing, cut short or not understood is an error, never "no fallback".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import ToolchainError
from harness.targets.base import Evidence, Node, Placement

DSP = "DSP"
SUM = 0.99  # of a subnet's cycles its layers must make up: 0.9997 and more in recorded listings
VERSION = re.compile(r"^\s*Software library version: (\S+)", re.MULTILINE)
TIME = r"^\s*{}: (\d+) ?(?:us|NONE)?\s*$"  # "0 " or "0 NONE" where a unit took no part
SUBNETS = "Per-Subnet Execution Times:"
LAYERS = "Per-Layer Execution Times:"
SUBNET = re.compile(r"^\s*Subnet (\d+) \((AIP|CPU|DSP|GPU)\) ?: (\d+) (cycles|us)\s*$")
LAYER = re.compile(r"^\s*(\d+): (.+) : (\d+) (cycles|us) : (AIP|CPU|DSP|GPU)\s*$")
TAGS = re.compile(r"( \(cycles\)|:OpId_\d+| OpId_\d+)+$")  # what diagview appends to the names of layers
TOTAL_RATE = re.compile(r"^Total throughput: ([\d.]+(?:e[+-]?\d+)?) infs/sec\s*$", re.MULTILINE)
COUNT = re.compile(r"^\[Thread \d+ - (\w+)\].*Number of images processed: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer as it ran; ``time`` in ``unit``, which is cycles on the DSP and us elsewhere."""

    name: str
    time: int
    unit: str
    where: str  # CPU, GPU, DSP, AIP


@dataclass(frozen=True, slots=True)
class Profile:
    """One snpe-diagview listing: microseconds averaged over the run's inferences."""

    version: str
    total_us: int
    rpc_us: int
    accelerator_us: int
    subnets: tuple[tuple[str, int, str], ...]  # where, time, unit
    layers: tuple[Layer, ...]

    def require(self, least: int, subject: str) -> None:
        """Raise ToolchainError where it has fewer layers than the model's convolutions and linear layers: ``least``."""
        if len(self.layers) < least:
            raise _not_trusted(
                subject, f"it has {len(self.layers)} layers, and the model {least} convolutions and linear layers"
            )

    def placement(self, board: str, ops: dict[str, str], *, quantized: bool = True) -> Placement:
        """Every layer, with all that ran off the DSP marked, and every further subnet. ``ops``: see :func:`op_of`."""
        nodes = [_node(layer, ops, quantized) for layer in self.layers]
        for number, (where, _, _) in enumerate(self.subnets[1:] if quantized else (), start=1):
            reason = f"the graph was cut into {len(self.subnets)} subnets, with a copy between each"
            nodes.append(Node(f"Subnet {number}", "Subnet", "mixed", where.lower(), True, reason))
        source = f"snpe-diagview {self.version} on {board}"
        return Placement(tuple(nodes), Evidence.BOARD, len(self.subnets), source)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Inferences one after another for a while: how many, at what rate, in which runtime (as dsp_fixed8_tf)."""

    per_second: float
    count: int
    runtime: str


def parse(text: str, subject: str) -> Profile:
    """The listing of a run; ToolchainError naming ``subject`` where any part of it is not understood."""
    try:
        found = VERSION.search(text)
        if found is None:
            raise ValueError("it states no software library version")
        times = [_time(text, name) for name in ("Total Inference Time", "RPC Execute Time", "Accelerator Time")]
        before, after = _sections(text)
        subnets, layers = _subnets(before), _layers(after)
        _complete(subnets, layers)
        return Profile(found[1], times[0], times[1], times[2], subnets, layers)
    except ValueError as error:
        raise _not_trusted(subject, str(error)) from error


def _not_trusted(subject: str, fault: str) -> ToolchainError:
    return ToolchainError(
        f"{subject}: snpe-diagview's listing cannot be trusted: {fault}. Where layers ran is unknown, so this build is "
        "not judged. Is it of SNPE 2.37 or near, from a run with --profiling_level detailed?"
    )


def throughput(text: str, subject: str) -> Throughput:
    """What snpe-throughput-net-run measured; ToolchainError where it does not say, or ran elsewhere than on the DSP."""
    rate, counts = TOTAL_RATE.search(text), COUNT.findall(text)
    if rate is None or not counts or float(rate[1]) <= 0:
        raise ToolchainError(
            f"{subject}: snpe-throughput-net-run printed no 'Total throughput: N infs/sec' with its count of "
            "images, so it measured nothing. Run it by hand with the same --container on the board."
        )
    runtime = counts[0][0]
    if not runtime.startswith("dsp"):
        raise ToolchainError(f"{subject}: snpe-throughput-net-run ran on {runtime}, not on the DSP as asked.")
    return Throughput(float(rate[1]), sum(int(count) for _, count in counts), runtime)


def op_of(layer: str, ops: dict[str, str]) -> str:
    """The operator of the model's node of a layer's name (``ops``, by :func:`plain` names), else its last word."""
    name = TAGS.sub("", layer)
    return ops.get(plain(name)) or name.rpartition("/")[2]


def plain(name: str) -> str:
    """A name as far as SNPE's converters keep it: letters and digits, joined by ``_``."""
    return re.sub(r"\W+", "_", name).strip("_")


def _time(text: str, name: str) -> int:
    found = re.findall(TIME.format(name), text, re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"it states {name} {len(found)} times instead of once")
    return int(found[0])


def _sections(text: str) -> tuple[list[str], list[str]]:
    """The lines of the subnets and those of the layers."""
    for title in (SUBNETS, LAYERS):
        if text.count(title) != 1:
            raise ValueError(f"it has {text.count(title)} sections {title!r} instead of one")
    _, _, rest = text.partition(SUBNETS)
    before, title, after = rest.partition(LAYERS)
    if not title:
        raise ValueError("its layers stand before its subnets")
    return _rows(before), _rows(after)


def _rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and line.strip(" -")]


def _subnets(lines: list[str]) -> tuple[tuple[str, int, str], ...]:
    found = [SUBNET.match(line) for line in lines]
    rows = [row for row in found if row]
    if len(rows) != len(found) or not rows:
        raise ValueError(f"{len(found) - len(rows)} of {len(found)} lines of subnets are not understood")
    if [int(row[1]) for row in rows] != list(range(len(rows))):
        raise ValueError("its subnets are not numbered from 0")
    return tuple((row[2], int(row[3]), row[4]) for row in rows)


def _layers(lines: list[str]) -> tuple[Layer, ...]:
    layers = []
    for number, line in enumerate(lines):
        row = LAYER.match(line)
        if row is None or int(row[1]) != number:
            raise ValueError(f"layer {number} is not understood: {line.strip()[:80]!r}")
        layers.append(Layer(row[2], int(row[3]), row[4], row[5]))
    return tuple(layers)


def _complete(subnets: tuple[tuple[str, int, str], ...], layers: tuple[Layer, ...]) -> None:
    if not layers:
        raise ValueError("it lists no layer")
    # In microseconds a subnet also waits; in cycles its layers make up the whole of it.
    whole = sum(time for _, time, unit in subnets if unit == "cycles")
    parts = sum(layer.time for layer in layers if layer.unit == "cycles")
    if parts < SUM * whole:
        raise ValueError(f"its layers make up {parts} of {whole} cycles: it is cut short")


def _node(layer: Layer, ops: dict[str, str], quantized: bool) -> Node:
    off = quantized and layer.where != DSP
    dtype = "int8" if layer.where == DSP else "unknown"
    reason = f"it ran on the {layer.where} ({layer.time} {layer.unit})" if off else ""
    return Node(TAGS.sub("", layer.name), op_of(layer.name, ops), dtype, layer.where.lower(), off, reason)
