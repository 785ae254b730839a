"""A profile of Qualcomm AI Hub: where each layer ran on a hosted device, and how long every inference took."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import ToolchainError
from harness.targets.base import Evidence, Node, Placement

MAX_PROFILE = 64 << 20  # bytes
UNITS = ("NPU", "GPU", "CPU")
ACCELERATOR = "NPU"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer as the device ran it."""

    name: str
    kind: str
    unit: str


@dataclass(frozen=True, slots=True)
class Profile:
    """What one device told; times in milliseconds, of every inference."""

    layers: tuple[Layer, ...]
    times_ms: tuple[float, ...]

    def placement(self, compiled: Placement, device: str) -> Placement:
        """Where the device ran each layer, with the type the compiler recorded for the layer of that name.

        What the compiler said falls back (float inside the accelerator) still does: a profile tells no types.
        """
        known = {node.name: node for node in compiled.nodes}
        ran = [_node(layer, known.get(layer.name), device) for layer in self.layers]
        named = {node.name for node in ran}
        unnamed = [node for node in compiled.fallbacks if node.name not in named]
        source = f"profile of {device}; types by {compiled.source}"
        return Placement((*ran, *unnamed), Evidence.BOARD, compiled.partitions, source)


def read(path: Path, subject: str) -> Profile:
    """Raises ToolchainError naming ``subject`` where the profile is missing or not understood."""
    try:
        if path.stat().st_size > MAX_PROFILE:
            raise ValueError(f"it is larger than {MAX_PROFILE >> 20} MiB")
        said = json.loads(path.read_text(encoding="utf-8"))
        layers = tuple(_layer(layer) for layer in said["execution_detail"])
        times = tuple(float(time) / 1000 for time in said["execution_summary"]["all_inference_times"])
        if not layers or not times or min(times) <= 0:
            raise ValueError(f"it tells of {len(layers)} layers and {len(times)} inferences")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ToolchainError(
            f"{subject}: the hosted device's profile {path.name} cannot be trusted: {why}. What ran where, and how "
            "long, is unknown, so this build is not judged. Is this qai-hub 0.56.0? Run: voxgate toolchain install "
            "qai-hub"
        ) from error
    return Profile(layers, times)


def _layer(said: dict[str, Any]) -> Layer:
    if said["compute_unit"] not in UNITS:
        raise ValueError(f"layer {said['name']!r:.60} ran on {said['compute_unit']!r:.20}")
    return Layer(str(said["name"]), str(said["type"]), said["compute_unit"])


def _node(layer: Layer, known: Node | None, device: str) -> Node:
    compiled = known or Node(layer.name, layer.kind, "unknown", "npu", False)
    if layer.unit == ACCELERATOR:
        return compiled
    return replace(compiled, where=layer.unit.lower(), fallback=True, reason=f"{device} ran it on its {layer.unit}")
