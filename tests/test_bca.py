"""The bootstrap's bounds are scipy's own, of the same draws."""

from __future__ import annotations

import math
import warnings

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness import bca

Values = npt.NDArray[np.float64]


def by_scipy(sums: Values, counts: Values, confidence: float, seed: int, batch: int | None) -> tuple[float, float]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = stats.bootstrap(
            (sums, counts),
            lambda total, count, axis=-1: total.sum(axis=axis) / count.sum(axis=axis),
            paired=True,
            vectorized=True,
            n_resamples=500,
            batch=batch,
            confidence_level=2 * confidence - 1,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return float(found.low), float(found.high)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(20, 120), st.integers(0, 99), st.sampled_from([0.9, 0.95, 0.99]), st.sampled_from([0.001, 0.05, 0.5])
)
def test_bounds_of_counts_are_scipys(speakers: int, seed: int, confidence: float, rate: float) -> None:
    draw = np.random.default_rng(seed)
    counts = draw.integers(1, 30, speakers).astype(np.float64)
    events = draw.binomial(counts.astype(np.intp), rate).astype(np.float64)
    if not 0 < events.sum() < counts.sum():
        return
    for batch in (None, 130):
        ours = bca.bounds(events, counts, confidence, 500, seed, batch)
        theirs = by_scipy(events, counts, confidence, seed, batch)
        assert ours == pytest.approx(theirs, rel=1e-12, nan_ok=True)


def test_bounds_of_a_mean_are_scipys() -> None:
    values, ones = np.random.default_rng(3).normal(20, 5, 80), np.ones(80)
    ours = bca.bounds(values, ones, 0.95, 500, 1)
    assert ours == pytest.approx(by_scipy(values, ones, 0.95, 1, None), rel=1e-12)
    assert ours[0] < values.mean() < ours[1]


def test_what_has_no_bounds_says_so() -> None:
    """Where nothing varies, no order statistic lies below the value, and none is moved to."""
    assert all(map(math.isnan, bca.bounds(np.zeros(40), np.full(40, 5.0), 0.95, 500, 0)))
