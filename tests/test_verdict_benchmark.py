"""The benchmark of false alarms and power: its draws, its rates, and its curves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.verdicts import pages, power, quiet
from benchmarks.verdicts.power import Curve
from benchmarks.verdicts.quiet import Rate
from benchmarks.verdicts.recorded import Recorded, data, draw, draw_any, recorded, speakers_of
from harness.verdict import Outcome


@pytest.fixture(scope="module")
def whole() -> Recorded:
    return recorded()


def test_the_recorded_tables_are_those_of_the_shipped_candidate(whole: Recorded) -> None:
    count = len(whole.clips)
    assert len(whole.table.truth) == 7 * count
    right = float((whole.table.tested.argmax(1) == whole.table.truth).mean())
    assert 0.85 < right < 0.95
    assert data("retrained")["retrained"].shape[1:] == (7, count)
    found = data("reseeded")
    assert found["golden"].shape == found["int8"].shape
    assert found["golden"].shape[1:] == (6, count)


def test_a_drawn_corpus_has_as_many_speakers_of_each_accent_and_all_they_said(whole: Recorded) -> None:
    drawn = draw(speakers_of(whole), np.random.default_rng(0))
    table = drawn.table(whole.table, len(whole.clips))
    assert len(np.unique(table.speaker)) == len({clip.speaker for clip in whole.clips})
    accents, counts = np.unique(table.accent, return_counts=True)
    assert dict(zip(accents, counts, strict=True)) == dict(
        zip(*np.unique(whole.table.accent, return_counts=True), strict=True)
    )
    i = 1234
    source = drawn.clips[i % len(drawn.clips)]
    assert table.accent[i] == whole.clips[source].accent
    assert len({clip.id for clip in drawn.spoken(whole.clips)}) == len(drawn.clips)


def test_speakers_are_drawn_with_all_their_clips(whole: Recorded) -> None:
    drawn = draw_any(speakers_of(whole), np.random.default_rng(0), 7)
    assert list(np.unique(drawn.speaker)) == list(range(7))
    assert len(drawn.clips) == 7 * 13


@pytest.mark.parametrize("kind", ["same", "reseeded", "retrained"])
def test_nothing_wrong_is_no_fail(whole: Recorded, kind: str) -> None:
    judge = {"same": lambda _: quiet.same_artifact, "reseeded": quiet.reseeded, "retrained": quiet.retrained}[kind](
        whole
    )
    random = np.random.default_rng(0)
    rows = judge(whole, draw(speakers_of(whole), random), random)
    assert rows
    assert Outcome.FAIL not in {row.outcome for row in rows}


def test_an_accent_that_lost_a_fifth_is_a_fail(whole: Recorded) -> None:
    """The same machinery turns red: silence above is no deafness."""
    random = np.random.default_rng(0)
    table = draw(speakers_of(whole), random).table(whole.table, len(whole.clips))
    lost = (table.accent == "de") & (random.random(len(table.truth)) < 0.2)
    table.tested[lost] = np.roll(table.tested[lost], 1, axis=1)
    failed = {row.slice for row in quiet.against_golden(whole, table) if row.outcome is Outcome.FAIL}
    assert "accent=de" in failed


def test_a_rate_has_the_exact_interval() -> None:
    low, high = Rate("x", 300, 0, 0, ()).interval
    assert (low, round(high, 4)) == (0.0, 0.0122)  # 1 - 0.025 ** (1 / 300)
    assert Rate("x", 300, 3, 0, ("drop",)).interval == pytest.approx((0.00207, 0.02894), abs=1e-5)


def test_rates_of_all_kinds_are_one_rate() -> None:
    found = quiet.together([Rate("a", 100, 0, 3, ()), Rate("b", 100, 1, 0, ("accuracy",))])
    assert (found.repeats, found.failed, found.open, found.gates) == (200, 1, 3, ("accuracy",))


def test_a_curve_reaches_its_power_between_two_drops() -> None:
    assert power.reached((1, 2, 3), np.array([0.1, 0.8, 1.0])) == pytest.approx(2.5)
    assert math.isnan(power.reached((1, 2, 3), np.array([0.1, 0.2, 0.3])))


def curve(gate: str, clips: int, smallest: float) -> Curve:
    return Curve(gate, clips, (0.05,), smallest)


def test_clips_needed_lie_on_the_line_between_what_was_tried() -> None:
    found = [curve("paired", 100, 4.0), curve("paired", 400, 2.0)]
    assert power.needed(found, "paired", math.sqrt(8)) == pytest.approx(200)
    assert math.isnan(power.needed(found, "paired", 5.0))


def test_a_gate_that_needs_less_than_twice_the_clips_is_not_good_enough() -> None:
    quiet_one = Rate("x", 300, 0, 0, ())
    paired = [curve("paired", 100, 4.0), curve("paired", 400, 2.0)]
    far = [curve("unpaired threshold", 1000, 4.0), curve("unpaired threshold", 4000, 2.0)]
    near = [curve("unpaired threshold", 150, 4.0), curve("unpaired threshold", 600, 2.0)]
    assert pages.good(quiet_one, paired + far)
    assert not pages.good(quiet_one, paired + near)
    assert not pages.good(quiet_one, paired)
    assert not pages.good(Rate("x", 300, 4, 0, ("drop",)), paired + far)


def test_the_harm_is_as_large_as_asked_for(whole: Recorded) -> None:
    harm = power.Harm(whole, np.random.default_rng(0))
    lost = 100 * (harm.golden.mean() - harm.hits(harm.scale(3.0)).mean())
    assert lost == pytest.approx(3.0, abs=0.5)


def test_compare_fail_knows_no_noise_and_turns_do(whole: Recorded) -> None:
    """A board whose pace wanders by tens of percent between blocks, alike for both."""
    random = np.random.default_rng(0)
    pace = np.exp(random.normal(0, 0.2, (30, 1, 1)))
    blocks = pace * np.array([1.0, 2.0]) * np.exp(random.normal(0, 0.02, (30, 100, 2)))
    found = {(timing.gate, timing.threshold == 5.0): timing for timing in power.timings(blocks)}
    assert found["in turns", True].false == 0
    assert found["in turns", True].smallest <= 7
    assert found["compare-fail=mean", True].false > 0.2
    assert found["compare-fail=mean", False].smallest > 20 or math.isnan(found["compare-fail=mean", False].smallest)
