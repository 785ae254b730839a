"""Which clips a corpus holds, decided before a sound is made: ids, texts, speakers, seeds."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from harness.audio.synth import words
from harness.audio.synth.voices import TRAINING_VOICES_PER_ACCENT, Speaker, corpus_speakers, training_speakers

ROOM_TONE = "room-tone"
CALIBRATION_VOICES_PER_ACCENT = 2


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clip to be made: ``speaker`` says ``text`` (empty: only room tone is heard)."""

    label: str
    text: str
    speaker: Speaker
    split: str
    take: int = 0
    window_s: float = 1.0  # how long the clip is

    @property
    def clip(self) -> str:
        """The clip's id: ``en-us/espeak-f2/stop-0``, ``de/espeak-m3/unknown-stock-0``."""
        said = f"{words.UNKNOWN}-{words.slug(self.text)}" if self.label == words.UNKNOWN else words.slug(self.label)
        return f"{self.speaker.id}/{said}-{self.take}"

    @property
    def seed(self) -> int:
        """Of everything random in this clip; independent of what else is built."""
        return zlib.crc32(self.clip.encode())

    @property
    def engine(self) -> str:
        return self.speaker.engine if self.text else ROOM_TONE


@dataclass(frozen=True, slots=True)
class Plan:
    """A corpus to be built: its name, what it is, and its utterances in their fixed order."""

    name: str
    description: str
    utterances: tuple[Utterance, ...]


def commands_plan() -> Plan:
    """The committed corpus: split ``test`` on all accents, ``calibration`` on training voices."""
    return Plan(
        "commands",
        "Twelve spoken commands, synthetic speech: eight native and twelve foreign accents, ten voices each",
        (*_test_utterances(), *_calibration_utterances()),
    )


def training_plan(voices_per_accent: int = TRAINING_VOICES_PER_ACCENT, unknown_words: int = 16) -> Plan:
    """Speech to train on: other voices, other unknown words, no clip of the unseen accents.

    Each voice says every keyword twice and ``unknown_words`` others, and leaves two clips of room tone.
    """
    confusable = cycle(words.TRAINING_CONFUSABLE)
    ordinary = cycle(words.TRAINING_ORDINARY)
    utterances: list[Utterance] = []
    for speaker in training_speakers(voices_per_accent):
        near, far = unknown_words - unknown_words // 4, unknown_words // 4
        others = (*islice(confusable, near), *islice(ordinary, far))
        utterances += _voice(speaker, "train", others, takes=2)
    return Plan("commands-training", "Training speech for the commands model", tuple(utterances))


def _test_utterances() -> Iterator[Utterance]:
    confusable, ordinary = cycle(words.TEST_CONFUSABLE), cycle(words.TEST_ORDINARY)
    for speaker in corpus_speakers():
        yield from _voice(speaker, "test", (next(confusable), next(ordinary)))


def _calibration_utterances() -> Iterator[Utterance]:
    confusable, ordinary = cycle(words.TRAINING_CONFUSABLE), cycle(words.TRAINING_ORDINARY)
    heard: dict[str, int] = {}
    for speaker in training_speakers():
        heard[speaker.accent] = heard.get(speaker.accent, 0) + 1
        if speaker.engine == "espeak-ng" and heard[speaker.accent] <= CALIBRATION_VOICES_PER_ACCENT:
            yield from _voice(speaker, "calibration", (next(confusable), next(ordinary)))


def _voice(speaker: Speaker, split: str, unknown: Sequence[str], takes: int = 1) -> Iterator[Utterance]:
    """What one speaker says: every keyword ``takes`` times, the unknown words, and as often nothing."""
    for take in range(takes):
        for keyword in words.KEYWORDS:
            yield Utterance(keyword, keyword, speaker, split, take)
    for text in unknown:
        yield Utterance(words.UNKNOWN, text, speaker, split)
    for take in range(takes):
        yield Utterance(words.SILENCE, "", speaker, split, take)
