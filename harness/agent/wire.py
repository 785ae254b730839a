"""Arrays as execnet carries them: bytes with a shape and a type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

MOST = 64 << 20  # bytes of one array
KINDS = ("<f4", "<f8", "<i2", "<i8")


def pack(array: npt.NDArray[Any]) -> dict[str, Any]:
    """A dictionary of builtin values."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {"kind": array.dtype.str, "shape": list(array.shape), "data": array.tobytes()}


def unpack(packed: dict[str, Any]) -> npt.NDArray[Any]:
    """The array again, not to be written to. Raises ValueError for what no ``pack`` made."""
    kind, data = packed["kind"], packed["data"]
    if kind not in KINDS or len(data) > MOST:
        raise ValueError(f"an array of type {kind!r:.10} and {len(data)} bytes is refused")
    return np.frombuffer(data, dtype=kind).reshape(packed["shape"])
