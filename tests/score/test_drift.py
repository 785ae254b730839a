"""Scores that belong to other steps are told by how many and since when, whatever they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.score.drift import Pair

STEP_S, MINUTES = 0.08, 4
MINUTE = round(60 / STEP_S)


@settings(max_examples=30, deadline=None)
@given(late=st.integers(-62, 62), since=st.integers(0, MINUTES - 1), noise=st.floats(0, 0.2), seed=st.integers(0, 99))
def test_a_slip_is_found_in_the_minute_it_begins_and_where_there_is_none_none_is(
    late: int, since: int, noise: float, seed: int
) -> None:
    own = np.random.default_rng(seed)
    plain = own.standard_normal((MINUTES + 1) * MINUTE).astype(np.float32)
    tested = plain + (noise * own.standard_normal(len(plain))).astype(np.float32)
    tested[since * MINUTE :] = np.roll(tested, late)[since * MINUTE :]
    found = Pair(plain[: MINUTES * MINUTE], tested[: MINUTES * MINUTE], STEP_S, "talk").slipped
    assert found == ((since, late) if late else None)


def test_scores_that_are_not_finite_or_all_alike_slip_nowhere() -> None:
    plain = np.random.default_rng(0).standard_normal(2 * MINUTE).astype(np.float32)
    for broken in (np.full_like(plain, np.nan), np.zeros_like(plain)):
        assert Pair(plain, broken, STEP_S, "talk").slipped is None


def test_a_peak_that_int8_rounds_away_is_no_slip() -> None:
    """In a quiet minute a build's probabilities are all 0, and other steps of float leave out its only peak."""
    time = np.arange(3 * MINUTE)
    plain = (2e-5 + 0.0015 * np.exp(-0.5 * ((time - MINUTE - 70) / 4) ** 2)).astype(np.float32)
    plain[100:110] = plain[-100:-90] = 0.9
    pair = Pair(plain, np.round(plain * 256) / np.float32(256), STEP_S, "talk")
    assert pair.sqnr_db > 50
    assert pair.slipped is None
