"""Latency gates: percentiles with intervals against budgets in milliseconds."""

from __future__ import annotations

from harness.candidate import LatencyBudget
from harness.gates.base import Build
from harness.measure import Latency, percentile
from harness.row import Row
from harness.verdict import Outcome

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def judge(build: Build, latency: Latency, which: str, name: str) -> Row:
    """One percentile of ``latency_ms`` (inference alone) or ``end_to_end_ms``.

    PASS when its upper bound keeps the budget, FAIL when its lower bound breaks it, INCONCLUSIVE
    between, where rounds are too few for the percentile, or where timings never settled.
    """
    budgets = build.candidate.budgets(build.recipe)
    budget: LatencyBudget = getattr(budgets, which)
    limit = float(getattr(budget, name))
    found = percentile(latency.samples_ms, QUANTILES[name], budgets.confidence)
    part = f"{'end to end' if which == 'end_to_end_ms' else 'inference'} {name}"
    n = len(latency.samples_ms)
    if found.value is None or found.low is None or found.high is None:
        return build.row(
            "latency",
            part,
            value=None,
            unit="ms",
            limit=limit,
            low=None,
            high=None,
            n=n,
            clusters=None,
            outcome=Outcome.INCONCLUSIVE,
            detail=f"{found.reason}; time more with --rounds {found.needed}",
        )
    outcome = Outcome.PASS if found.high <= limit else Outcome.FAIL if found.low > limit else Outcome.INCONCLUSIVE
    text = f"{part} {found.value:.3g} ms [{found.low:.3g}, {found.high:.3g}], limit at most {limit:g} ms, n={n} rounds"
    if not latency.settled:
        text += ", timings drifted during the run"
        outcome = Outcome.INCONCLUSIVE if outcome is Outcome.FAIL else outcome
    return build.row(
        "latency",
        part,
        value=found.value,
        unit="ms",
        limit=limit,
        low=found.low,
        high=found.high,
        n=n,
        clusters=None,
        outcome=outcome,
        detail=text,
    )
