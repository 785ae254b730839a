"""Decisions, drop, flips, recall and SQNR on tables small enough to count by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.score.keyword import NO_DECISION, SQNR_CEILING, compare, decisions
from harness.score.slices import Slice
from tests.score.tables import LABELS, make_clips, perfect, wrong_where

OVERALL = Slice("overall", "overall")
SV = Slice("accent=sv", "accent", frozenset(["sv"]))
NOISE = Slice("condition=noise-10db", "condition", None, "noise-10db")


def test_the_largest_logit_decides_and_the_first_of_equals() -> None:
    rows = np.array([[1, 3, 2], [5, 5, 0], [-1, -1, -1]], np.float32)
    assert decisions(rows).tolist() == [1, 0, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_with_a_logit_that_is_no_number_decides_nothing(bad: float) -> None:
    assert decisions(np.array([[9, bad, 1], [0, 0, 1]], np.float32)).tolist() == [NO_DECISION, 2]


def test_compare_stacks_conditions_and_keeps_what_each_rendering_is() -> None:
    clips = make_clips(("de", "sv"), 2, 2)
    clean, noise = np.eye(8, 3, dtype=np.float32), np.ones((8, 3), np.float32)
    outputs = {"noise-10db": noise, "clean": clean}
    table = compare(clips, LABELS, ("unknown",), {"clean": clean, "noise-10db": noise}, outputs)
    np.testing.assert_array_equal(table.tested, np.concatenate([clean, noise]))
    assert table.condition.tolist() == ["clean"] * 8 + ["noise-10db"] * 8
    assert [LABELS[i] for i in table.truth[8:]] == [clip.label for clip in clips]
    assert table.keyword.tolist() == [clip.label != "unknown" for clip in clips] * 2
    assert len(set(table.speaker)) == 4
    assert table.clip.tolist() == [*range(8), *range(8)]


def test_where_takes_accents_and_conditions() -> None:
    table = perfect()
    cell = Slice("accent=sv,condition=noise-10db", "cell", frozenset(["sv"]), "noise-10db")
    assert table.where(OVERALL).sum() == 120
    assert table.where(SV).sum() == table.where(NOISE).sum() == 60
    np.testing.assert_array_equal(table.where(cell), table.where(SV) & table.where(NOISE))


def test_drop_counts_what_golden_got_right_less_what_was_gained() -> None:
    table = wrong_where(perfect(), np.arange(120) < 6)
    assert table.drop(OVERALL, 0.95, 0).value == pytest.approx(6 / 120)
    gained = replace(table, golden=table.tested, tested=table.golden)
    assert gained.drop(OVERALL, 0.95, 0).value == pytest.approx(-6 / 120)
    assert gained.flips(OVERALL, 0.95, 0).value == pytest.approx(6 / 120)


def test_flips_count_what_drop_cannot_see() -> None:
    """Wrong before and wrong otherwise now: no accuracy is lost, and yet the decision is another."""
    first = np.arange(120) < 12
    once = wrong_where(perfect(), first)
    table = replace(wrong_where(once, first), golden=once.tested)
    assert table.drop(OVERALL, 0.95, 0).value == 0
    assert table.flips(OVERALL, 0.95, 0).value == pytest.approx(12 / 120)


def test_outputs_that_are_no_numbers_are_flips_and_never_right() -> None:
    table = perfect()
    tested = table.tested.copy()
    tested[:30] = np.nan
    table = replace(table, tested=tested, golden=tested)  # golden is broken alike
    assert table.flips(OVERALL, 0.95, 0).value == pytest.approx(30 / 120)
    assert table.accuracy(OVERALL, 0.95, 0, keywords=False).value == pytest.approx(90 / 120)
    assert math.isnan(table.sqnr(OVERALL, 0.95, 0).value)


def test_recall_is_of_keywords_alone() -> None:
    table = perfect()
    table = wrong_where(table, ~table.keyword)
    assert table.accuracy(OVERALL, 0.95, 0, keywords=True).value == 1
    found = table.accuracy(OVERALL, 0.95, 0, keywords=False)
    assert found.value == pytest.approx(table.keyword.mean())
    assert table.accuracy(SV, 0.95, 0, keywords=True).n == (table.keyword & (table.accent == "sv")).sum()


def test_a_figure_counts_renderings_clips_and_speakers() -> None:
    found = perfect().drop(SV, 0.95, 0)
    assert (found.n, found.clips, found.clusters) == (60, 30, 5)
    assert (perfect().sqnr(SV, 0.95, 0).n, perfect().sqnr(SV, 0.95, 0).clips) == (60, 30)


def test_sqnr_is_the_formula_averaged_over_speakers() -> None:
    table = perfect()
    noise = np.random.default_rng(1).normal(0, 0.1, table.golden.shape).astype(np.float32)
    noisy = replace(table, tested=table.golden + noise)
    expected = []
    for speaker in range(10):
        own = table.speaker == speaker
        golden, error = noisy.golden[own].astype(float), (noisy.tested[own] - noisy.golden[own]).astype(float)
        expected.append(10 * np.log10((golden**2).sum() / (error**2).sum()))
    found = noisy.sqnr(OVERALL, 0.95, 0)
    assert found.value == pytest.approx(np.mean(expected), abs=1e-3)
    assert found.low < found.value < found.high


@settings(max_examples=20, deadline=None)
@given(st.floats(10, 60))
def test_noise_a_given_number_of_db_below_reads_so_many_db(db: float) -> None:
    table = perfect()
    quieter = table.golden * (1 + 10 ** (-db / 20))
    assert replace(table, tested=quieter.astype(np.float32)).sqnr(SV, 0.95, 0).value == pytest.approx(db, abs=0.1)


def test_equal_outputs_reach_the_ceiling_and_no_more() -> None:
    found = perfect().sqnr(OVERALL, 0.95, 0)
    assert (found.low, found.value, found.high) == pytest.approx((SQNR_CEILING,) * 3)


def test_silent_golden_and_silent_outputs_are_no_crash() -> None:
    table = perfect()
    nothing = np.zeros_like(table.golden)
    assert math.isfinite(replace(table, golden=nothing, tested=nothing).sqnr(OVERALL, 0.95, 0).value)
    assert replace(table, golden=nothing).sqnr(OVERALL, 0.95, 0).value < 0
