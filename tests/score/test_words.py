"""Word and letter errors, counted by hand, after the pinned normalizer."""

from __future__ import annotations

from harness.score.words import letter_errors, word_errors


def test_words_put_in_left_out_and_replaced_are_counted() -> None:
    said = ["go to the kitchen", "turn left", "stop now", "wait here"]
    heard = ["go the kitchen", "turn right now", "", "wait here"]
    wrong, words = word_errors(said, heard)
    assert wrong.tolist() == [1, 2, 2, 0]
    assert words.tolist() == [4, 2, 2, 2]


def test_letters_are_counted_with_spaces() -> None:
    wrong, letters = letter_errors(["turn on", "go"], ["turn of", "g o"])
    assert wrong.tolist() == [1, 1]
    assert letters.tolist() == [7, 2]


def test_case_punctuation_and_spaces_are_no_errors() -> None:
    assert word_errors(["turn left"], ["  Turn,  LEFT! "])[0].tolist() == [0]
