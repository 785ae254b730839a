"""From figures to a verdict: limits, confidence bounds, and many slices at once.

PASS when the confidence bound lies inside the limit; FAIL when it lies outside *and* Holm's
step-down over the slices of the gate agrees; INCONCLUSIVE otherwise, saying how many more clips
would decide. Requiring every margin to PASS needs no correction (intersection-union test: Berger
1982); showing harm somewhere among many slices does (Holm 1979).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.interval import Estimate


class Outcome(StrEnum):
    """What a gate says."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    UNSUPPORTED = "UNSUPPORTED"
    INFRA = "INFRA"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Limit:
    """A budget on one figure: at most ``value``, or at least when ``least``."""

    value: float
    least: bool = False

    def keeps(self, figure: float) -> bool:
        return figure >= self.value if self.least else figure <= self.value

    def bound(self, estimate: Estimate) -> float:
        """The end of the interval that must keep the limit for a PASS."""
        return estimate.low if self.least else estimate.high

    def best(self, estimate: Estimate) -> float:
        """The end that breaks the limit only when harm is shown."""
        return estimate.high if self.least else estimate.low


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjusted p-values, one family (Scand. J. Statist. 6, 1979)."""
    adjusted: dict[str, float] = {}
    running = 0.0
    ordered = sorted(p_values.items(), key=lambda pair: pair[1])
    for rank, (name, p) in enumerate(ordered):
        running = max(running, min(1.0, (len(ordered) - rank) * p))
        adjusted[name] = running
    return adjusted


def decide(estimate: Estimate, limit: Limit, harm_p: float, confidence: float) -> Outcome:
    """The verdict on one margin. ``harm_p`` is Holm-adjusted over its gate's slices."""
    if not math.isfinite(estimate.value):
        return Outcome.FAIL
    if limit.keeps(limit.bound(estimate)):
        return Outcome.PASS
    shown = harm_p <= 1 - confidence and not limit.keeps(limit.best(estimate))
    return Outcome.FAIL if shown else Outcome.INCONCLUSIVE


def screen(estimate: Estimate, limit: Limit, harm_p: float, confidence: float) -> Outcome:
    """The verdict on one cell: FAIL only on shown harm, never INCONCLUSIVE on its own."""
    outcome = decide(estimate, limit, harm_p, confidence)
    return Outcome.PASS if outcome is Outcome.INCONCLUSIVE else outcome


def clips_needed(estimate: Estimate, limit: Limit) -> int | None:
    """Source clips that would bring the bound inside the limit, were the figure to stay.

    The interval's half-width shrinks with the square root of the clips, or with the clips themselves where
    nothing flipped and the bound is the exact one. None where the figure
    itself breaks the limit: more clips would then show a FAIL, not a PASS; nor with one speaker,
    whose interval has no width to shrink.
    """
    room = abs(limit.value - estimate.value)
    if not limit.keeps(estimate.value) or room == 0:
        return None
    width = abs(limit.bound(estimate) - estimate.value)
    clips = estimate.clips * (width / room) ** (1 if estimate.method == "exact" else 2)
    return math.ceil(clips) if math.isfinite(clips) else None


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """The verdict of many: one FAIL fails, one INFRA is not a model's fault, silence is no PASS."""
    order = (
        Outcome.FAIL,  # shown harm stays shown, whatever the lab lost beside it
        Outcome.INFRA,
        Outcome.INCONCLUSIVE,
        Outcome.UNSUPPORTED,
        Outcome.NOT_MEASURED,
        Outcome.PASS,
    )
    present = set(outcomes)
    return next((outcome for outcome in order if outcome in present), Outcome.NOT_MEASURED)
