"""Energy of one inference: a meter samples while a board works and rests in turns, and the rest is subtracted.

All that a board spends beyond rest is the work's, wherever exactly in the trace it lies: so the board's clock need not
agree with the meter's, and what a call costs beside its inferences becomes small by making it long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.boards.energy import Meter, Trace, Values
from harness.errors import InfraError

BLOCKS = 10
BUSY_S = 3.0  # of each block
IDLE_S = 1.5  # before, between and after
SETTLE_S = 0.3  # left out of the rest beside work, and added to the work: lines arrive late, regulators lag
FEWEST = 15  # samples in each stretch, else their mean says little

Work = Callable[[float], int]  # inferences for about that many seconds; returns how many they were


@dataclass(frozen=True, slots=True)
class Energy:
    """Millijoules of one inference, idle subtracted, one figure a block; watts at rest and at work."""

    mj: Values  # (blocks,)
    idle_w: Values  # (blocks,) mean around each block
    busy_w: float
    inferences: int
    source: str
    clock: str
    throttled: str = ""  # what slowed the board, or took part of it, meanwhile


def measure(
    meter: Meter,
    work: Work,
    blocks: int = BLOCKS,
    busy_s: float = BUSY_S,
    idle_s: float = IDLE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Energy:
    """Let the board work ``blocks`` times for ``busy_s``, resting ``idle_s`` around each.

    Raises InfraError where the meter fails, falls silent, or samples too seldom.
    """
    spans: list[tuple[float, float, int]] = []
    meter.start()
    try:
        begun = clock()
        for _ in range(blocks):
            sleep(idle_s)
            start = clock()
            count = work(busy_s)
            spans.append((start, clock(), count))
        sleep(idle_s)
        ended = clock()
    except BaseException:
        _give_up(meter)
        raise
    return settle(meter.stop(), spans, begun, ended)


def settle(trace: Trace, spans: list[tuple[float, float, int]], begun: float, ended: float) -> Energy:
    """The energy of work that was done in ``spans`` (start, end, inferences), all by the trace's clock."""
    edges = [begun, *(edge for start, end, _ in spans for edge in (start, end)), ended]
    rests = [_rest(trace, edges[i], edges[i + 1]) for i in range(0, len(edges), 2)]
    idle = (np.array(rests[:-1]) + np.array(rests[1:])) / 2
    mj, busy = [], []
    for (start, end, count), floor in zip(spans, idle, strict=True):
        if count < 1:
            raise InfraError(
                f"{trace.source}: the board ran no inference in {end - start:.1f} s; see why, and run again."
            )
        busy.append(_watts(trace, start + SETTLE_S, end - SETTLE_S, "at work"))
        mj.append(1e3 * trace.joules(start, end + SETTLE_S, float(floor)) / count)
    total = sum(count for _, _, count in spans)
    return Energy(np.array(mj), idle, float(np.mean(busy)), total, trace.source, trace.clock)


def _rest(trace: Trace, begin: float, end: float) -> float:
    return _watts(trace, begin + SETTLE_S, end - SETTLE_S / 3, "at rest")


def _watts(trace: Trace, begin: float, end: float, what: str) -> float:
    """Mean power of a stretch that has enough samples, evenly spread."""
    part = trace.between(begin, end)
    silent = trace.silence(begin, end)
    if len(part.watts) < FEWEST or silent > (end - begin) / 3:
        raise InfraError(
            f"{trace.source} gave {len(part.watts)} samples in {end - begin:.1f} s {what}, silent for {silent:.2f} s; "
            f"{FEWEST}, evenly spread, are needed. Let it sample more often (interval_s in lab.toml)."
        )
    return float(part.watts.mean())


def _give_up(meter: Meter) -> None:
    """End the sampling of work that failed: why the work did is what counts."""
    try:
        meter.stop()
    except InfraError:
        return
