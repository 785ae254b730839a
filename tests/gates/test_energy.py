"""Energy against its budget: bounds over blocks decide, and a meter that sees no work passes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.energy import Energy
from harness.gates.energy import judge
from harness.verdict import Outcome
from tests.gates.conftest import MakeBuild


def found(mean: float = 7.5, spread: float = 0.1, blocks: int = 10) -> Energy:
    mj = mean + spread * np.tile([-1.0, 1.0], blocks // 2)
    return Energy(mj, np.full(blocks, 2.0), 3.5, 6000, "stand-in: a simulated meter", "host monotonic")


@pytest.mark.parametrize(("limit", "expected"), [(8.0, Outcome.PASS), (7.5, Outcome.INCONCLUSIVE), (7.0, Outcome.FAIL)])
def test_the_bounds_decide(build: MakeBuild, limit: float, expected: Outcome) -> None:
    row = judge(build(f"energy_mj = {limit}"), found(), "board")
    assert row.outcome is expected
    assert (row.gate, row.slice, row.unit, row.n) == ("energy", "per inference, end to end", "mJ", 10)
    assert (row.evidence, row.source) == ("board", "stand-in: a simulated meter")
    assert row.low is not None
    assert row.high is not None
    assert row.low < 7.5 < row.high
    assert "3.5 W at work less 2 W at rest" in row.detail


@pytest.mark.parametrize("mean", [0.0, -0.3, 0.02])
def test_work_that_does_not_stand_out_of_rest_is_no_pass(build: MakeBuild, mean: float) -> None:
    row = judge(build("energy_mj = 8"), found(mean), "board")
    assert row.outcome is Outcome.INCONCLUSIVE
    assert "is the meter in this board's supply" in row.detail


@pytest.mark.parametrize("limit", [8.0, 7.0])
def test_what_a_throttled_board_spends_is_not_the_models(build: MakeBuild, limit: float) -> None:
    disturbed = replace(found(), throttled="other processes held the CPU 52% of the time")
    row = judge(build(f"energy_mj = {limit}"), disturbed, "board")
    assert row.outcome is Outcome.INCONCLUSIVE
    assert row.detail.endswith("other processes held the CPU 52% of the time")


def test_few_blocks_widen_the_interval(build: MakeBuild) -> None:
    many, few = judge(build("energy_mj = 8"), found(), "board"), judge(build("energy_mj = 8"), found(blocks=2), "board")
    assert few.high is not None
    assert many.high is not None
    assert few.high > many.high
    assert few.outcome is Outcome.INCONCLUSIVE
