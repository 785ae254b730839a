"""Warm-up and the timing of single calls, by the monotonic clock of this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]
Call = Callable[[int], object]  # given the number of the round
Clock = Callable[[], int]  # nanoseconds

BLOCK = 32  # calls whose median is compared: odd spikes do not move it
AGREE = 3  # successive blocks that must agree
TOLERANCE = 0.02  # of their smallest median
LONGEST_S = 5.0


@dataclass(frozen=True, slots=True)
class Warmup:
    """How long it took until times settled, or that they did not within LONGEST_S."""

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
