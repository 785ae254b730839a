"""Wake words: from scores over time to detections, misses, false accepts per hour and delays.

A detection is an event, not a frame: a device that has fired is deaf for its refractory period. Counters of frames
(two bursts of ten frames make twenty) report rates ten times too high, and hide what changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.audio.truth import Truth
from harness.interval import Estimate, no_tighter, poisson, share
from harness.score.slices import Slice

Scores = npt.NDArray[np.float32]
Seconds = npt.NDArray[np.float64]

LATE_S = 1.0  # after its end, a word's detection is no longer its own
CURVE_POINTS = 64
SLACK = 1e-6  # of a step


@dataclass(frozen=True, slots=True)
class Trace:
    """What a model said while it heard a stream: one score ``(steps,)`` every ``step_s`` seconds.

    ``first_s`` is how much had been heard when the first score was given. ``real`` tells recordings from
    synthetic speech; one figure never has both.
    """

    scores: Scores
    step_s: float
    seconds: float  # of the stream
    truth: tuple[Truth, ...]
    word: str
    real: bool
    first_s: float
    name: str = ""
    average: int = 1  # steps whose mean each score is; before the first, nothing was said

    @property
    def words(self) -> list[Truth]:
        """What is to be detected, in its order."""
        return [event for event in self.truth if event.label == self.word]


def detections(trace: Trace, threshold: float, refractory_s: float) -> Seconds:
    """Times ``(events,)`` in seconds at which a device fires: a score reaches ``threshold`` and it is not deaf.

    A score that stays up for longer than the refractory period fires again, as it does on a device.
    """
    above = np.flatnonzero(trace.scores >= threshold)
    times: Seconds = np.asarray(trace.first_s + above * trace.step_s, np.float64)
    fired, index = [], 0
    while index < len(times):
        fired.append(times[index])
        # A little slack: the sums of times have no exact last bit.
        index = max(index + 1, int(np.searchsorted(times, times[index] + refractory_s - SLACK * trace.step_s)))
    return np.array(fired, np.float64)


@dataclass(frozen=True, slots=True)
class Tally:
    """Detections of one stream, ``fired_s``, held against its truth. ``delays_s`` ``(words,)`` is NaN where missed.

    A detection belongs to a word from its begin until LATE_S after its end. The first is a hit, others are
    ``repeats``; those that belong to no word are ``false_s``. ``negative_s`` is the time in which there could be
    one.
    """

    words: tuple[Truth, ...]
    fired_s: Seconds
    delays_s: Seconds
    false_s: Seconds
    repeats_s: Seconds
    negative_s: float
    real: bool

    @property
    def misses(self) -> int:
        return int(np.isnan(self.delays_s).sum())


def tally(fired_s: Seconds, trace: Trace, late_s: float = LATE_S) -> Tally:
    """Match detections, in their order, with the words of a stream, which follow each other."""
    words = trace.words
    begins = np.array([word.start_s for word in words])
    delays = np.full(len(words), np.nan)
    false: list[float] = []
    repeats: list[float] = []
    for time in fired_s:
        last = int(np.searchsorted(begins, time, "right"))
        near = [index for index in range(max(0, last - 2), last) if time <= words[index].end_s + late_s]
        free = [index for index in near if math.isnan(delays[index])]
        if free:
            delays[free[0]] = time - words[free[0]].end_s
        else:
            (repeats if near else false).append(time)
    covered = sum(word.end_s + late_s - word.start_s for word in words)
    return Tally(
        tuple(words),
        np.sort(fired_s),
        delays,
        np.array(false),
        np.array(repeats),
        max(0.0, trace.seconds - covered),
        trace.real,
    )


@dataclass(frozen=True, slots=True)
class Point:
    """All streams of one kind at one threshold: what a release is decided on."""

    threshold: float
    tallies: tuple[Tally, ...]

    @property
    def words(self) -> int:
        return sum(len(each.words) for each in self.tallies)

    @property
    def misses(self) -> int:
        return sum(each.misses for each in self.tallies)

    @property
    def false_accepts(self) -> int:
        return sum(len(each.false_s) for each in self.tallies)

    @property
    def repeats(self) -> int:
        return sum(len(each.repeats_s) for each in self.tallies)

    @property
    def hours(self) -> float:
        """Of sound in which every detection is a false accept."""
        return sum(each.negative_s for each in self.tallies) / 3600

    @property
    def delays_ms(self) -> Seconds:
        """Milliseconds ``(hits,)`` from the end of each detected word."""
        taken: Seconds = np.concatenate([each.delays_s for each in self.tallies]) if self.tallies else np.zeros(0)
        found: Seconds = 1000 * taken[~np.isnan(taken)]
        return found

    def frr(self, confidence: float, seed: int = 0, part: Slice | None = None) -> Estimate:
        """Share of words missed, with bounds over speakers, no tighter than if all words were independent."""
        words = [word for each in self.tallies for word in each.words]
        missed = np.concatenate([np.isnan(each.delays_s) for each in self.tallies] or [np.zeros(0)])
        mask = np.array([part is None or _within(word, part) for word in words], bool)
        _, speaker = np.unique([word.speaker for word in words], return_inverse=True)
        clips = len({word.clip for word, inside in zip(words, mask, strict=True) if inside})
        found = share(missed[mask].astype(np.float64), speaker[mask].astype(np.intp), clips, confidence, seed)
        return no_tighter(found, confidence)

    def lost(self, before: Point, confidence: float, seed: int = 0) -> Estimate:
        """Share of the words that ``before`` heard and this did not, less those the other way round; paired."""
        words = [word for each in self.tallies for word in each.words]
        heard = [~np.isnan(np.concatenate([each.delays_s for each in point.tallies])) for point in (before, self)]
        _, speaker = np.unique([word.speaker for word in words], return_inverse=True)
        clips = len({word.clip for word in words})
        changed = heard[0].astype(np.float64) - heard[1]
        return share(changed, speaker.astype(np.intp), clips, confidence, seed, (-1.0, 1.0))

    def rate(self, confidence: float) -> Estimate:
        """False accepts per hour with exact Poisson bounds; ``n`` counts events."""
        low, high = poisson(self.false_accepts, self.hours, confidence)
        value = self.false_accepts / self.hours if self.hours else math.nan
        error = math.sqrt(self.false_accepts) / self.hours if self.hours else math.inf
        return Estimate(value, low, high, self.false_accepts, self.false_accepts, len(self.tallies), "poisson", error)


def _within(word: Truth, part: Slice) -> bool:
    accent = part.accents is None or word.accent in part.accents
    return accent and part.condition in (None, word.condition)


@dataclass(frozen=True)
class Listening:
    """One build over streams of one kind: recordings, or synthetic speech."""

    traces: tuple[Trace, ...]
    refractory_s: float
    late_s: float = LATE_S

    def __post_init__(self) -> None:
        if len({trace.real for trace in self.traces}) > 1:
            raise ValueError("recordings and synthetic speech in one figure; judge each by itself")

    @property
    def kind(self) -> str:
        """What is heard, as every table says it."""
        return "recordings" if self.traces[0].real else "synthetic"

    @property
    def talk(self) -> tuple[float, int]:
        """Minutes of speech that is not the word, and of how many clips: the rest of the hours is noise."""
        others = [event for each in self.traces for event in each.truth if event.label != each.word]
        return sum(event.end_s - event.start_s for event in others) / 60, len({event.clip for event in others})

    def tradeoff(self, point: Point) -> dict[str, Any]:
        """The curve and the operating ``point``, ``[false accepts an hour, percent missed]``, as a record."""
        return {
            "curve": [_place(each) for each in self.curve()],
            "point": _place(point),
            "threshold": point.threshold,
            "words": point.words,
            "hours": point.hours,
        }

    def at(self, threshold: float) -> Point:
        """Every stream at one threshold."""
        fired = [(detections(trace, threshold, self.refractory_s), trace) for trace in self.traces]
        return Point(threshold, tuple(tally(times, trace, self.late_s) for times, trace in fired))

    def operate(self, false_per_hour: float) -> Point:
        """The lowest threshold at which no more false accepts per hour are seen: FRR is stated there.

        Above the highest score where even one event is too many.
        """
        levels = self._levels
        low, high = -1, len(levels) - 1  # levels[high] keeps the rate
        while high - low > 1:
            middle = (low + high) // 2
            found = self.at(float(levels[middle]))
            low, high = (low, middle) if found.false_accepts <= false_per_hour * found.hours else (middle, high)
        return self.at(float(levels[high]))

    def curve(self, points: int = CURVE_POINTS) -> list[Point]:
        """Points of the detection error tradeoff, from low thresholds to high.

        Misses against false accepts over all thresholds: Martin et al., The DET curve in assessment of detection
        task performance (Eurospeech 1997); accepts per hour in place of their probability, as streams have no trials.
        """
        levels = self._levels
        chosen = np.unique(np.linspace(0, len(levels) - 1, points).round().astype(int))
        return [self.at(float(levels[index])) for index in chosen]

    @cached_property
    def _levels(self) -> Scores:
        """Thresholds that can change anything: the peaks of the scores, and one above them all."""
        peaks = [_peaks(trace.scores[np.isfinite(trace.scores)]) for trace in self.traces]
        found = np.unique(np.concatenate([*peaks, np.zeros(0, np.float32)]))
        above = np.nextafter(found[-1], np.float32(np.inf)) if len(found) else np.float32(1)
        return np.append(found, above).astype(np.float32)


def _place(point: Point) -> list[float]:
    return [point.false_accepts / max(point.hours, 1e-9), 100 * point.misses / max(1, point.words)]


def _peaks(scores: Scores) -> Scores:
    around = np.pad(scores, 1, constant_values=-np.inf)
    return scores[(scores >= around[:-2]) & (scores >= around[2:])]


def kinds(traces: Sequence[Trace]) -> dict[bool, tuple[Trace, ...]]:
    """Traces by whether they are of recordings."""
    return {real: same for real in (True, False) if (same := tuple(t for t in traces if t.real is real))}
