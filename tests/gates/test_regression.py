"""A step since the last release, and steps that only add up since the first one, are told apart; noise is neither."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from harness.baseline import Release
from harness.errors import BaselineError
from harness.gates.regression import judge
from harness.row import Row
from harness.score.keyword import Comparison
from harness.score.slices import margins
from harness.verdict import Outcome
from tests.baselines import HEARD, baseline, release
from tests.gates.conftest import MakeBuild
from tests.score.tables import CONDITIONS, LABELS, make_clips, perfect, wrong_where

ACCENTS = {"de": "foreign", "pl": "foreign", "sv": "foreign"}
SPEAKERS, PER_SPEAKER = 8, 15
CLIPS = make_clips(tuple(ACCENTS), SPEAKERS, PER_SPEAKER)
MARGINS = margins(ACCENTS, ("sv",), CONDITIONS)
BUDGETS = "regression = { overall = 2, accent = 6 }\ndrift = { overall = 2, accent = 6 }"


@pytest.fixture(scope="module")
def right() -> Comparison:
    return perfect(tuple(ACCENTS), speakers=SPEAKERS, clips=PER_SPEAKER)


def losing(table: Comparison, share: float, accent: str | None = None, seed: int = 0) -> Comparison:
    """The table with a random share of all renderings, or of one accent's, decided wrong."""
    chosen = np.random.default_rng(seed).random(len(table.truth)) < share
    return wrong_where(table, chosen if accent is None else chosen & (table.accent == accent))


def judged(make: MakeBuild, now: Comparison, first: Comparison, last: Comparison, metric: str) -> dict[str, Row]:
    old = baseline(release(first, CLIPS, LABELS, MARGINS), release(last, CLIPS, LABELS, MARGINS))
    return judge(make(BUDGETS), now, CLIPS, HEARD, old, metric, MARGINS)


@pytest.mark.parametrize("metric", ["regression", "drift"])
def test_the_same_decisions_lose_nothing(build: MakeBuild, right: Comparison, metric: str) -> None:
    now = losing(right, 0.1)
    rows = judged(build, now, now, now, metric)
    assert set(rows) == {"overall", "accent=de", "accent=pl", "accent=sv"}
    assert {row.value for row in rows.values()} == {0.0}
    assert {row.outcome for row in rows.values()} == {Outcome.PASS}


def test_a_step_fails_where_it_was_taken(build: MakeBuild, right: Comparison) -> None:
    rows = judged(build, losing(right, 0.3, "sv"), right, right, "regression")
    assert [name for name, row in rows.items() if row.outcome is Outcome.FAIL] == ["overall", "accent=sv"]
    assert "accuracy lost since the last release (2026-01-01, paired) on accent=sv" in rows["accent=sv"].detail


def test_a_loss_hidden_by_a_gain_elsewhere_still_fails_its_slice(build: MakeBuild, right: Comparison) -> None:
    before = losing(right, 0.3, "de")
    rows = judged(build, losing(right, 0.3, "sv"), before, before, "regression")
    assert rows["accent=sv"].outcome is Outcome.FAIL
    assert rows["accent=de"].outcome is Outcome.PASS
    assert abs(rows["overall"].value or 0) < 3


def test_steps_too_small_to_fail_add_up(build: MakeBuild, right: Comparison) -> None:
    """Eight releases, each losing 0.7 points more: every step keeps 2 points, the sum of them does not."""
    order = np.random.default_rng(5).permutation(len(right.truth))
    releases = [wrong_where(right, order < int(0.007 * i * len(right.truth))) for i in range(9)]
    steps = [
        judged(build, now, releases[0], before, "regression")["overall"].outcome for before, now in pairwise(releases)
    ]
    drift = [judged(build, now, releases[0], now, "drift")["overall"].outcome for now in releases[1:]]
    assert set(steps) == {Outcome.PASS}
    assert drift[0] is Outcome.PASS
    assert drift[-1] is Outcome.FAIL


def test_equal_builds_seldom_fail(build: MakeBuild, right: Comparison) -> None:
    """A/A: two builds of equal worth that err on other clips. A FAIL says harm is shown; none is there."""
    fails = 0
    for seed in range(60):
        before, now = losing(right, 0.05, seed=2 * seed), losing(right, 0.05, seed=2 * seed + 1)
        fails += any(row.outcome is Outcome.FAIL for row in judged(build, now, before, before, "regression").values())
    assert fails <= 1


def test_other_clips_are_compared_by_their_intervals(build: MakeBuild, right: Comparison) -> None:
    old = release(losing(right, 0.02), CLIPS, LABELS, MARGINS, heard=HEARD | {"clean": "c2"})
    rows = judge(build(BUDGETS), losing(right, 0.3, seed=1), CLIPS, HEARD, baseline(old), "regression", MARGINS)
    assert rows["overall"].outcome is Outcome.FAIL
    assert "not paired, other clips" in rows["overall"].detail
    same = judge(build(BUDGETS), losing(right, 0.02, seed=1), CLIPS, HEARD, baseline(old), "regression", MARGINS)
    paired = judge(build(BUDGETS), losing(right, 0.02), CLIPS, HEARD, baseline(replaced(old)), "regression", MARGINS)
    assert same["overall"].outcome is not Outcome.FAIL
    assert width(same["overall"]) > width(paired["overall"])


def test_scores_of_another_confidence_say_what_to_do(build: MakeBuild, right: Comparison) -> None:
    old = release(right, CLIPS, LABELS, MARGINS, heard={"clean": "elsewhere"})
    with pytest.raises(BaselineError, match=r"at confidence 0\.9 .*voxgate baseline accept --restart"):
        judge(build(f"confidence = 0.9\n{BUDGETS}"), right, CLIPS, HEARD, baseline(old), "drift", MARGINS)


def replaced(old: Release) -> Release:
    return old.model_copy(update={"decided": old.decided.model_copy(update={"audio": HEARD})})


def width(row: Row) -> float:
    assert row.low is not None
    assert row.high is not None
    return row.high - row.low


def test_a_broken_output_is_lost(build: MakeBuild, right: Comparison) -> None:
    tested = right.tested.copy()
    tested[:100] = np.nan
    rows = judged(build, replace(right, tested=tested), right, right, "regression")
    assert rows["overall"].outcome is Outcome.FAIL
