"""A window of features in the shape that a model's input has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]


class Mislaid(ValueError):
    """The input holds no such window: a fault of the conversion."""


def laid(window: Array, shape: Sequence[int]) -> Array:
    """``window`` ``(frames, bins)`` as ``shape``, which holds both, in either order, among ones.

    A converter may have turned frames and bins around: where they differ the shape tells, where they are equal only
    parity with the model it came from can. Raises Mislaid for any other shape.
    """
    wanted = [int(size) for size in shape if size != 1]
    given = [size for size in window.shape if size != 1]
    if wanted == given:
        return window.reshape(shape)
    if wanted == given[::-1]:
        return np.ascontiguousarray(window.T).reshape(shape)
    raise Mislaid(
        f"the input of the converted model is {list(map(int, shape))}, which does not hold windows of "
        f"{window.shape[0]} frames x {window.shape[1]} bins: the conversion changed it. Convert it with static shapes "
        "and batch 1."
    )
