"""The energy gate: millijoules of one inference, idle subtracted, against a budget."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from harness.energy import Energy
from harness.gates.base import Build
from harness.interval import clustered_mean
from harness.row import Row
from harness.verdict import Limit, Outcome, decide

PART = "per inference, end to end"


def judge(build: Build, found: Energy, evidence: str) -> Row:
    """Mean energy over blocks, Student's t over them. ``evidence`` is of the board that worked.

    INCONCLUSIVE where work does not stand out of rest (a meter in another board's supply would pass anything), and
    where the board was throttled.
    """
    budgets = build.candidate.budgets(build.recipe)
    limit = float(budgets.energy_mj or 0)
    blocks = len(found.mj)
    estimate = clustered_mean(found.mj, np.arange(blocks), blocks, budgets.confidence, build.seed)
    row = partial(
        replace(build, evidence=evidence, source=found.source).row,
        "energy",
        PART,
        value=estimate.value,
        unit="mJ",
        limit=limit,
        low=estimate.low,
        high=estimate.high,
        n=blocks,
        clusters=None,
    )
    detail = (
        f"{PART} {estimate.value:.4g} mJ [{estimate.low:.4g}, {estimate.high:.4g}], limit at most {limit:g} mJ, "
        f"n={blocks} blocks of {found.inferences} inferences, {found.busy_w:.4g} W at work less "
        f"{found.idle_w.mean():.4g} W at rest, by {found.source}, {found.clock} clock"
    )
    if estimate.low <= 0:
        lost = "work does not stand out of rest: is the meter in this board's supply, and nothing else running?"
        return row(outcome=Outcome.INCONCLUSIVE, detail=f"{detail}; {lost}")
    outcome = decide(estimate, Limit(limit), estimate.harm(limit, False), budgets.confidence)
    if found.throttled:
        detail += f", but the board was throttled, so this is not the model's energy: {found.throttled}"
        outcome = Outcome.INCONCLUSIVE
    return row(outcome=outcome, detail=detail)
