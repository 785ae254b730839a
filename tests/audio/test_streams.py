"""Streams: planned from a seed, rendered as they are read, with a truth that the audio keeps."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.audio.ambience import AMBIENCES, BEDS, bed
from harness.audio.conditions import from_pcm
from harness.audio.corpus import load_corpus
from harness.audio.effects import level_db
from harness.audio.laying import lay, sources
from harness.audio.streams import SCENE_S, Source, Stream
from harness.audio.truth import Truth, read_truth, write_truth
from harness.errors import CorpusError

CHECKOUT = Path(__file__).parents[2]
QUIET = AMBIENCES[:1]
RATE = 16000


@pytest.fixture(scope="module")
def spoken() -> list[Source]:
    return sources(load_corpus("commands", CHECKOUT))


def laid(spoken: list[Source], **changed: object) -> Stream:
    wanted = {"hours": 0.05, "words": 12, "seed": 4, "ambiences": QUIET} | changed
    return lay("hey robot", spoken, **wanted)  # type: ignore[arg-type]


def audio(stream: Stream, seconds: float = 1.0) -> np.ndarray:
    return np.concatenate(list(stream.chunks(seconds)))


def test_a_seed_repeats_to_the_bit_whatever_the_chunks_and_another_seed_differs(spoken):
    first, again, other = laid(spoken), laid(spoken), laid(spoken, seed=5)
    assert first.digest == again.digest != other.digest
    assert np.array_equal(audio(first, 0.02), audio(again, 7.3))
    assert not np.array_equal(audio(first), audio(other))


def test_it_lasts_as_long_as_it_says_in_chunks_of_the_size_asked_for(spoken):
    stream = laid(spoken)
    sizes = [len(chunk) for chunk in stream.chunks(0.7)]
    assert set(sizes[:-1]) == {round(0.7 * RATE)}
    assert sum(sizes) == round(stream.seconds * RATE) == round(stream.hours * 3600 * RATE)


def test_words_are_heard_where_the_truth_says(spoken):
    stream = laid([source for source in spoken if source.clip.label == "hey robot"])
    heard = from_pcm(audio(stream))
    marks = np.zeros(len(heard), bool)
    for word in stream.truth:
        inside = slice(round(word.start_s * RATE), round(word.end_s * RATE))
        assert -30 < level_db(heard[inside]) < -20
        marks[inside] = True
    assert level_db(heard[~marks]) < -45


def test_every_word_is_laid_and_clear_of_all_other_speech(spoken):
    stream = laid(spoken, hours=0.5, words=100)
    truth = stream.truth
    words = [event for event in truth if event.label == stream.word]
    assert len(words) == len({word.clip for word in words}) == 100
    for word in words:
        others = [event for event in truth if event != word]
        assert all(event.end_s <= word.start_s - 1.5 or event.start_s >= word.end_s + 1.5 for event in others)


@pytest.mark.parametrize("kind", BEDS)
def test_a_bed_repeats_and_has_the_level_it_is_to_have(kind):
    made = bed(kind, 5 * RATE, RATE, 3)
    assert np.array_equal(made, bed(kind, 5 * RATE, RATE, 3))
    assert not np.array_equal(made, bed(kind, 5 * RATE, RATE, 4))
    assert level_db(made) == pytest.approx(0, abs=0.01)


def test_rooms_and_beds_leave_the_length_and_every_ambience_is_met(spoken):
    stream = laid(spoken, hours=0.2, words=0, ambiences=AMBIENCES)
    assert {scene.ambience.id for scene in stream.scenes} == {ambience.id for ambience in AMBIENCES}
    reverberant = next(scene for scene in stream.scenes if scene.ambience.room == "small" and scene.laid)
    assert len(audio(replace(stream, scenes=(reverberant,)))) == round(SCENE_S * RATE)


def test_recordings_and_synthetic_speech_make_no_stream(spoken):
    with pytest.raises(CorpusError, match="recordings and synthetic"):
        lay("hey robot", [*spoken, replace(spoken[0], real=True)], hours=0.1, words=1, seed=1)


def test_a_word_that_nobody_says_and_too_many_words_are_refused(spoken):
    with pytest.raises(CorpusError, match="no clip says 'hey rabbit'"):
        lay("hey rabbit", spoken, hours=0.1, words=1, seed=1)
    with pytest.raises(CorpusError, match="lay fewer words, or more hours"):
        laid(spoken, hours=0.01, words=40)


def test_a_truth_is_read_as_it_was_written_and_a_damaged_one_is_refused(tmp_path, spoken):
    path = tmp_path / "truth.tsv"
    truth = [
        replace(event, start_s=round(event.start_s, 6), end_s=round(event.end_s, 6)) for event in laid(spoken).truth
    ]
    write_truth(path, truth)
    assert read_truth(path) == truth
    for event, fault in (
        (Truth("hey", 2.0, 1.0, True, "a", "en", ""), "ends after its begin"),
        (Truth("hey", float("nan"), 1.0, True, "a", "en", ""), "ends after its begin"),
    ):
        write_truth(path, [event])
        with pytest.raises(CorpusError, match=fault):
            read_truth(path)


def test_after_a_word_its_speaker_says_something_and_excerpts_are_the_stream_s_own(spoken):
    phrases = [source for source in spoken if source.clip.label == "follow me"]
    rest = [source for source in spoken if source.clip.label not in ("follow me", "hey robot")]
    called = [source for source in spoken if source.clip.label == "hey robot"]
    stream = laid([*called, *rest], then=phrases, pause_s=(0.2, 0.4))
    truth = stream.truth
    for word, said in itertools.pairwise(truth):
        if word.label == "hey robot":
            assert (said.label, said.speaker) == ("follow me", word.speaker)
            assert 0.19 < said.start_s - word.end_s < 0.41
    whole = audio(stream)
    starts = [-0.5, 3.25, stream.seconds - 0.25]
    got = stream.excerpts(starts, RATE)
    assert np.array_equal(got[0], np.concatenate([np.zeros(RATE // 2, np.int16), whole[: RATE // 2]]))
    assert np.array_equal(got[1], whole[round(3.25 * RATE) : round(4.25 * RATE)])
    assert np.array_equal(got[2][: RATE // 4], whole[-RATE // 4 :])
    assert not got[2][RATE // 4 :].any()
    assert stream.first(40 / 3600).truth == tuple(event for event in truth if event.start_s < 40)
