"""Raw timings of a board, by whichever clock it keeps, and how to take them in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.agent.timing import BLOCK, Warmup, agree, in_turns, marked, staged, timed, warm_up

__all__ = [
    "BLOCK",
    "Call",
    "Clock",
    "Samples",
    "Stages",
    "Turns",
    "Warmup",
    "agree",
    "stages",
    "timed",
    "turns",
    "warm_up",
]

Samples = npt.NDArray[np.float64]
Call = Callable[[int], object]  # given the number of the round
Clock = Callable[[], int]  # nanoseconds


@dataclass(frozen=True, slots=True)
class Stages:
    """Marks of single rounds, ``(rounds, 4)`` nanoseconds: start, front end, inference and decision done.

    ``throttled`` says what slowed the board while they were taken, in words; ``vitals`` is what it said of itself.
    ``burst`` counts the rounds before a sustained load had gone on long enough to be judged; 0 where none was asked.
    """

    marks: npt.NDArray[np.int64]
    warmup: Warmup
    burst: int = 0
    throttled: str = ""
    vitals: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turns:
    """Milliseconds of two calls taken in turns, ``(rounds, 2)``; the rest as of Stages."""

    samples_ms: Samples
    warmups: tuple[Warmup, Warmup]
    throttled: str = ""
    vitals: dict[str, Any] = field(default_factory=dict)


def stages(
    front: Callable[[Any], Any],
    infer: Callable[[Any], Any],
    audio: Any,
    rounds: int,
    seconds: float = 0.0,
    clock: Clock = time.perf_counter_ns,
) -> Stages:
    """Front end, inference and decision of windows of ``audio``, at least ``rounds`` and ``seconds`` of them."""
    once = staged(front, infer, audio, clock)
    warm = warm_up(once, clock=clock)
    marks = np.array(list(marked(once, rounds, seconds, clock=clock)), np.int64).reshape(-1, 4)
    return Stages(marks, warm, sustained_from(marks, rounds) if seconds else 0)


def sustained_from(marks: npt.NDArray[np.int64], rounds: int) -> int:
    """The first round of a sustained load's last third, or earlier where that third has fewer than ``rounds``."""
    last = marks[-1, 3] - (marks[-1, 3] - marks[0, 0]) // 3
    return max(0, min(int(np.searchsorted(marks[:, 0], last)), len(marks) - rounds))


def turns(a: Call, b: Call, rounds: int, clock: Clock = time.perf_counter_ns) -> Turns:
    """Time ``a`` and ``b`` side by side, so that a busy machine slows both alike."""
    warm = warm_up(a, clock=clock), warm_up(b, clock=clock)
    samples = np.array(list(marked(in_turns(a, b, clock), rounds, clock=clock))).reshape(-1, 2)
    return Turns(samples, warm)
