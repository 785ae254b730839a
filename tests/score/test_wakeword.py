"""Events, not frames; what a threshold costs in misses, in false accepts an hour, and in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.audio.truth import Truth
from harness.score.trust import crowded, shifted
from harness.score.wakeword import Listening, Trace, detections, tally

STEP_S = 0.1
REFRACTORY_S = 1.5


def said(label: str, start: float, end: float, speaker: str = "a") -> Truth:
    return Truth(label, start, end, False, speaker, "en", "quiet", f"{speaker}/{label}/{start}")


def trace(*bursts: tuple[float, float], seconds: float = 60.0, truth: tuple[Truth, ...] = ()) -> Trace:
    """Scores of 1 from each burst's begin to its end, else 0; a score is given when its step has been heard."""
    scores = np.zeros(round(seconds / STEP_S), np.float32)
    for start, end in bursts:
        scores[round(start / STEP_S) : round(end / STEP_S)] = 1
    return Trace(scores, STEP_S, seconds, truth, "hey", False, STEP_S)


def test_two_bursts_of_ten_frames_are_two_false_accepts_not_twenty():
    heard = trace((10, 11), (30, 31))
    assert int((heard.scores >= 0.5).sum()) == 20
    point = Listening((heard,), REFRACTORY_S).at(0.5)
    assert point.false_accepts == 2
    assert point.hours == pytest.approx(1 / 60)


def test_a_detection_is_at_the_end_of_the_step_that_reaches_the_threshold():
    assert detections(trace((10, 11)), 0.5, REFRACTORY_S).tolist() == pytest.approx([10.1])


def test_a_score_that_stays_up_fires_again_when_the_refractory_period_is_over():
    assert detections(trace((10, 14)), 0.5, REFRACTORY_S).tolist() == pytest.approx([10.1, 11.6, 13.1])


def test_a_word_is_hit_once_and_its_delay_counts_from_its_end():
    heard = trace((10.4, 10.6), truth=(said("hey", 10, 10.5), said("other", 20, 21)))
    found = tally(detections(heard, 0.5, REFRACTORY_S), heard)
    assert found.delays_s.tolist() == pytest.approx([0.0], abs=1e-9)
    assert (found.misses, len(found.false_s), len(found.repeats_s)) == (0, 0, 0)


def test_detections_before_a_word_and_long_after_it_are_false():
    heard = trace((9, 9.1), (12.5, 12.6), truth=(said("hey", 10, 10.5),))
    found = tally(detections(heard, 0.5, REFRACTORY_S), heard)
    assert (found.misses, len(found.false_s)) == (1, 2)


def test_of_two_detections_of_one_word_the_second_is_a_repeat():
    heard = trace((10, 11.4), truth=(said("hey", 10, 10.5),))
    found = tally(detections(heard, 0.5, 0.5), heard)
    assert (found.misses, len(found.false_s), len(found.repeats_s)) == (0, 0, 2)


def test_a_dropped_refractory_period_is_seen_in_the_spacing_of_detections():
    heard = trace((10, 11), (30, 31))
    assert crowded(detections(heard, 0.5, REFRACTORY_S), REFRACTORY_S) == 0
    assert crowded(detections(heard, 0.5, 0.0), REFRACTORY_S) == 18


def test_the_operating_point_misses_no_more_than_it_must():
    truth = tuple(said("hey", at, at + 0.5, f"s{at}") for at in (5, 15, 25))
    scores = np.zeros(600, np.float32)
    scores[[52, 152, 252]] = [0.9, 0.8, 0.4]
    scores[[350, 450]] = [0.7, 0.3]
    listening = Listening((Trace(scores, STEP_S, 60.0, truth, "hey", False, STEP_S),), REFRACTORY_S)
    strict = listening.operate(0.0)
    assert (strict.threshold, strict.misses, strict.false_accepts) == (pytest.approx(0.8), 1, 0)
    loose = listening.operate(2 / strict.hours)
    assert (loose.misses, loose.false_accepts) == (0, 2)


def test_no_false_accept_in_three_hours_still_allows_one_an_hour():
    rate = Listening((trace(seconds=3 * 3600),), REFRACTORY_S).at(0.5).rate(0.95)
    assert rate.value == 0
    assert rate.high == pytest.approx(0.9986, abs=1e-3)  # -ln(0.05) / 3


def test_missed_shares_are_clustered_by_speaker():
    truth = tuple(said("hey", at, at + 0.5, "one" if at < 100 else "two") for at in range(5, 195, 10))
    bursts = [(event.start_s, event.end_s) for event in truth if event.speaker == "one"]
    point = Listening((trace(*bursts, seconds=200, truth=truth),), REFRACTORY_S).at(0.5)
    frr = point.frr(0.95)
    assert (frr.n, frr.clusters) == (19, 2)
    assert frr.value == pytest.approx(9 / 19)
    assert frr.high == 1.0  # two speakers, of whom one is never heard


def test_labels_shifted_by_one_are_named():
    truth = tuple(said("hey" if n % 3 == 0 else "other", 10 * n + 5, 10 * n + 6) for n in range(30))
    bursts = [(event.start_s, event.end_s) for event in truth if event.label == "hey"]
    good = trace(*bursts, seconds=310, truth=truth)
    labels = [event.label for event in truth]
    wrong = tuple(replace(e, label=name) for e, name in zip(truth, labels[-1:] + labels[:-1], strict=True))
    for heard, expected in ((good, 0), (replace(good, truth=wrong), -1)):
        listening = Listening((heard,), REFRACTORY_S)
        assert shifted(listening.at(0.5), listening) == expected


def test_recordings_and_synthetic_speech_never_share_a_figure():
    with pytest.raises(ValueError, match="recordings and synthetic"):
        Listening((trace(), replace(trace(), real=True)), REFRACTORY_S)


def test_the_curve_runs_from_everything_accepted_to_nothing():
    own = np.random.default_rng(1)
    truth = tuple(said("hey", at, at + 0.5, f"s{at}") for at in range(5, 295, 10))
    heard = Trace(own.random(3000).astype(np.float32), STEP_S, 300.0, truth, "hey", False, STEP_S)
    curve = Listening((heard,), REFRACTORY_S).curve()
    assert curve[0].misses < curve[-1].misses == len(truth)
    assert curve[0].false_accepts > curve[-1].false_accepts == 0


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=300),
    st.floats(0, 1, width=32),
    st.floats(0.05, 3),
)
def test_detections_keep_the_refractory_period_and_cover_every_score(scores, threshold, refractory):
    heard = Trace(np.array(scores, np.float32), STEP_S, len(scores) * STEP_S, (), "hey", False, STEP_S)
    fired = detections(heard, threshold, refractory)
    assert crowded(fired, refractory - STEP_S) == 0
    high = STEP_S + STEP_S * np.flatnonzero(heard.scores >= threshold)
    assert all(((time - fired + 1e-9 >= 0) & (time - fired < refractory + STEP_S)).any() for time in high)


@given(st.lists(st.floats(0, 1, width=32), min_size=20, max_size=200), st.floats(0, 200))
def test_the_operating_point_keeps_the_rate(scores, rate):
    heard = Trace(np.array(scores, np.float32), STEP_S, len(scores) * STEP_S, (), "hey", False, STEP_S)
    point = Listening((heard,), REFRACTORY_S).operate(rate)
    assert point.false_accepts <= rate * point.hours
