"""The shipped wake word: one function as a step, as a whole, and in two formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.agent.steps import open_step
from harness.boards.whole import whole_scores
from harness.candidate import Candidate, load

CHECKOUT = Path(__file__).parents[2]
MINUTES = 31


@pytest.fixture(scope="module")
def computer() -> Candidate:
    return load(CHECKOUT / "models" / "computer", CHECKOUT)


def heard(steps: int) -> np.ndarray:
    """Features of a level that wanders as a room's does."""
    own = np.random.default_rng(3)
    level = np.cumsum(own.standard_normal(steps)) / np.sqrt(steps)
    return (own.standard_normal((steps, 4, 40)) + level[:, None, None]).astype(np.float32)


def test_streaming_says_for_half_an_hour_what_the_whole_says_at_once(computer: Candidate) -> None:
    features = heard(round(MINUTES * 60 / computer.frontend.step_s))
    step = open_step(computer.model, computer.states)
    streamed = np.array([step(each) for each in features])
    assert computer.whole is not None
    assert np.abs(streamed - whole_scores(computer.whole, features)).max() <= 1e-4
    assert streamed.std() > 0.1


def test_both_formats_hear_the_same(computer: Candidate) -> None:
    assert computer.tflite is not None
    both = [open_step(file, computer.states) for file in (computer.model, computer.tflite)]
    said = np.array([[step(each) for step in both] for each in heard(400)])
    assert np.abs(said[:, 0] - said[:, 1]).max() <= 1e-4
