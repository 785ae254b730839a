"""Rows of a wake word: exact bounds decide, and a wrong counter or manifest is named, not blamed on the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.audio.truth import Truth
from harness.gates import wakeword as gates
from harness.report import det
from harness.row import Row
from harness.score.slices import Slice
from harness.score.wakeword import Listening, Trace
from harness.streaming import averaged
from harness.verdict import Outcome
from tests.gates.conftest import MakeBuild

STEP_S = 0.02
OVERALL = Slice("overall", "overall")
LIMITS = """
wakeword.frr.overall = 20.0
wakeword.false_accepts_per_hour = 2.0
wakeword.delay_ms = { p50 = 300, p95 = 600 }
"""


def heard(hours: float = 3.0, words: int = 150, missed: int = 0, false: int = 0, *, real: bool = False) -> Trace:
    """Every word bursts for 0.2 s from its end on, but the first ``missed``; ``false`` bursts come between words."""
    seconds = hours * 3600
    gap = seconds / words
    scores = np.zeros(round(seconds / STEP_S), np.float32)
    truth = []
    for index in range(words):
        start = index * gap + 5
        truth.append(Truth("hey", start, start + 0.5, real, f"s{index % 30}", "en", "quiet", f"clip-{index}"))
        truth.append(Truth("other", start + 4, start + 4.5, real, f"s{index % 30}", "en", "quiet", f"other-{index}"))
        truth.append(Truth("third", start + 6, start + 6.5, real, f"s{index % 30}", "en", "quiet", f"third-{index}"))
        if index >= missed:
            _burst(scores, start + 0.5 + 0.001 * index)
        if index < false:
            _burst(scores, start + 9)
    return Trace(scores, STEP_S, seconds, tuple(truth), "hey", real, STEP_S)


def _burst(scores: np.ndarray, start: float) -> None:
    scores[round(start / STEP_S) : round(start / STEP_S) + 10] = 1


def judged(build: MakeBuild, trace: Trace, refractory_s: float = 1.0, limits: str = LIMITS) -> dict[str, Row]:
    listening = Listening((trace,), refractory_s)
    rows = gates.judge(build(limits), listening, listening.at(0.5), [OVERALL])
    return {f"{row.gate} {row.slice}": row for row in rows}


def test_a_healthy_wake_word_passes_and_tells_hours_words_and_bounds(build: MakeBuild) -> None:
    rows = judged(build, heard())
    assert {row.outcome for row in rows.values()} == {Outcome.PASS}
    frr = rows["frr synthetic overall"].detail
    assert "0 in 2.9" in frr
    assert "n=150 words of 150 clips, 30 speakers" in frr
    assert "0 false accepts in 2.9" in rows["false accepts synthetic overall"].detail
    assert rows["delay synthetic p95"].n == 150


@pytest.mark.parametrize(("false", "expected"), [(1, Outcome.PASS), (5, Outcome.INCONCLUSIVE), (40, Outcome.FAIL)])
def test_the_poisson_bound_decides_on_false_accepts(build: MakeBuild, false: int, expected: Outcome) -> None:
    row = judged(build, heard(false=false))["false accepts synthetic overall"]
    assert (row.outcome, row.n) == (expected, false)
    assert ("more hours" in row.detail) == (expected is Outcome.INCONCLUSIVE)


def test_missed_words_fail_and_few_of_them_do_not_decide(build: MakeBuild) -> None:
    assert judged(build, heard(missed=75))["frr synthetic overall"].outcome is Outcome.FAIL
    assert judged(build, heard(missed=28))["frr synthetic overall"].outcome is Outcome.INCONCLUSIVE


def test_late_detections_fail_and_few_words_have_no_p95(build: MakeBuild) -> None:
    slow = judged(build, heard(), limits="wakeword.delay_ms = { p50 = 50, p95 = 80 }")
    assert slow["delay synthetic p50"].outcome is Outcome.FAIL
    few = judged(build, heard(words=100))["delay synthetic p95"]
    assert (few.outcome, few.value) == (Outcome.INCONCLUSIVE, None)


def test_a_dropped_refractory_period_is_red_and_named(build: MakeBuild) -> None:
    """Seeded fault: every frame of a burst counts; the model is as good as before."""
    healthy, faulty = judged(build, heard(false=2)), judged(build, heard(false=2), refractory_s=1e-3)
    assert (healthy["false accepts synthetic overall"].n, faulty["false accepts synthetic overall"].n) == (2, 20)
    row = faulty["refractory synthetic overall"]
    assert row.outcome is Outcome.FAIL
    assert "refractory period was dropped" in row.detail
    assert healthy["refractory synthetic overall"].outcome is Outcome.PASS


def test_labels_shifted_by_one_are_red_and_named(build: MakeBuild) -> None:
    """Seeded fault: the manifest's labels stand one row too low."""
    trace = heard()
    labels = [event.label for event in trace.truth]
    wrong = (replace(event, label=name) for event, name in zip(trace.truth, labels[-1:] + labels[:-1], strict=True))
    rows = judged(build, replace(trace, truth=tuple(wrong)))
    assert rows["frr synthetic overall"].outcome is Outcome.FAIL
    row = rows["labels synthetic overall"]
    assert row.outcome is Outcome.FAIL
    assert "labels of synthetic are shifted by one" in row.detail
    assert "not the model" in row.detail


