"""Rooms of the house as they were simulated once: its golden outputs were made in these, on whatever processor.

python -m harness.audio.simulated    # simulates them anew, which a change of a room or of its simulation asks for
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Responses = npt.NDArray[np.float32]

HERE = Path(__file__).parent


def find(room: dict[str, Any], sample_rate: int) -> tuple[Responses, tuple[float, ...]] | None:
    """Responses ``(n, taps)`` and their RT60 in seconds; None where not this very room was simulated at this rate."""
    from safetensors import safe_open

    path = _place(room, sample_rate)
    if not path.is_file():
        return None
    with safe_open(path, framework="numpy") as file:
        told = file.metadata()
        if json.loads(told["room"]) != json.loads(json.dumps(room)):
            return None
        return file.get_tensor("responses"), tuple(json.loads(told["rt60_s"]))


def files(name: str) -> list[Path]:
    """What holds the responses of a room of this name, at whatever rate."""
    return sorted(HERE.glob(f"{name}-*.safetensors"))


def keep(room: dict[str, Any], sample_rate: int, responses: Responses, rt60_s: Sequence[float], made_with: str) -> None:
    from safetensors.numpy import save_file

    told = {"room": json.dumps(room), "rt60_s": json.dumps(list(rt60_s)), "made_with": made_with}
    save_file({"responses": np.ascontiguousarray(responses)}, _place(room, sample_rate), told)


def _place(room: dict[str, Any], sample_rate: int) -> Path:
    return HERE / f"{room['name']}-{sample_rate}.safetensors"
