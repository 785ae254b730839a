"""Batches that the model could not take are refused in words, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from harness.targets.workers.qat_check import first_batch
from harness.targets.workers.qat_export import RefusedError

STATES = {"before": "after"}


class Code:
    """The candidate's code, with batches alone."""

    def __init__(self, *parts: npt.NDArray[np.float32]) -> None:
        self._parts = parts

    def batches(self, data: Path, epoch: int, seed: int) -> object:
        return iter([self._parts] if self._parts else [])


@pytest.mark.parametrize(
    ("parts", "states", "says"),
    [
        ((), {}, "its batches give none"),
        (((8, 5, 40), (8,)), {}, r"give inputs \(8, 5, 40\), where the model takes \(n, 1, 4, 40\)"),
        (((8, 1, 4, 40), (8,)), STATES, r"where the model takes \(n, steps, 1, 4, 40\)"),
        (((8, 9, 1, 4, 40), (8, 9)), STATES, r"no third part \(n,\), true for each sequence that begins in silence"),
        (((8, 9, 1, 4, 40), (8, 9), (9,)), STATES, "no third part"),
    ],
)
def test_batches_of_another_form_are_refused(
    parts: tuple[tuple[int, ...], ...], states: dict[str, str], says: str
) -> None:
    request = {"data": "speech", "seed": 1, "states": states, "shapes": [[1, 1, 4, 40], [1, 64]]}
    with pytest.raises(RefusedError, match=says):
        first_batch(Code(*(np.zeros(shape, np.float32) for shape in parts)), request)
