"""CTC decoding: exact against every alignment counted out, greedy by hand, and what is no speech is nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.score.ctc import NOTHING, decoder, softmax
from tests.score.spoken import LABELS, SENTENCES, emit, own

FEW = ("<blank>", "a", "b")
SAID = ("a", "aa", "ab", "ba", "aba", "bb")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_scores_are_the_sums_over_all_alignments(seed: int, frames: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 2, (2, frames, 3)).astype(np.float32)
    small = decoder(FEW, "<blank>", SAID)
    likely = softmax(logits)
    wanted = np.zeros((2, len(SAID)))
    for path in itertools.product(range(3), repeat=frames):
        text = small.spell(np.array(path, np.intp))
        if text in SAID:
            wanted[:, SAID.index(text)] += likely[:, np.arange(frames), list(path)].prod(axis=1)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(small.scores(logits.reshape(2, -1)), np.log(wanted), rtol=1e-9)


def test_greedy_merges_repeats_and_drops_blanks() -> None:
    small = decoder(FEW, "<blank>", SAID)
    assert small.spell(np.array([0, 1, 1, 0, 1, 2, 2, 0])) == "aab"
    assert small.spell(np.array([0, 0, 0])) == ""
    assert small.spell(np.array([1, 2])) == "ab"


def test_every_sentence_is_heard_as_itself() -> None:
    outputs = emit(SENTENCES)
    decoding = own()
    assert decoding.spelled(outputs) == list(SENTENCES)
    assert decoding.decided(decoding.scores(outputs)).tolist() == list(range(len(SENTENCES)))


def test_the_grammar_mends_a_letter_and_the_letters_alone_do_not() -> None:
    heard = own().hear(emit(["turn ow the light"])[0])
    assert (heard.text, heard.spelled) == ("turn on the light", "turn ow the light")
    assert heard.score < own().hear(emit(["turn on the light"])[0]).score


def test_silence_is_rejected_and_says_nothing() -> None:
    silence = emit([""])
    decoding = own(reject=-2.0)
    assert decoding.decided(decoding.scores(silence)).tolist() == [NOTHING]
    assert decoding.hear(silence[0]).text == decoding.hear(silence[0]).spelled == ""


def test_outputs_that_are_not_finite_say_nothing() -> None:
    outputs = emit(SENTENCES[:2])
    outputs[0, 3] = np.nan
    decoding = own()
    scores = decoding.scores(outputs)
    assert decoding.decided(scores).tolist() == [NOTHING, 1]
    assert decoding.spelled(outputs) == ["", SENTENCES[1]]


def test_a_long_silence_does_not_underflow() -> None:
    frames = np.concatenate([emit(SENTENCES[:1]).reshape(-1, len(LABELS)), emit([""] * 40).reshape(-1, len(LABELS))])
    assert own().hear(frames * 4).text == SENTENCES[0]


def test_another_blank_reads_something_else() -> None:
    decoding = replace(own(), blank=LABELS.index("z"))
    assert decoding.spelled(emit(SENTENCES)) != list(SENTENCES)


def test_a_sentence_of_unknown_letters_is_refused() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        decoder(FEW, "<blank>", ("abc",))
