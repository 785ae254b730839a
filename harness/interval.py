"""Confidence intervals of means whose samples come in clusters.

Renderings of one clip, and clips of one speaker, are not independent: all intervals here resample
or linearize over speakers. Few speakers get Student's t over speakers, many the BCa bootstrap
(Efron 1987). No interval of a share is ever tighter than the exact one for "nothing flipped".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harness import bca

Values = npt.NDArray[np.float64]

MANY_SPEAKERS = 20  # below, the bootstrap over clusters is too narrow (Cameron, Gelbach, Miller 2008)
RESAMPLES = 2000
CROWD = 500  # speakers: of more, not all resamples are in memory at once
AT_ONCE = 1 << 20  # numbers
ROUNDING = 1e-12  # a standard error below is none


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with one-sided bounds, each at the confidence asked for."""

    value: float
    low: float
    high: float
    n: int  # renderings
    clips: int  # distinct source clips
    clusters: int  # speakers
    method: str  # "exact" | "t" | "bootstrap" | "none"
    error: float  # standard error over speakers

    def harm(self, limit: float, least: bool) -> float:
        """One-sided p-value of "the limit is broken": t over speakers, valid with few of them."""
        from scipy.special import stdtr  # here and below: all of scipy.stats costs each start of pytest a second

        beyond = limit - self.value if least else self.value - limit
        if self.clusters < 2 or not math.isfinite(self.value):
            return 0.0 if not math.isfinite(self.value) else 1.0
        if self.error == 0:
            return 0.0 if beyond > 0 else 1.0
        return float(stdtr(self.clusters - 1, -beyond / self.error))


def nothing_flipped(clips: int, confidence: float) -> float:
    """Largest share that ``clips`` independent clips without one event still allow.

    The exact (Clopper-Pearson) upper bound at zero events: 1 - (1 - confidence) ** (1 / clips).
    """
    return 1 - (1 - confidence) ** (1 / clips) if clips else 1.0


def share(
    values: Values,
    speakers: npt.NDArray[np.intp],
    clips: int,
    confidence: float,
    seed: int,
    span: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    """Mean of per-rendering values (flips, drops, hits), clustered by speaker.

    ``values`` and ``speakers`` are ``(n,)``; ``clips`` counts distinct source clips; ``span`` is
    the range a value may take: (0, 1) for rates, (-1, 1) for differences of hits.
    """
    estimate = clustered_mean(values, speakers, clips, confidence, seed)
    if not len(values) or estimate.clusters < 2:
        return estimate
    least, most = span
    exact = estimate.error < ROUNDING  # speakers agree: that they differ by nothing is chance, not knowledge
    slack = nothing_flipped(clips, confidence)
    low = estimate.value - slack if exact else min(estimate.low, most - slack)
    high = estimate.value + slack if exact else max(estimate.high, slack)
    return replace(
        estimate,
        low=max(least, low),
        high=min(most, high),
        method="exact" if exact else estimate.method,
    )


def clustered_mean(
    values: Values, speakers: npt.NDArray[np.intp], clips: int, confidence: float, seed: int
) -> Estimate:
    """Ratio-of-sums mean with bounds over speakers; NaN bounds never pass a limit."""
    _, index = np.unique(speakers, return_inverse=True)
    clusters = int(index.max()) + 1 if len(values) else 0
    if clusters < 2:
        value = float(values.mean()) if len(values) else math.nan
        return Estimate(value, -math.inf, math.inf, len(values), clips, clusters, "none", math.inf)
    sums = np.bincount(index, weights=values, minlength=clusters).astype(np.float64)
    counts = np.bincount(index, minlength=clusters).astype(np.float64)
    value = float(sums.sum() / counts.sum())
    residuals = sums - value * counts
    error = float(math.sqrt(clusters / (clusters - 1) * np.square(residuals).sum()) / counts.sum())
    from scipy.special import stdtrit

    half = float(stdtrit(clusters - 1, confidence)) * error
    low, high, method = value - half, value + half, "t"
    if clusters >= MANY_SPEAKERS and error > 0:
        batch = max(1, AT_ONCE // clusters) if clusters > CROWD else None
        resampled = bca.bounds(sums, counts, confidence, RESAMPLES, seed, batch)
        if all(map(math.isfinite, resampled)):  # BCa is undefined when one speaker holds every flip
            (low, high), method = resampled, "bootstrap"
    return Estimate(value, low, high, len(values), clips, clusters, method, error)


def poisson(events: int, exposure: float, confidence: float) -> tuple[float, float]:
    """Exact one-sided bounds of a rate: ``events`` seen over ``exposure`` hours (or anything else).

    Garwood, Biometrika 28 (1936): half the chi-square quantiles of 2k and 2k + 2 degrees of freedom. No event
    in three hours still allows one an hour.
    """
    if exposure <= 0:
        return 0.0, math.inf
    from scipy.special import gammaincinv  # at 2k degrees of freedom, half a chi-square is gamma of shape k

    low = float(gammaincinv(events, 1 - confidence)) if events else 0.0
    return low / exposure, float(gammaincinv(events + 1, confidence)) / exposure


def no_tighter(estimate: Estimate, confidence: float) -> Estimate:
    """A share whose bounds over speakers are at least as wide as the exact ones of as many independent clips.

    Events that chance spread evenly over speakers would else seem known to a hair. Exact bounds: Clopper and
    Pearson, Biometrika 26 (1934).
    """
    clips, value = estimate.clips, estimate.value
    if not clips or not math.isfinite(value):
        return estimate
    from scipy.special import betaincinv

    events = value * clips
    low = float(betaincinv(events, clips - events + 1, 1 - confidence)) if events > 0 else 0.0
    high = float(betaincinv(events + 1, clips - events, confidence)) if events < clips else 1.0
    error = max(estimate.error, math.sqrt(value * (1 - value) / clips))
    return replace(estimate, low=min(estimate.low, low), high=max(estimate.high, high), error=error)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """``a`` less ``b``, each estimated by itself, with bounds recovered from theirs.

    MOVER (Zou and Donner, Statistics in Medicine 27, 2008). Speakers that both share make it too wide, never too
    narrow: they hear alike.
    """
    value = a.value - b.value
    return Estimate(
        value,
        value - math.hypot(a.value - a.low, b.high - b.value),
        value + math.hypot(a.high - a.value, b.value - b.low),
        a.n,
        a.clips,
        min(a.clusters, b.clusters),
        "difference",
        math.hypot(a.error, b.error),
    )
