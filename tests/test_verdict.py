"""PASS, FAIL and INCONCLUSIVE fall where the bounds and Holm say, and nowhere else."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.interval import Estimate, nothing_flipped
from harness.verdict import Limit, Outcome, clips_needed, decide, holm, screen, worst

P_VALUES = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.floats(0, 1), max_size=12)
FIGURES = st.floats(-100, 100)


def figure(value: float, half: float = 1.0, clusters: int = 10) -> Estimate:
    return Estimate(value, value - half, value + half, 910, 130, clusters, "t", half / 2)


@pytest.mark.parametrize(
    ("value", "least", "expected"),
    [
        (1.0, False, Outcome.PASS),  # [0, 2] within 3
        (2.0, False, Outcome.PASS),  # [1, 3]: the limit itself is kept
        (2.5, False, Outcome.INCONCLUSIVE),
        (3.9, False, Outcome.INCONCLUSIVE),
        (4.5, False, Outcome.FAIL),  # [3.5, 5.5]
        (5.0, True, Outcome.PASS),  # [4, 6] above 3
        (4.0, True, Outcome.PASS),
        (3.5, True, Outcome.INCONCLUSIVE),
        (1.5, True, Outcome.FAIL),  # [0.5, 2.5]
    ],
)
def test_the_interval_decides_a_margin(value: float, least: bool, expected: Outcome) -> None:
    assert decide(figure(value), Limit(3, least), 0.001, 0.95) is expected


def test_an_interval_beyond_the_limit_is_no_fail_unless_holm_agrees() -> None:
    assert decide(figure(4.5), Limit(3), 0.06, 0.95) is Outcome.INCONCLUSIVE
    assert decide(figure(4.5), Limit(3), 0.05, 0.95) is Outcome.FAIL


def test_a_small_p_alone_is_no_fail() -> None:
    assert decide(figure(3.5), Limit(3), 0.0, 0.95) is Outcome.INCONCLUSIVE


def test_infinite_bounds_are_inconclusive() -> None:
    unbounded = Estimate(0.0, -math.inf, math.inf, 9, 9, 1, "none", math.inf)
    assert decide(unbounded, Limit(3), 1.0, 0.95) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("least", [False, True])
def test_a_figure_that_is_no_number_fails(value: float, least: bool) -> None:
    broken = replace(figure(1), value=value)
    assert decide(broken, Limit(3, least), 1.0, 0.95) is Outcome.FAIL
    assert screen(broken, Limit(3, least), 1.0, 0.95) is Outcome.FAIL


def test_bounds_that_are_no_numbers_do_not_pass() -> None:
    assert decide(replace(figure(1), high=math.nan), Limit(3), 1.0, 0.95) is Outcome.INCONCLUSIVE


@given(FIGURES, st.floats(0, 50), FIGURES, st.booleans(), st.floats(0, 1))
def test_a_screened_cell_fails_when_a_margin_would_and_passes_else(
    value: float, half: float, limit: float, least: bool, p: float
) -> None:
    cell, bound = figure(value, half), Limit(limit, least)
    failed = decide(cell, bound, p, 0.95) is Outcome.FAIL
    assert screen(cell, bound, p, 0.95) is (Outcome.FAIL if failed else Outcome.PASS)


def test_holm_on_a_worked_example() -> None:
    """Four p-values times 4, 3, 2, 1 in order: 0.020, 0.030, 0.060, and 0.040 raised to its forerunner's."""
    found = holm({"c": 0.03, "a": 0.005, "d": 0.04, "b": 0.01})
    assert found == pytest.approx({"a": 0.02, "b": 0.03, "c": 0.06, "d": 0.06})


def test_holm_of_nothing_is_nothing() -> None:
    assert holm({}) == {}


@given(P_VALUES)
def test_holm_lowers_no_p_value_and_keeps_their_order(raw: dict[str, float]) -> None:
    adjusted = holm(raw)
    assert adjusted.keys() == raw.keys()
    assert all(raw[name] <= adjusted[name] <= 1 for name in raw)
    ordered = sorted(raw, key=raw.__getitem__)
    assert [adjusted[name] for name in ordered] == sorted(adjusted.values())


@given(P_VALUES, st.floats(0, 1))
def test_one_more_slice_in_the_family_lowers_no_p_value(raw: dict[str, float], p: float) -> None:
    fewer, more = holm(raw), holm({**raw, "another": p})
    assert all(more[name] >= fewer[name] - 1e-12 for name in raw)


@given(P_VALUES)
def test_a_family_in_which_bonferroni_rejects_is_rejected_by_holm(raw: dict[str, float]) -> None:
    assert all(adjusted <= len(raw) * raw[name] + 1e-12 for name, adjusted in holm(raw).items())


@given(st.floats(0, 3), st.floats(0.01, 30))
def test_with_the_clips_needed_the_half_width_fits(value: float, half: float) -> None:
    assume(3 - value > 0.01)
    estimate = figure(value, half)
    clips = clips_needed(estimate, Limit(3))
    assert clips is not None
    assert half * math.sqrt(130 / clips) <= 3 - value + 1e-9
    assert clips == 1 or half * math.sqrt(130 / (clips - 1)) > 3 - value - 1e-9


def test_clips_needed_where_nothing_flipped_nearly_meet_the_exact_bound() -> None:
    """36 clips rule out 8 points; 4 points take 74, and the estimate says 72."""
    nothing = Estimate(0.0, 0.0, 100 * nothing_flipped(36, 0.95), 252, 36, 6, "exact", 0.0)
    clips = clips_needed(nothing, Limit(4))
    assert clips is not None
    assert 100 * nothing_flipped(clips, 0.95) == pytest.approx(4, rel=0.05)


def test_more_clips_cannot_pass_a_figure_beyond_its_limit() -> None:
    assert clips_needed(figure(3.1), Limit(3)) is None
    assert clips_needed(figure(3.0), Limit(3)) is None
    assert clips_needed(figure(2.9), Limit(3, least=True)) is None


def test_clips_say_nothing_where_there_is_one_speaker() -> None:
    assert clips_needed(Estimate(0.0, -math.inf, math.inf, 9, 9, 1, "none", math.inf), Limit(3)) is None


@pytest.mark.parametrize("outcome", Outcome)
def test_one_verdict_is_the_worst_of_itself_and_a_pass(outcome: Outcome) -> None:
    assert worst([Outcome.PASS, outcome, Outcome.PASS]) is outcome


def test_nothing_judged_is_no_pass() -> None:
    assert worst([]) is Outcome.NOT_MEASURED


@pytest.mark.parametrize("other", [o for o in Outcome if o is not Outcome.FAIL])
def test_one_fail_fails(other: Outcome) -> None:
    assert worst([other, Outcome.FAIL]) is Outcome.FAIL
