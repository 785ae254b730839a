"""Percentiles of timings against budgets: the bounds decide, and noise fails nobody."""

from __future__ import annotations

import numpy as np
import pytest

from harness.gates.latency import judge, slowdown
from harness.measure import Latency, Ratio, needed, percentile
from harness.verdict import Outcome
from tests.gates.conftest import MakeBuild


def timed(rounds: int = 700, settled: bool = True, around: float = 5.0) -> Latency:
    samples = np.random.default_rng(0).normal(around, 0.5, rounds)
    return Latency(samples, 10, settled)


@pytest.mark.parametrize(("limit", "expected"), [(6.0, Outcome.PASS), (5.0, Outcome.INCONCLUSIVE), (4.9, Outcome.FAIL)])
def test_the_bounds_of_the_median_decide(build: MakeBuild, limit: float, expected: Outcome) -> None:
    (row,) = judge(build(f"latency_ms.p50 = {limit}"), timed(), "latency_ms")
    assert row.outcome is expected
    assert (row.slice, row.unit, row.n) == ("inference p50", "ms", 700)
    assert row.low is not None
    assert row.high is not None
    assert row.low < row.value < row.high


def test_a_median_beyond_its_limit_is_no_fail_while_its_interval_reaches_back(build: MakeBuild) -> None:
    (row,) = judge(build("latency_ms.p50 = 1000"), timed(), "latency_ms")
    assert row.value is not None
    (row,) = judge(build(f"latency_ms.p50 = {row.value - 1e-6}"), timed(), "latency_ms")
    assert row.outcome is Outcome.INCONCLUSIVE


def test_only_percentiles_with_a_limit_are_judged(build: MakeBuild) -> None:
    own = build("end_to_end_ms = { p50 = 9, p99 = 9 }")
    assert [row.slice for row in judge(own, timed(), "end_to_end_ms")] == ["end to end p50", "end to end p99"]
    assert judge(own, timed(), "latency_ms") == []


@pytest.mark.parametrize(("name", "q"), [("p95", 0.95), ("p99", 0.99)])
def test_too_few_rounds_are_inconclusive_and_say_how_many_are_needed(build: MakeBuild, name: str, q: float) -> None:
    own = build(f"latency_ms.{name} = 1000")
    (few,) = judge(own, timed(needed(q) - 1), "latency_ms")
    assert few.outcome is Outcome.INCONCLUSIVE
    assert few.value is None
    assert f"--rounds {needed(q)}" in few.detail
    (enough,) = judge(own, timed(needed(q)), "latency_ms")
    assert enough.outcome is Outcome.PASS


def test_timings_that_drift_never_fail(build: MakeBuild) -> None:
    (row,) = judge(build("latency_ms.p50 = 1"), timed(settled=False), "latency_ms")
    assert row.outcome is Outcome.INCONCLUSIVE
    assert "drifted" in row.detail


def test_spikes_fail_the_percentile_they_reach_and_no_other(build: MakeBuild) -> None:
    samples = np.full(700, 2.0)
    samples[::20] = 50  # one in twenty
    rows = judge(build("latency_ms = { p50 = 5, p99 = 5 }"), Latency(samples, 0, True), "latency_ms")
    assert [row.outcome for row in rows] == [Outcome.PASS, Outcome.FAIL]


def ratio(times: float, rounds: int = 200) -> Ratio:
    samples = np.random.default_rng(1).normal(times, 0.05, rounds)
    return Ratio(timed(rounds), timed(rounds), percentile(samples, 0.5))


@pytest.mark.parametrize(("times", "expected"), [(0.8, Outcome.PASS), (1.0, Outcome.INCONCLUSIVE), (1.2, Outcome.FAIL)])
def test_slower_than_float_fails(build: MakeBuild, times: float, expected: Outcome) -> None:
    row = slowdown(build("slowdown = 1.0"), ratio(times))
    assert (row.outcome, row.limit, row.unit) == (expected, 1.0, "times")


def test_too_few_turns_say_how_many_are_needed(build: MakeBuild) -> None:
    row = slowdown(build("slowdown = 1.0"), ratio(0.5, rounds=3))
    assert row.outcome is Outcome.INCONCLUSIVE
    assert f"--rounds {needed(0.5)}" in row.detail


THROTTLED = "cooling device thermal-cpufreq-0 at step 2 (soc 85 °C)"


@pytest.mark.parametrize("limit", [1.0, 5.0, 1000.0])
def test_a_throttled_board_tells_nothing_about_its_model(build: MakeBuild, limit: float) -> None:
    slow = Latency(timed().samples_ms, 10, True, throttled=THROTTLED)
    (row,) = judge(build(f"latency_ms.p50 = {limit}"), slow, "latency_ms")
    assert row.outcome is Outcome.INCONCLUSIVE
    assert "the board was throttled, so this is not the model's time: cooling device" in row.detail


@pytest.mark.parametrize(("limit", "expected"), [(1.0, Outcome.INCONCLUSIVE), (1000.0, Outcome.PASS)])
def test_a_sustained_load_may_throttle_and_still_keep_its_budget(
    build: MakeBuild, limit: float, expected: Outcome
) -> None:
    hot = Latency(timed().samples_ms, 10, True, throttled=THROTTLED, burst_ms=4.0)
    (row,) = judge(build(f"latency_ms.p50 = {limit}"), hot, "latency_ms")
    assert row.outcome is expected
    assert "under sustained load (+24.7% against the burst" in row.detail
    assert "p50 4 ms" in row.detail


@pytest.mark.parametrize("times", [0.5, 2.0])
def test_turns_on_a_throttled_board_are_inconclusive(build: MakeBuild, times: float) -> None:
    found = ratio(times)
    hot = Ratio(Latency(found.a.samples_ms, 10, True, throttled=THROTTLED), found.b, found.median)
    row = slowdown(build("slowdown = 1.0"), hot)
    assert row.outcome is Outcome.INCONCLUSIVE
    assert "throttled" in row.detail


def test_what_a_boards_own_tools_say_stands_beside_the_figure(build: MakeBuild) -> None:
    own = Latency(timed().samples_ms, 0, True, "then 0.6 ms each, n=15803")
    (row,) = judge(build("latency_ms.p50 = 6"), own, "latency_ms")
    assert row.detail.endswith("n=700 rounds (then 0.6 ms each, n=15803)")
    assert row.n == 700
