"""Slow drift is told, each step of it far inside the limit; noise and repeated runs are not."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from harness.history import Point
from harness.trend import FEWEST, SURE, drifting
from tests.report.rows import row

NIGHTS = 40
FIGURES = 30


def points(**figures: Iterable[float]) -> list[Point]:
    """Runs of some gates' figures, by name ``gate``; the limit of all is 4."""
    found = []
    for gate, values in figures.items():
        found += [
            Point(f"r{i:03}", f"2026-{i:03}", 0, f"key-{i}", row(gate, "overall", value, limit=4.0))
            for i, value in enumerate(values)
        ]
    return found


def test_steps_inside_their_noise_add_up_to_drift() -> None:
    """0.02 points a release, noise of 0.05: no release differs visibly from the one before."""
    random = np.random.default_rng(1)
    found = drifting(points(accuracy=0.3 + 0.02 * np.arange(30) + random.normal(0, 0.05, 30)))
    assert [each.gate for each in found] == ["accuracy"]
    assert found[0].p < SURE
    assert "accuracy overall of commands on rk3588/w8a8 rises toward its limit of 4 points" in found[0].text


def test_a_figure_with_a_least_drifts_by_falling() -> None:
    falling = 30 - 0.5 * np.arange(12)
    assert [each.gate for each in drifting(points(sqnr=falling, accuracy=falling))] == ["sqnr"]
    assert "falls toward" in drifting(points(sqnr=falling))[0].text


def test_drift_is_found_among_hundreds_of_quiet_figures() -> None:
    random = np.random.default_rng(2)
    quiet = {f"g{i}": random.normal(0.4, 0.1, 12) for i in range(200)}
    assert [each.gate for each in drifting(points(**quiet, accuracy=0.1 * np.arange(12)))] == ["accuracy"]


@pytest.mark.parametrize(
    "values",
    [
        [0.3] * NIGHTS,
        [0.3] * 20 + [0.9] * 20,  # one step: that is the regression gate's
        list(0.3 + 0.001 * np.arange(NIGHTS)),  # for certain, but a hundredth of the limit
        list(3.0 - 0.05 * np.arange(NIGHTS)),  # toward the better
        list(0.1 * np.arange(FEWEST - 1)),
    ],
)
def test_what_is_no_drift(values: list[float]) -> None:
    assert drifting(points(accuracy=values)) == []


def test_a_figure_over_its_limit_of_nothing_is_told() -> None:
    rows = [row("placement", "fallback", float(i), limit=0.0, unit="nodes") for i in range(12)]
    found = [Point(f"r{i}", f"{i:02}", 0, "", each) for i, each in enumerate(rows)]
    assert [each.gate for each in drifting(found)] == ["placement"]


def test_alarms_without_drift_are_rarer_than_promised() -> None:
    """A/A: 300 candidates of 30 noisy figures over 40 nights, noise as wide as a quarter of the limit."""
    random = np.random.default_rng(3)
    alarms = 0
    for _ in range(300):
        alarms += bool(drifting(points(**{f"g{i}": random.normal(2, 1, NIGHTS) for i in range(FIGURES)})))
    assert alarms <= 3  # 0.3 expected


def test_alarms_stay_rare_when_every_night_asks_anew() -> None:
    """100 candidates asked each night of a year's quarter: the same noise is looked at 90 times."""
    random = np.random.default_rng(4)
    alarmed = 0
    for _ in range(100):
        noise = random.normal(2, 1, 90)
        alarmed += any(drifting(points(accuracy=noise[:night])) for night in range(FEWEST, 91, 3))
    assert alarmed <= 6
