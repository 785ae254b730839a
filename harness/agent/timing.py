"""Warm-up and the timing of single calls, by the monotonic clock of this process: the same loops on host and board."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Samples = npt.NDArray[np.float64]
    Marks = npt.NDArray[np.int64]  # (rounds, 4) nanoseconds: start, front end done, inference done, decision done
    Call = Callable[[int], object]  # given the number of the round
    Clock = Callable[[], int]  # nanoseconds
    Step = Callable[[Any], Any]

BLOCK = 32  # calls whose median is compared: odd spikes do not move it
AGREE = 3  # successive blocks that must agree
TOLERANCE = 0.02  # of their smallest median
LONGEST_S = 5.0


@dataclass(frozen=True)
class Warmup:
    """How long it took until times settled, or that they did not within the time given."""

    rounds: int
    settled: bool


def agree(samples: Samples, block: int = BLOCK, tolerance: float = TOLERANCE) -> bool:
    """Whether the medians of the last AGREE whole blocks of ``samples`` lie within ``tolerance``."""
    if len(samples) < AGREE * block:
        return False
    medians = np.median(samples[-AGREE * block :].reshape(AGREE, block), axis=1)
    return bool(medians.max() - medians.min() <= tolerance * medians.min())


def warm_up(call: Call, longest_s: float = LONGEST_S, clock: Clock = time.perf_counter_ns) -> Warmup:
    """Call until times settle: caches filled, clocks raised, allocators grown."""
    samples: list[float] = []
    end = clock() + int(longest_s * 1e9)
    while clock() < end:
        for _ in range(BLOCK):
            start = clock()
            call(len(samples))
            samples.append((clock() - start) / 1e6)
        if agree(np.array(samples)):
            return Warmup(len(samples), True)
    return Warmup(len(samples), False)


def timed(call: Call, rounds: int, clock: Clock = time.perf_counter_ns) -> Samples:
    """Milliseconds of ``rounds`` calls, in order, none left out."""
    samples = np.empty(rounds, np.int64)
    for i in range(rounds):
        start = clock()
        call(i)
        samples[i] = clock() - start
    return samples / 1e6


def staged(front: Step, infer: Step, audio: Sequence[Any], clock: Clock = time.perf_counter_ns) -> Callable[[int], Any]:
    """Audio in, decision out, as a call of the round's number that returns its four marks in nanoseconds."""

    def once(i: int) -> tuple[int, int, int, int]:
        wave = audio[i % len(audio)]
        start = clock()
        features = front(wave)
        fronted = clock()
        logits = infer(features)
        inferred = clock()
        int(np.argmax(logits))
        return start, fronted, inferred, clock()

    return once


def marked(
    once: Callable[[int], Any], rounds: int, seconds: float = 0.0, most: int = 0, clock: Clock = time.perf_counter_ns
) -> Iterator[tuple[int, ...]]:
    """What ``once`` returns, round after round: at least ``rounds`` of them and ``seconds`` long, ``most`` at most."""
    end = clock() + int(seconds * 1e9)
    done = 0
    while done < rounds or (clock() < end and not done >= most > 0):
        yield once(done)
        done += 1


def in_turns(a: Call, b: Call, clock: Clock = time.perf_counter_ns) -> Callable[[int], tuple[float, float]]:
    """One round of both, as milliseconds of each; which goes first alternates."""

    def once(i: int) -> tuple[float, float]:
        if i % 2 == 0:
            first = timed(lambda _: a(i), 1, clock)[0]
            return first, timed(lambda _: b(i), 1, clock)[0]
        second = timed(lambda _: b(i), 1, clock)[0]
        return timed(lambda _: a(i), 1, clock)[0], second

    return once
