"""What makes a board's figures not its model's: told in words, and only when it is so."""

from __future__ import annotations

from typing import Any

import pytest

from harness.boards.vitals import summary, throttled

PINNED = {"policy0": "performance"}


def sample(at: float, **more: Any) -> dict[str, Any]:
    """A look at a healthy board; ``more`` is what ails it."""
    healthy = {
        "at": at,
        "cpu_s": at,
        "mhz": {"policy0": [1800.0, 1800.0]},
        "celsius": {"soc": 40.0 + at},
        "cooling": {"thermal-cpufreq-0": 0},
        "throttles": 5,
        "load": 1.0,
        "waited_s": 0.01 * at,
    }
    return {**healthy, **more}


def test_a_healthy_board_is_not_throttled() -> None:
    assert throttled([sample(0), sample(1), sample(2)], PINNED) == ""


@pytest.mark.parametrize(
    ("ailing", "said"),
    [
        ({"cooling": {"thermal-cpufreq-0": 2}}, "cooling device thermal-cpufreq-0 at step 2 (soc 42 °C)"),
        ({"throttles": 9}, "the CPU throttled itself 4 times (soc 42 °C)"),
        ({"mhz": {"policy0": [1200.0, 1800.0]}}, "policy0 at 1200 of 1800 MHz (soc 42 °C)"),
        ({"mhz": {"policy0": [1200.0, 1200.0]}}, "policy0 at 1200 of 1800 MHz (soc 42 °C)"),
        ({"waited_s": 1.0, "load": 2.1}, "other processes held the CPU 50% of the time (load 2.1)"),
    ],
    ids=["cooling", "counter", "clock", "limit", "crowded"],
)
def test_what_slows_it_is_named(ailing: dict[str, Any], said: str) -> None:
    assert throttled([sample(0), sample(1), sample(2, **ailing)], PINNED) == said


def test_one_look_in_the_middle_is_enough() -> None:
    assert "step 1" in throttled([sample(0), sample(1, cooling={"thermal-cpufreq-0": 1}), sample(2)], PINNED)


def test_a_governor_that_moves_clocks_makes_noise_not_throttling() -> None:
    samples = [sample(0), sample(1, mhz={"policy0": [600.0, 1800.0]})]
    assert throttled(samples, {"policy0": "schedutil"}) == ""
    assert throttled(samples, PINNED) != ""


def test_a_board_that_tells_nothing_is_not_called_throttled() -> None:
    bare = {"at": 0.0, "cpu_s": 0.0, "mhz": {}, "celsius": {}, "cooling": {}, "throttles": 0, "load": 9.0}
    assert throttled([bare, {**bare, "at": 2.0}], {}) == ""
    assert throttled([bare], {}) == ""


def test_the_record_has_ranges() -> None:
    found = summary([sample(0), sample(2, mhz={"policy0": [1200.0, 1800.0]})], PINNED)
    assert found["mhz"] == {"policy0": [1200.0, 1800.0]}
    assert found["celsius"] == {"soc": [40.0, 42.0]}
    assert (found["seconds"], found["throttles"], found["governors"]) == (2, 0, PINNED)
    assert summary([], {}) == {}
