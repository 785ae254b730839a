"""Latency: samples, percentiles with honest intervals, end-to-end and side-by-side timing.

Nothing is trimmed: a spike is a sample.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.audio.frontend import Audio, FrontEnd
from harness.boards.clock import Call, Clock, Samples, Stages, Turns, Warmup, stages, turns
from harness.targets.base import Infer

SUFFICIENT = 0.99  # confidence that decides how many samples a percentile needs (MLPerf loadgen)
STEADY = 0.05  # of the median: how far the first and last third of the samples may lie apart


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of single rounds, in order.

    ``settled`` when the warm-up ended by agreement and the samples did not drift afterwards;
    ``throttled`` says what slowed the board meanwhile, in words.
    """

    samples_ms: Samples
    warmup: int  # rounds before the first sample
    settled: bool
    note: str = ""  # what a board's own tools say beside them
    throttled: str = ""
    burst_ms: float | None = None  # median before a sustained load had its effect; None where none was asked for

    @property
    def worst_ms(self) -> float:
        return float(self.samples_ms.max())


@dataclass(frozen=True, slots=True)
class Percentile:
    """A quantile with one-sided bounds at ``confidence``, or None and why not."""

    q: float
    value: float | None
    low: float | None
    high: float | None
    n: int
    needed: int
    confidence: float
    reason: str = ""


@cache
def needed(q: float) -> int:
    """Fewest samples for the ``q`` quantile: one may exceed it, at 99% confidence.

    The smallest n with P(Binomial(n, 1 - q) <= 1) <= 0.01, MLPerf loadgen's rule for percentile
    latencies: 64 for p90, 130 for p95, 662 for p99, 6,636 for p99.9.
    """
    low, high = 1, 2
    while not _enough(high, q):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _enough(middle, q) else (middle, high)
    return high


def _enough(n: int, q: float) -> bool:
    from scipy import stats  # here and below: a second of each start of pytest

    return bool(stats.binom.cdf(1, n, 1 - q) <= 1 - SUFFICIENT)


def percentile(samples: npt.ArrayLike, q: float, confidence: float = 0.95) -> Percentile:
    """The ``q`` quantile of ``samples`` with distribution-free one-sided bounds.

    The k-th smallest of n samples is an upper bound at P(Binomial(n, q) <= k - 1), a lower bound at
    P(Binomial(n, q) >= k) (David and Nagaraja, Order Statistics, 2003, section 7.1). Too few
    samples give no value at all: their largest may lie below the quantile.
    """
    from scipy import stats

    ordered = np.sort(np.asarray(samples, np.float64))
    n, fewest = len(ordered), needed(q)
    if n < fewest:
        reason = f"p{100 * q:g} needs {fewest} samples, there are {n}"
        return Percentile(q, None, None, None, n, fewest, confidence, reason)
    upper = int(stats.binom.ppf(confidence, n, q)) + 1
    lower = int(stats.binom.ppf(1 - confidence, n, q))
    return Percentile(
        q,
        value=float(np.quantile(ordered, q, method="inverted_cdf")),
        low=float(ordered[lower - 1]) if lower >= 1 else 0.0,
        high=float(ordered[upper - 1]) if upper <= n else float("inf"),
        n=n,
        needed=fewest,
        confidence=confidence,
    )


def steady(samples: Samples) -> bool:
    """Whether the medians of the first and last third lie within STEADY of the whole median."""
    third = len(samples) // 3
    if third == 0:
        return False
    drift = abs(float(np.median(samples[:third]) - np.median(samples[-third:])))
    return drift <= STEADY * float(np.median(samples))


def _latency(samples: Samples, warmup: Warmup, throttled: str, burst: Samples | None = None) -> Latency:
    settled = warmup.settled and steady(samples)
    return Latency(samples, warmup.rounds, settled, throttled=throttled, burst_ms=_burst(burst))


def _burst(samples: Samples | None) -> float | None:
    return float(np.median(samples)) if samples is not None and len(samples) else None


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """Audio in, decision out, and its parts, of the same rounds."""

    total: Latency
    front: Latency
    inference: Latency
    decision: Latency


def end_to_end(
    frontend: FrontEnd, audio: Audio, infer: Infer, rounds: int, clock: Clock = time.perf_counter_ns
) -> EndToEnd:
    """Time front end, inference and decision of ``rounds`` windows of ``audio`` ``(n, samples)``, in turn."""
    return latencies(stages(frontend.features, infer, audio, rounds, clock=clock))


def latencies(taken: Stages) -> EndToEnd:
    """What a board's marks come to. Of a sustained load its last third is judged, and the burst before told."""
    late = taken.marks[taken.burst :]
    early = taken.marks[: taken.burst]
    total = _latency((late[:, 3] - late[:, 0]) / 1e6, taken.warmup, taken.throttled, (early[:, 3] - early[:, 0]) / 1e6)
    parts, bursts = np.diff(late, axis=1) / 1e6, np.diff(early, axis=1) / 1e6
    # The decision takes microseconds: its own drift would be that of the clock, so the whole decides.
    front, inference, decision = (
        replace(total, samples_ms=part, burst_ms=_burst(burst)) for part, burst in zip(parts.T, bursts.T, strict=True)
    )
    return EndToEnd(total, front, inference, decision)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How long ``a`` takes in times of ``b``, both measured in turns; bounds as of Percentile."""

    a: Latency
    b: Latency
    median: Percentile


def interleave(a: Call, b: Call, rounds: int, confidence: float = 0.95, clock: Clock = time.perf_counter_ns) -> Ratio:
    """Time ``a`` and ``b`` side by side in this process."""
    return ratio(turns(a, b, rounds, clock), confidence)


def ratio(taken: Turns, confidence: float = 0.95) -> Ratio:
    """The median over rounds of one call's time to the other's."""
    ours, theirs = taken.samples_ms.T
    return Ratio(
        _latency(ours, taken.warmups[0], taken.throttled),
        _latency(theirs, taken.warmups[1], taken.throttled),
        percentile(ours / theirs, 0.5, confidence),
    )


def environment() -> dict[str, Any]:
    """What latencies on this host depend on; a fact that cannot be read is None."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    return {
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "governor": _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "load_average": list(load) if load else None,
    }


def _cpu_model() -> str | None:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith(("model name", "Model", "Hardware")):
            return line.partition(":")[2].strip()
    return platform.processor() or None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


@dataclass(slots=True, repr=False)
class DeviceClock:
    """A timer for pytest-benchmark that only moves by what a device measured, in seconds."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def __repr__(self) -> str:
        return "device_clock"  # stands in every record


device_clock = DeviceClock()


def replay(benchmark: Any, samples_ms: npt.ArrayLike) -> None:
    """Record latencies measured elsewhere through pytest-benchmark's ``benchmark`` fixture.

    The test needs ``@pytest.mark.benchmark(timer=measure.device_clock)``; without it this raises
    ValueError, since this host's own clock would be recorded. Recording only: no verdict is made here.
    """
    pending = iter(np.asarray(samples_ms, np.float64) / 1e3)
    count = int(np.size(samples_ms))

    def once() -> None:
        device_clock.now += float(next(pending, 0.0))

    device_clock.now = 0.0
    benchmark.pedantic(once, rounds=count, iterations=1)
    if benchmark.disabled:
        return
    recorded = benchmark.stats.stats.data
    if not np.allclose(recorded, np.asarray(samples_ms) / 1e3, rtol=1e-6, atol=1e-9):
        raise ValueError("another clock was recorded: mark it @pytest.mark.benchmark(timer=measure.device_clock)")