def test_rows_say_whether_they_are_of_recordings(build: MakeBuild) -> None:
    assert {name.split()[-2] for name in judged(build, heard(real=True))} == {"recordings"}


def test_the_tradeoff_keeps_recordings_and_synthetic_speech_apart_and_is_drawn() -> None:
    listenings = [Listening((heard(missed=15, false=6, real=real),), 1.0) for real in (True, False)]
    curves = {listening.kind: listening.tradeoff(listening.at(0.5)) for listening in listenings}
    assert set(curves) == {"recordings", "synthetic"}
    assert curves["recordings"]["words"] == 150
    assert curves["recordings"]["point"] == [pytest.approx(2.04, abs=0.01), 10.0]
    picture = det.plot(curves, "tiny")
    assert picture.startswith(b"\x89PNG")
    assert picture == det.plot(curves, "tiny")
    assert [line[0] for line in det.lines(curves)] == ["recordings", "synthetic"]


def test_scores_that_are_not_finite_or_never_change_are_insane(build: MakeBuild) -> None:
    trace = heard()
    broken = trace.scores.copy()
    broken[-1000:] = np.nan
    rows = judged(build, replace(trace, scores=broken))
    assert rows["sanity synthetic overall"].outcome is Outcome.FAIL
    assert "1000 of 540000 scores are not finite" in rows["sanity synthetic overall"].detail
    still = judged(build, replace(trace, scores=np.zeros_like(broken)))["sanity synthetic overall"]
    assert (still.outcome, still.detail) == (Outcome.FAIL, "all 540000 scores are constant")


def test_a_mean_over_steps_before_the_first_is_no_change(build: MakeBuild) -> None:
    trace = heard()
    still = replace(trace, scores=averaged(np.full_like(trace.scores, 0.7), 5), average=5)
    assert judged(build, still)["sanity synthetic overall"].outcome is Outcome.FAIL
    moving = replace(trace, scores=averaged(trace.scores, 5), average=5)
    assert judged(build, moving)["sanity synthetic overall"].outcome is Outcome.PASS


def test_a_refractory_period_that_words_fall_into_is_red_and_named(build: MakeBuild) -> None:
    """Seeded fault: the device is deaf for a minute and a half; every word reaches the threshold."""
    rows = judged(build, heard(), refractory_s=90.0)
    assert rows["frr synthetic overall"].outcome is Outcome.FAIL
    row = rows["refractory synthetic overall"]
    assert row.outcome is Outcome.FAIL
    assert "75 missed while deaf: the refractory period is too long, 90 s" in row.detail


def test_repeats_and_words_missed_while_deaf_are_held_to_their_limits_apart(build: MakeBuild) -> None:
    trace = heard()
    for word in trace.words[:7]:
        _burst(trace.scores, word.end_s + 0.8)
    for word in trace.words[7:14]:
        first = round((word.start_s - 0.3) / STEP_S)
        trace.scores[first : first + 80] = 0
        trace.scores[[first, first + round(0.4 / STEP_S)]] = 1
    row = judged(build, trace, refractory_s=0.5)["refractory synthetic overall"]
    assert (row.outcome, row.value, row.limit) == (Outcome.PASS, 7.0, 7.0)
    assert "7 repeats of 143 words heard on synthetic, 7 missed while deaf" in row.detail


def test_one_false_accept_before_a_word_says_nothing_of_the_refractory_period(build: MakeBuild) -> None:
    trace = heard(hours=0.5, words=15)
    trace.scores[round((trace.words[3].start_s - 0.3) / STEP_S)] = 1
    row = judged(build, trace, refractory_s=1.5)["refractory synthetic overall"]
    assert row.outcome is Outcome.PASS
    assert "1 missed while deaf" in row.detail


def test_a_threshold_of_other_scores_is_named_with_one_that_keeps_both_limits(build: MakeBuild) -> None:
    """Seeded fault: the threshold is that of scores twice as high."""
    trace = heard(false=2)
    rows = judged(build, replace(trace, scores=trace.scores / 4))
    row = rows["frr synthetic overall"]
    assert row.outcome is Outcome.FAIL
    assert "the threshold is not that of these scores: at 0.25 they miss 0.0 % at 0." in row.detail
    lost = judged(build, heard(missed=75))["frr synthetic overall"]
    assert "threshold is not" not in lost.detail


def test_a_model_that_answers_to_another_label_is_told_with_its_counts(build: MakeBuild) -> None:
    """Seeded fault: what is labelled "third" is the word, and half of what is labelled so is not."""
    trace = heard(missed=70)
    for event in trace.truth:
        if event.label == "third":
            _burst(trace.scores, event.end_s)
    row = judged(build, trace)["labels synthetic overall"]
    assert row.outcome is Outcome.FAIL
    assert "it answers to 'third', 150 of 150 times, more than to 'hey', 80 of 150" in row.detail
