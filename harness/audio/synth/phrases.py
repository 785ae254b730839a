"""Spoken commands of several words: what is said, and who says it to be judged, to calibrate, and to train on."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator

from harness.audio.grammar import Grammar
from harness.audio.synth.plan import Plan, Utterance
from harness.audio.synth.voices import Speaker, corpus_speakers, training_speakers

GRAMMAR = Grammar(
    patterns=(
        "turn <side>",
        "<walk> to the <room>",
        "bring me the <colour> <thing>",
        "put the <colour> <thing> on the table",
        "move <way> <number> steps",
        "set the timer to <number> minutes",
        "turn <switch> the <device>",
        "<shift> the <opening>",
        "<alone>",
    ),
    slots={
        "side": ("left", "right", "around"),
        "walk": ("go", "come"),
        "room": ("kitchen", "garden", "bedroom", "office", "garage"),
        "colour": ("red", "blue", "green", "yellow", "black", "white"),
        "thing": ("box", "cup", "ball", "book"),
        "way": ("forward", "back"),
        "number": ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        "switch": ("on", "off"),
        "device": ("light", "radio", "fan"),
        "shift": ("open", "close"),
        "opening": ("door", "window"),
        "alone": ("stop now", "follow me", "wait here", "come back"),
    },
)

WINDOW_S = 3.0
ENGINES = frozenset({"espeak-ng", "flite"})  # Debian's: no extra needed to build it
ACCENTS = frozenset(
    {"en-us", "en-us-nyc", "en-gb", "en-gb-scotland", "en-gb-x-gbcwmd", "en-029", "de", "fr", "hi", "ru", "ja", "sv"}
)  # judged: fewer than keywords have, because a sentence weighs more in the repository than a word
SAID_IN_TEST = 3  # by each voice
CALIBRATION_VOICES_PER_ACCENT = 4
SAID_IN_CALIBRATION = 3
SAID_IN_TRAINING = 17
JUMBLED = 0.15  # of the training sentences: words in any order, lest the model learn the grammar for the sounds


def phrases_plan() -> Plan:
    """The committed corpus: split ``test`` on its accents, ``calibration`` on training voices."""
    return Plan(
        "phrases",
        "Commands of two to seven words, synthetic speech: six native and six foreign accents, up to ten voices each",
        (*_test_utterances(), *_calibration_utterances()),
    )


def phrases_training_plan(said: int = SAID_IN_TRAINING) -> Plan:
    """Speech to train on: other voices, no clip of the unseen accents, ``said`` sentences by each voice."""
    utterances: list[Utterance] = []
    for speaker in filter(_shipped, training_speakers()):
        own = _own(speaker, "train")
        texts = [_jumble(own) if own.random() < JUMBLED else text for text in _sentences(own, said)]
        utterances += _said(speaker, "train", texts)
    return Plan("phrases-training", "Training speech for the spoken commands model", tuple(utterances))


def _test_utterances() -> Iterator[Utterance]:
    for speaker in filter(_shipped, corpus_speakers()):
        if speaker.accent in ACCENTS:
            yield from _said(speaker, "test", _sentences(_own(speaker, "test"), SAID_IN_TEST))


def _calibration_utterances() -> Iterator[Utterance]:
    heard: Counter[str] = Counter()
    for speaker in training_speakers():
        heard[speaker.accent] += 1
        if speaker.accent in ACCENTS and heard[speaker.accent] <= CALIBRATION_VOICES_PER_ACCENT:
            texts = _sentences(_own(speaker, "calibration"), SAID_IN_CALIBRATION)
            yield from _said(speaker, "calibration", texts)


def _sentences(own: random.Random, count: int) -> list[str]:
    """Each from a pattern drawn first, so that the many of one pattern do not crowd out the few of another."""
    weights = [len(GRAMMAR.spelled(pattern)) ** 0.5 for pattern in GRAMMAR.patterns]
    return [own.choice(GRAMMAR.spelled(pattern)) for pattern in own.choices(GRAMMAR.patterns, weights, k=count)]


def _jumble(own: random.Random) -> str:
    return " ".join(own.choices(GRAMMAR.words, k=own.randint(2, 5)))


def _said(speaker: Speaker, split: str, texts: Iterable[str]) -> Iterator[Utterance]:
    takes: Counter[str] = Counter()
    for text in texts:
        yield Utterance(text, text, speaker, split, takes[text], WINDOW_S)
        takes[text] += 1


def _shipped(speaker: Speaker) -> bool:
    return speaker.engine in ENGINES


def _own(speaker: Speaker, split: str) -> random.Random:
    return random.Random(zlib.crc32(f"{speaker.id}/{split}".encode()))  # noqa: S311 - repeatable, not secret
