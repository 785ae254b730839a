"""A step remembers until it is reset, and says what it lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.agent.faults import Fault
from harness.agent.steps import open_step

COMPUTER = Path(__file__).parents[2] / "models" / "computer"
STATES = {"context": "context_next", "hidden": "hidden_next"}


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite"])
def test_a_reset_step_hears_as_a_fresh_one(name: str) -> None:
    own = np.random.default_rng(1)
    before, piece = own.standard_normal((2, 60, 4, 40)).astype(np.float32)
    used, fresh = (open_step(COMPUTER / name, STATES) for _ in range(2))
    for each in before:
        used(each)
    remembered = used(piece[0])
    used.reset()
    assert [used(each) for each in piece] == [fresh(each) for each in piece]
    fresh.reset()
    assert remembered != fresh(piece[0])


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite"])
def test_states_that_are_not_there_are_a_fault_of_the_model(name: str) -> None:
    with pytest.raises(Fault, match="does not load as a streaming step"):
        open_step(COMPUTER / name, {"memory": "memory_next"})
