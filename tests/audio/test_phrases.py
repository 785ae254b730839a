"""The plan of the phrases: its sets apart, its sentences those of the grammar, the committed corpus its own."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from harness.audio.synth.accents import UNSEEN
from harness.audio.synth.phrases import ACCENTS, GRAMMAR, JUMBLED, SAID_IN_TEST, phrases_plan, phrases_training_plan

COMMITTED = Path(__file__).parents[2] / "corpora" / "phrases"


def voices(utterances: object, split: str) -> set[tuple[str, str]]:
    return {(u.speaker.engine, u.speaker.voice.lower()) for u in utterances if u.split == split}  # type: ignore[attr-defined]


def test_what_is_judged_is_of_the_grammar() -> None:
    plan = phrases_plan()
    assert {u.text for u in plan.utterances} <= set(GRAMMAR.sentences)
    assert {u.speaker.accent for u in plan.utterances if u.split == "test"} == ACCENTS
    assert set(Counter(u.speaker.id for u in plan.utterances if u.split == "test").values()) == {SAID_IN_TEST}


def test_voices_and_accents_of_the_sets_are_apart() -> None:
    plan, training = phrases_plan().utterances, phrases_training_plan().utterances
    judged = voices(plan, "test")
    assert not judged & (voices(plan, "calibration") | voices(training, "train"))
    assert not {u.speaker.accent for u in training} & UNSEEN
    assert not {u.speaker.accent for u in plan if u.split == "calibration"} & UNSEEN


def test_ids_are_unique_and_training_hears_words_out_of_order() -> None:
    training = phrases_training_plan().utterances
    assert len({u.clip for u in training}) == len(training)
    jumbled = sum(u.text not in GRAMMAR.sentences for u in training) / len(training)
    assert JUMBLED / 2 < jumbled < 2 * JUMBLED


def test_the_committed_corpus_is_the_plan() -> None:
    with (COMMITTED / "manifest.tsv").open(encoding="utf-8", newline="") as lines:
        rows = {row["clip"]: row["text"] for row in csv.DictReader(lines, delimiter="\t")}
    assert rows == {u.clip: u.text for u in phrases_plan().utterances}
