"""The BCa bootstrap of a ratio of sums over clusters: bias-corrected and accelerated (Efron 1987).

Efron and Tibshirani, An Introduction to the Bootstrap (1993), 14.3. scipy.stats.bootstrap computes the same, drawing
from the same generator: it makes its jackknife of clusters by clusters numbers, and importing it takes over a second.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def bounds(
    sums: Values, counts: Values, confidence: float, resamples: int, seed: int, batch: int | None = None
) -> tuple[float, float]:
    """One-sided bounds of ``sum(sums) / sum(counts)``, each at ``confidence``; NaN where they are not defined.

    ``sums`` and ``counts`` are ``(clusters,)``; ``batch`` resamples are in memory at once, all where it is None.
    """
    from scipy.special import ndtr, ndtri  # here: not all that needs an interval needs these

    value = sums.sum() / counts.sum()
    drawn = _resampled(sums, counts, resamples, seed, batch or resamples)
    below = (np.count_nonzero(drawn < value) + np.count_nonzero(drawn <= value)) / (2 * len(drawn))
    bias, acceleration = float(ndtri(below)), _acceleration(sums, counts)
    alpha = (1 - (2 * confidence - 1)) / 2
    drawn.sort()
    found = []
    for normal in (float(ndtri(alpha)), -float(ndtri(alpha))):
        moved = bias + normal
        found.append(_quantile(drawn, float(ndtr(bias + moved / (1 - acceleration * moved)))))
    return found[0], found[1]


def _resampled(sums: Values, counts: Values, resamples: int, seed: int, batch: int) -> Values:
    chance, clusters = np.random.default_rng(seed), len(sums)
    found = []
    for first in range(0, resamples, batch):
        chosen = chance.integers(0, clusters, (min(batch, resamples - first), clusters))
        found.append(sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1))
    return np.concatenate(found)


def _acceleration(sums: Values, counts: Values) -> float:
    """From the ratio without each cluster in turn."""
    without = (sums.sum() - sums) / (counts.sum() - counts)
    clusters = float(len(without))
    influence = (clusters - 1) * (without.mean() - without)
    cubes, squares = (np.sum(influence**power) / clusters**power for power in (3, 2))
    return float(1 / 6 * cubes / squares ** (3 / 2)) if squares > 0 else math.nan


def _quantile(ordered: Values, share: float) -> float:
    """Linear between order statistics (Hyndman and Fan's type 7)."""
    if math.isnan(share):
        return math.nan
    place = share * len(ordered) + (1 - share)  # counted from 1
    low, last = int(place) - 1, len(ordered) - 1
    part = place % 1
    return float((1 - part) * ordered[min(low, last)] + part * ordered[min(low + 1, last)])
