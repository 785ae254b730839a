"""Trigger and recognizer over one stream: what was done for each utterance, and what was done for nobody."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.audio.truth import Truth
from harness.interval import Estimate, no_tighter, poisson, share
from harness.score.wakeword import LATE_S
from harness.score.words import word_errors


@dataclass(frozen=True, slots=True)
class Act:
    """The trigger fired at ``fired_s``; from ``since_s`` to ``until_s`` was heard, and ``text`` understood, or nothing.

    ``spelled`` is what the recognizer wrote without its grammar.
    """

    fired_s: float
    until_s: float
    text: str
    spelled: str = ""
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Utterance:
    """The word, the command that followed, and the act it led to, if any."""

    word: Truth
    said: Truth
    act: Act | None

    @property
    def understood(self) -> bool:
        return self.act is not None and self.act.text == self.said.label


@dataclass(frozen=True, slots=True)
class Session:
    """One stream lived through. ``stray`` are acts that nobody called for."""

    utterances: tuple[Utterance, ...]
    stray: tuple[Act, ...]
    hours: float

    @property
    def activations(self) -> list[Act]:
        """Commands that were done though nobody gave one."""
        return [act for act in self.stray if act.text]

    @property
    def missed(self) -> int:
        """Utterances whose word woke nothing."""
        return sum(each.act is None for each in self.utterances)

    @property
    def unheard(self) -> int:
        """Utterances that woke the recognizer, which then understood nothing."""
        return sum(each.act is not None and not each.act.text for each in self.utterances)

    @property
    def wrong(self) -> int:
        """Utterances for which another command was done."""
        return len(self.utterances) - self.missed - self.unheard - sum(each.understood for each in self.utterances)

    @property
    def headless(self) -> int:
        """Utterances not understood whose command had begun before it was listened to."""
        return sum(each.act is not None and each.act.since_s > each.said.start_s for each in self._misheard)

    @property
    def cut(self) -> int:
        """Utterances not understood whose command went on when nothing was listened to any more."""
        return sum(each.act is not None and each.act.until_s < each.said.end_s for each in self._misheard)

    @property
    def _misheard(self) -> list[Utterance]:
        return [each for each in self.utterances if each.act is not None and not each.understood]

    def success(self, confidence: float, seed: int = 0) -> Estimate:
        """Share of utterances understood, from the word to the command; bounds over speakers."""
        return _share(self.utterances, confidence, seed)

    def understood(self, confidence: float, seed: int = 0) -> Estimate:
        """Command accuracy: share understood of the utterances that woke the recognizer."""
        woken = [each for each in self.utterances if each.act is not None]
        return _share(woken, confidence, seed)

    def wer(self, confidence: float, seed: int = 0) -> Estimate:
        """Word error rate of what the recognizer wrote, over the utterances that woke it; bounds over speakers."""
        woken = [each for each in self.utterances if each.act is not None]
        said = [each.said.label for each in woken]
        wrong, words = word_errors(said, [each.act.spelled for each in woken if each.act is not None])
        counts = words.astype(np.intp)
        _, speaker = np.unique([each.word.speaker for each in woken], return_inverse=True)
        values = np.repeat(wrong / np.maximum(words, 1), counts)
        found = share(values, np.repeat(speaker.astype(np.intp), counts), len(woken), confidence, seed, (0.0, np.inf))
        return replace(found, n=len(woken))

    def activation_rate(self, confidence: float) -> Estimate:
        """False activations an hour, exact Poisson bounds."""
        count = len(self.activations)
        low, high = poisson(count, self.hours, confidence)
        value = count / self.hours if self.hours else math.nan
        error = math.sqrt(count) / self.hours if self.hours else math.inf
        return Estimate(value, low, high, count, count, 1, "poisson", error)


def _share(utterances: Sequence[Utterance], confidence: float, seed: int) -> Estimate:
    values = np.array([each.understood for each in utterances], np.float64)
    _, speaker = np.unique([each.word.speaker for each in utterances], return_inverse=True)
    clips = len({(each.word.clip, each.said.clip) for each in utterances})
    return no_tighter(share(values, speaker.astype(np.intp), clips, confidence, seed), confidence)


def lived(truth: Sequence[Truth], word: str, acts: Sequence[Act], seconds: float, late_s: float = LATE_S) -> Session:
    """Acts in their order held against the truth: each word is followed by its command."""
    pairs = [(event, after) for event, after in itertools.pairwise(truth) if event.label == word != after.label]
    left, utterances = list(acts), []
    for called, said in pairs:
        own = next((act for act in left if called.start_s <= act.fired_s <= called.end_s + late_s), None)
        if own is not None:
            left.remove(own)
        utterances.append(Utterance(called, said, own))
    # While a command is listened for, the trigger is deaf: nothing false can happen then.
    covered = sum(
        max(each.word.end_s + late_s, each.act.until_s if each.act else 0.0) - each.word.start_s for each in utterances
    )
    return Session(tuple(utterances), tuple(left), max(0.0, seconds - covered) / 3600)
