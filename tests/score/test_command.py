"""Command accuracy, WER and its paired rise, and tokens read amiss: counted on sentences whose letters are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.score.command import readings
from harness.score.flips import flips
from harness.score.keyword import NO_DECISION
from harness.score.slices import Slice
from tests.score.spoken import CONDITIONS, LABELS, SENTENCES, blinded, make_clips, own, table

OVERALL = Slice("overall", "overall")
SV = Slice("accent=sv", "accent", frozenset(["sv"]))
WORDS = sum(len(text.split()) for text in SENTENCES)
FIRST_SV = len(make_clips()) // 2


def test_what_is_heard_right_costs_nothing() -> None:
    whole = table()
    assert whole.accuracy(OVERALL, 0.95, 0, keywords=False).value == 1
    assert whole.wer(OVERALL, 0.95, 0).value == whole.cer(OVERALL, 0.95, 0).value == 0
    rise = whole.wer_rise(OVERALL, 0.95, 0)
    assert (rise.value, rise.method, rise.n) == (0, "exact", len(CONDITIONS) * len(make_clips()))
    assert whole.insane([OVERALL, SV]) == []


def test_wer_is_errors_over_words_by_slice() -> None:
    whole = table({FIRST_SV: "come"})  # "come back", of the first sv speaker, under both conditions
    assert whole.wer(SV, 0.95, 0).value == pytest.approx(1 / (4 * WORDS))
    assert whole.wer(OVERALL, 0.95, 0).value == pytest.approx(1 / (8 * WORDS))
    assert whole.wer_rise(SV, 0.95, 0).value == whole.wer(SV, 0.95, 0).value
    assert whole.wer_rise(Slice("accent=de", "accent", frozenset(["de"])), 0.95, 0).value == 0


def test_the_rise_is_paired_and_may_fall() -> None:
    whole = table({0: "come"})
    worse = replace(whole, float_says=whole.build_says, build_says=whole.float_says)
    assert worse.wer_rise(OVERALL, 0.95, 0).value == -whole.wer_rise(OVERALL, 0.95, 0).value < 0


def test_intervals_are_over_speakers() -> None:
    one = table(dict.fromkeys(range(6), "go"))  # all errors are of one speaker
    many = table(dict.fromkeys(range(0, 48, 8), "go"))
    assert one.wer(OVERALL, 0.95, 0).clusters == 8
    assert one.wer(OVERALL, 0.95, 0).error > many.wer(OVERALL, 0.95, 0).error


def test_a_sentence_taken_for_another_is_a_drop_and_a_flip() -> None:
    whole = table({1: "go right"})
    assert whole.drop(OVERALL, 0.95, 0).value == whole.flips(OVERALL, 0.95, 0).value == pytest.approx(1 / 48)
    found = flips(whole, make_clips(), SENTENCES)
    assert [(flip.golden, flip.tested, flip.lost, flip.gap > 0) for flip in found] == [
        ("go left", "go right", True, True)
    ] * 2


def test_outputs_that_are_not_finite_are_named() -> None:
    whole = blinded(table(), 3)
    assert whole.insane([OVERALL])[0] == "1 of 96 outputs are not finite"


def test_nothing_heard_is_no_decision() -> None:
    whole = table({0: ""}, own(reject=-2.0))
    assert whole.after()[0] == NO_DECISION
    assert whole.flips(OVERALL, 0.95, 0).value == pytest.approx(1 / 48)


@pytest.mark.parametrize("other", ["z", " ", "e"])
def test_a_wrong_blank_index_is_named(other: str) -> None:
    labels = list(LABELS)
    at = labels.index(other)
    labels[0], labels[at] = labels[at], labels[0]
    faults = table(reading=own(labels)).insane([OVERALL])
    assert f"CTC blank index wrong: output 0 is the blank, not output {at}" in faults[0]


def test_a_blank_declared_amiss_is_named_where_labels_are_right() -> None:
    letters = [label for label in LABELS if label != "<blank>"]
    whole = table(reading=own([*letters, "<blank>"]))  # as of a toolkit whose blank is the last token
    assert "labels shifted by one, the blank too: output 0 is the blank" in whole.insane([OVERALL])[0]


@pytest.mark.parametrize("step", [-1, 1])
def test_shifted_labels_are_named(step: int) -> None:
    letters = LABELS[1:]
    shifted = ["<blank>", *letters[step:], *letters[:step]]
    faults = table(reading=own(shifted)).insane([OVERALL])
    assert "labels shifted by one" in faults[0]
    assert "0.0 % of the letters are wrong" in faults[0]


def test_poor_hearing_alone_is_not_called_misreading() -> None:
    garbled = {place: "xyxy xyx"[: 4 + place % 4] for place in range(48)}
    assert not any("read" in fault for fault in table(garbled).insane([]))


def test_readings_differ_from_the_declared_one() -> None:
    decoding = own()
    found = readings(decoding)
    assert len(found) == len(LABELS) - 1 + 4
    assert all((each.labels, each.blank) != (decoding.labels, decoding.blank) for each in found.values())
    assert all(sorted(each.labels) == sorted(LABELS) for each in found.values())
    assert np.unique([each.blank for each in found.values()]).size == len(LABELS)


def test_letters_that_come_again_and_again_are_repeats_not_collapsed() -> None:
    clips = [clip for clip in make_clips() if len(clip.label) < 11]  # as many letters as have room twice
    doubled = {place: "".join(2 * letter for letter in clip.label) for place, clip in enumerate(clips)}
    assert table(doubled, clips=clips).insane([OVERALL])[0].startswith("repeats not collapsed")
    assert table(clips=clips).misread() == ""


def test_outputs_that_are_decided_already_are_named() -> None:
    whole = table()
    frames = whole.tested.reshape(len(whole.tested), -1, len(LABELS))
    sure = (20 * np.eye(len(LABELS), dtype=np.float32)[frames.argmax(axis=2)]).reshape(len(frames), -1)
    assert whole.hardened() == ""
    assert replace(whole, tested=sure).insane([OVERALL])[0].startswith("outputs are decided already")
    assert replace(whole, tested=sure, golden=sure).hardened() == ""
