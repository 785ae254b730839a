"""What was done for whom: every utterance has one act at most, and what is left was done for nobody."""

from __future__ import annotations

import pytest

from harness.audio.truth import Truth
from harness.score.pipeline import Act, lived


def event(label: str, start: float, end: float, speaker: str = "a") -> Truth:
    return Truth(label, start, end, False, speaker, "en", "quiet", f"{label}-{start}")


TRUTH = [
    event("hey", 10, 10.5),
    event("left", 11, 11.5),
    event("talk", 15, 16),
    event("hey", 30, 30.5, "b"),
    event("right", 31, 31.5, "b"),
    event("hey", 50, 50.5, "c"),
    event("left", 51, 51.5, "c"),
]


def test_acts_belong_to_the_word_they_follow_and_others_to_nobody() -> None:
    acts = [Act(10.6, 12.6, "left"), Act(15.5, 17.5, "right"), Act(30.7, 32.7, "left"), Act(40.0, 42.0, "")]
    found = lived(TRUTH, "hey", acts, 3600)
    assert [each.understood for each in found.utterances] == [True, False, False]
    assert (found.missed, found.unheard, found.wrong) == (1, 0, 1)
    assert (len(found.stray), len(found.activations)) == (2, 1)
    assert found.hours == pytest.approx((3600 - 2.6 - 2.7 - 1.5) / 3600)  # deaf while it listens to a command
    assert found.activation_rate(0.95).n == 1


def test_an_act_before_the_word_or_long_after_it_is_nobody_s() -> None:
    found = lived(TRUTH, "hey", [Act(9.9, 11.9, "left"), Act(31.6, 33.6, "right")], 3600)
    assert found.missed == 3
    assert len(found.activations) == 2


def test_success_is_bounded_over_speakers_and_never_known_from_three() -> None:
    acts = [Act(10.6, 12.6, "left"), Act(30.6, 32.6, "right"), Act(50.6, 52.6, "left")]
    figure = lived(TRUTH, "hey", acts, 3600).success(0.95)
    assert (figure.value, figure.n, figure.clusters) == (1.0, 3, 3)
    assert figure.low == pytest.approx(0.05 ** (1 / 3), abs=1e-6)


def test_commands_that_the_window_misses_are_counted_by_the_end_they_lost() -> None:
    late = Act(10.6, 12.6, "", since_s=11.2)
    short = Act(30.6, 31.2, "", since_s=30.6)
    fine = Act(50.6, 52.6, "left", since_s=51.2)  # understood all the same
    found = lived(TRUTH, "hey", [late, short, fine], 3600)
    assert (found.headless, found.cut) == (1, 1)
