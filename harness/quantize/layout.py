"""A window of features in the shape that a model's input has: the host's face of ``harness.agent.layout``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.agent import layout
from harness.errors import CandidateError

Array = npt.NDArray[np.float32]


def laid(window: Array, shape: Sequence[int]) -> Array:
    """``window`` as ``shape``, as :func:`harness.agent.layout.laid`. Raises CandidateError where it does not fit."""
    try:
        return layout.laid(window, shape)
    except layout.Mislaid as error:
        raise CandidateError(str(error)) from error
