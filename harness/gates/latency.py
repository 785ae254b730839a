"""Latency gates: percentiles with intervals against budgets in milliseconds."""

from __future__ import annotations

from functools import partial

import numpy as np

from harness.budgets import LatencyBudget
from harness.gates.base import Build
from harness.measure import Latency, Ratio, percentile
from harness.row import Row
from harness.verdict import Outcome

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def judge(build: Build, latency: Latency, which: str) -> list[Row]:
    """Every percentile that ``latency_ms`` (inference alone) or ``end_to_end_ms`` limits.

    PASS when its upper bound keeps the budget, FAIL when its lower bound breaks it, INCONCLUSIVE
    between, where rounds are too few for the percentile, in place of FAIL where timings never settled, and
    wherever the board was throttled; but a sustained load may throttle it and still keep the budget.
    """
    budget: LatencyBudget = getattr(build.candidate.budgets(build.recipe), which)
    what = "end to end" if which == "end_to_end_ms" else "inference"
    limits = {name: getattr(budget, name) for name in QUANTILES}
    return [
        _judge(build, latency, name, f"{what} {name}", limit) for name, limit in limits.items() if limit is not None
    ]


def slowdown(build: Build, ratio: Ratio) -> Row:
    """Median inference time over that of the float path, both timed in turns on the same board."""
    limit = float(build.candidate.budgets(build.recipe).slowdown or 0)
    part = "inference over float, p50"
    figures = {"value": ratio.median.value, "low": ratio.median.low, "high": ratio.median.high}
    row = partial(build.row, "latency", part, unit="times", limit=limit, n=ratio.median.n, clusters=None, **figures)
    if ratio.median.value is None or ratio.median.low is None or ratio.median.high is None:
        detail = f"{part}: {ratio.median.reason}; time more with --rounds {ratio.median.needed}"
        return row(outcome=Outcome.INCONCLUSIVE, detail=detail)
    low, high = ratio.median.low, ratio.median.high
    outcome = Outcome.PASS if high <= limit else Outcome.FAIL if low > limit else Outcome.INCONCLUSIVE
    interval = f"{ratio.median.value:.3g} times [{low:.3g}, {high:.3g}]"
    detail = f"{part} {interval}, limit at most {limit:g} times, n={ratio.median.n} rounds side by side"
    if ratio.a.throttled:
        detail += _throttled(ratio.a)
        outcome = Outcome.INCONCLUSIVE
    return row(outcome=outcome, detail=detail)


def _judge(build: Build, latency: Latency, name: str, part: str, limit: float) -> Row:
    budgets = build.candidate.budgets(build.recipe)
    found = percentile(latency.samples_ms, QUANTILES[name], budgets.confidence)
    figures = {"value": found.value, "unit": "ms", "limit": limit, "low": found.low, "high": found.high}
    row = partial(build.row, "latency", part, n=len(latency.samples_ms), clusters=None, **figures)
    if found.value is None or found.low is None or found.high is None:
        detail = f"{part}: {found.reason}; time more with --rounds {found.needed}"
        return row(outcome=Outcome.INCONCLUSIVE, detail=detail)
    outcome = Outcome.PASS if found.high <= limit else Outcome.FAIL if found.low > limit else Outcome.INCONCLUSIVE
    interval = f"{found.value:.3g} ms [{found.low:.3g}, {found.high:.3g}]"
    detail = f"{part} {interval}, limit at most {limit:g} ms, n={len(latency.samples_ms)} rounds"
    detail += f" ({latency.note})" if latency.note else ""
    if latency.burst_ms is not None:
        change = float(np.median(latency.samples_ms)) / latency.burst_ms - 1
        detail += f", under sustained load ({change:+.1%} against the burst before, p50 {latency.burst_ms:.3g} ms)"
    if not latency.settled:
        detail += ", timings drifted during the run"
        outcome = Outcome.INCONCLUSIVE if outcome is Outcome.FAIL else outcome
    if latency.throttled:
        kept = outcome is Outcome.PASS and latency.burst_ms is not None
        detail += f", throttled meanwhile: {latency.throttled}" if kept else _throttled(latency)
        outcome = outcome if kept else Outcome.INCONCLUSIVE
    return row(outcome=outcome, detail=detail)


def _throttled(latency: Latency) -> str:
    return f", but the board was throttled, so this is not the model's time: {latency.throttled}"
