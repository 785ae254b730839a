"""Slow drift: figures that move toward their limits over many runs, each step too small to fail.

A one-sided Mann-Kendall test (Mann 1945; Kendall 1975: no assumption but order) of every figure over its last runs,
Holm-corrected over all of them, told only where the figure has used up a tenth of its limit on the way
(Theil-Sen slope). A finding, not a verdict: limits and the ``drift`` gate decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.history import Point
from harness.row import AT_LEAST, Row
from harness.verdict import holm

WINDOW = 60  # runs looked back on
FEWEST = 9  # figures that differ from the one before; fewer cannot be SURE among hundreds of figures
SURE = 0.001  # family-wise, of telling any drift where there is none; small, since every night asks anew
TOLD = 0.1  # of its limit that a figure must have moved


@dataclass(frozen=True, slots=True)
class Drift:
    """A figure on its way to its limit, from ``first`` to ``last`` over ``runs`` runs."""

    candidate: str
    build: str
    gate: str
    slice: str
    unit: str
    first: float
    last: float
    limit: float
    runs: int
    p: float  # Holm-adjusted

    @property
    def text(self) -> str:
        word = "falls" if self.last < self.first else "rises"
        moved = f"{self.first:.3g} -> {self.last:.3g} over {self.runs} runs"
        return (
            f"{self.gate} {self.slice} of {self.candidate} on {self.build} {word} toward its limit of {self.limit:g} "
            f"{self.unit}: {moved} (Mann-Kendall, Holm p={self.p:.1g})"
        )


def drifting(points: Sequence[Point]) -> list[Drift]:
    """Every figure of the points (oldest first, of one candidate) that drifts, surest first."""
    series: dict[str, list[Row]] = {}
    for point in points:
        row = point.row
        if row.value is not None and row.limit is not None and not row.screened:
            series.setdefault("\n".join((row.build, row.gate, row.slice, row.unit, row.evidence)), []).append(row)
    tested = {name: rows[-WINDOW:] for name, rows in series.items() if _steps(rows[-WINDOW:]) >= FEWEST}
    p = holm({name: _p(rows) for name, rows in tested.items()})
    found = [_drift(rows, p[name]) for name, rows in tested.items() if p[name] <= SURE]
    return sorted((each for each in found if each is not None), key=lambda each: each.p)


def _figures(rows: Sequence[Row]) -> list[float]:
    """Values that differ from the one before: running one artifact twice is no second step."""
    values = [float(row.value or 0.0) for row in rows]
    return [value for i, value in enumerate(values) if i == 0 or value != values[i - 1]]


def _steps(rows: Sequence[Row]) -> int:
    return len(_figures(rows))


def _p(rows: Sequence[Row]) -> float:
    from scipy import stats  # here and below: a second of each start of pytest

    figures = np.array(_figures(rows))
    toward: Literal["less", "greater"] = "less" if rows[-1].gate in AT_LEAST else "greater"
    return float(stats.kendalltau(np.arange(len(figures)), figures, alternative=toward).pvalue)


def _drift(rows: Sequence[Row], p: float) -> Drift | None:
    from scipy import stats

    row, figures = rows[-1], _figures(rows)
    moved = abs(float(stats.theilslopes(figures).slope)) * (len(figures) - 1)
    limit = float(row.limit or 0.0)
    if moved < TOLD * abs(limit) or not np.isfinite(moved):
        return None
    ends = figures[0], figures[-1]
    return Drift(row.candidate, row.build, row.gate, row.slice, row.unit, *ends, limit, len(rows), p)
