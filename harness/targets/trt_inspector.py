"""What TensorRT's EngineInspector says of an engine on a board, in the JSON of both majors.

10.x describes a tensor by "Format/Datatype" and lists "Bindings"; 11.x has Format and Datatype apart and lists
"I/O Tensors". An engine built without ProfilingVerbosity.DETAILED has names for layers, no types: an error.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import ToolchainError
from harness.targets.trt_engine import Layer, Tensor, dtype_of
from harness.targets.trt_log import NODE

MAX_JSON = 64 << 20  # bytes
BOUNDARIES = ("Bindings", "I/O Tensors")


def read(path: Path, subject: str) -> tuple[Layer, ...]:
    """The layers of an inspector's JSON file; ToolchainError naming ``subject``."""
    if not path.is_file():
        raise ToolchainError(f"{subject}: the inspector of the engine left no {path.name}; build it anew.")
    if path.stat().st_size > MAX_JSON:
        raise ToolchainError(f"{subject}: the inspector's {path} is larger than {MAX_JSON >> 20} MiB; not read.")
    return parse(path.read_text(encoding="utf-8", errors="replace"), subject)


def parse(said: str, subject: str) -> tuple[Layer, ...]:
    """The layers, in the order of the engine; ToolchainError when any part is not understood."""
    try:
        whole = json.loads(said)
        if not isinstance(whole, dict) or not isinstance(whole.get("Layers"), list):
            raise ValueError('it has no list "Layers"')
        if not any(name in whole for name in BOUNDARIES):
            raise ValueError(f"it has neither of {' and '.join(map(repr, BOUNDARIES))}, as 10.x and 11.x write them")
        layers = tuple(_layer(layer, number) for number, layer in enumerate(whole["Layers"]))
        if not layers:
            raise ValueError('its "Layers" are empty')
        return layers
    except (ValueError, RecursionError) as error:
        raise ToolchainError(
            f"{subject}: what the EngineInspector says of this engine cannot be trusted: {error}. In which types "
            "layers compute is unknown, so this build is not judged. It is read as TensorRT 10.3 to 11 write it, of "
            "engines built with ProfilingVerbosity.DETAILED; remove .voxgate/cache/artifacts and run again."
        ) from error


def _layer(said: Any, number: int) -> Layer:
    if isinstance(said, str):
        raise ValueError(f"layer {number} is only a name ({said[:60]!r}): the engine was not built DETAILED")
    if (
        not isinstance(said, dict)
        or not isinstance(said.get("Name"), str)
        or not isinstance(said.get("LayerType"), str)
    ):
        raise ValueError(f"layer {number} has no Name and LayerType")
    name, metadata = said["Name"], said.get("Metadata", "")
    # Without metadata a fused layer is named after the nodes in it: "conv + relu".
    nodes = NODE.findall(metadata) if isinstance(metadata, str) and metadata else name.split(" + ")
    return Layer(name, said["LayerType"], _tensors(said, "Inputs", name), _tensors(said, "Outputs", name), tuple(nodes))


def _tensors(said: dict[str, Any], which: str, layer: str) -> tuple[Tensor, ...]:
    tensors = said.get(which)
    if not isinstance(tensors, list):
        raise ValueError(f"layer {layer!r} has no list {which!r}")
    return tuple(_tensor(each, layer) for each in tensors)


def _tensor(said: Any, layer: str) -> Tensor:
    if not isinstance(said, dict) or not isinstance(said.get("Name"), str):
        raise ValueError(f"a tensor of layer {layer!r} has no Name")
    typed = said.get("Datatype", said.get("Format/Datatype"))
    if not isinstance(typed, str):
        raise ValueError(f"tensor {said['Name']!r} of layer {layer!r} has neither Datatype nor Format/Datatype")
    return Tensor(said["Name"], dtype_of(typed))
