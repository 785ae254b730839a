"""What no other build betters in every figure, and the plot that shows it. PNG bytes, deterministic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report.plots import DPI, png
from harness.row import Row
from harness.sweep.point import Point

ENOUGH_DB = 80.0  # float against float has 130 and more, which would flatten all others
LABELS = {
    "drop": "points of accuracy lost on the worst slice",
    "sqnr": f"logit SQNR, dB (at most {ENOUGH_DB:.0f} shown)",
    "slowdown": "inference time over float's",
}
COLOURS = ("#1f6fb2", "#c05a00", "#2e8b57", "#8e44ad", "#7a5c00", "#b0305a")


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other is as good as in size, worst slice, SQNR and time, and better in one."""
    judged = [point for point in points if point.sizes is not None and point.drop is not None]
    return [point for point in judged if not any(_betters(other, point) for other in judged if other is not point)]


def plot(points: Sequence[Point], title: str) -> bytes:
    """Worst slice's drop and logit SQNR against file size, and time against float where it was measured.

    Colours are paths, hollow marks do not pass, bars are the intervals, numbers name the builds beside the panels.
    """
    shown = [point for point in points if point.sizes is not None and point.rows]
    panels = [name for name in LABELS if any(getattr(point, name) for point in shown)]
    figure = Figure(figsize=(4.6 * len(panels) + 4.4, 5.4), dpi=DPI, layout="constrained", facecolor="white")
    ways = list(dict.fromkeys(point.path for point in shown))
    best = [point for way in ways for point in front([each for each in shown if each.path == way])]
    for column, name in enumerate(panels, start=1):
        _panel(figure.add_subplot(1, len(panels), column), shown, ways, name, best)
    told = "bars: intervals; hollow: does not pass; bold: no other of its colour is better in every figure"
    figure.suptitle(f"{title} ({told})", fontsize=10)
    handles = [
        Line2D(
            [], [], marker="o", ls="", color=_colour(point, ways), mfc=_fill(point, ways), label=_named(number, point)
        )
        for number, point in enumerate(shown, start=1)
    ]
    figure.legend(handles=handles, loc="outside right upper", fontsize=7, frameon=False)
    return png(figure)


def _panel(axes: Axes, points: Sequence[Point], ways: list[str], name: str, best: Sequence[Point]) -> None:
    for number, point in enumerate(points, start=1):
        row: Row | None = getattr(point, name)
        if row is None or row.value is None or point.sizes is None or not math.isfinite(row.value):
            continue
        low, value, high = (
            min(each, ENOUGH_DB) if name == "sqnr" else each
            for each in (
                row.value if row.low is None else row.low,
                row.value,
                row.value if row.high is None else row.high,
            )
        )
        size = point.sizes.file / 1024
        style: dict[str, Any] = {
            "fmt": "o",
            "color": _colour(point, ways),
            "mfc": _fill(point, ways),
            "capsize": 2,
            "lw": 1,
        }
        axes.errorbar(size, value, yerr=[[max(0.0, value - low)], [max(0.0, high - value)]], **style)
        angle = 2.4 * number  # the golden angle parts the numbers of points that lie on one another
        place = (11 * math.cos(angle), 11 * math.sin(angle))
        weight = "bold" if any(point is each for each in best) else "normal"
        axes.annotate(
            str(number),
            (size, value),
            place,
            textcoords="offset points",
            fontsize=7,
            fontweight=weight,
            ha="center",
            va="center",
        )
    if name == "slowdown":
        axes.set_yscale("log")
    axes.set_xlabel("file, KiB")
    axes.set_ylabel(LABELS[name])
    axes.grid(alpha=0.2)


def _colour(point: Point, ways: list[str]) -> str:
    return COLOURS[ways.index(point.path) % len(COLOURS)]


def _fill(point: Point, ways: list[str]) -> str:
    return _colour(point, ways) if point.passes else "white"


def _named(number: int, point: Point) -> str:
    evidence = dict.fromkeys(row.evidence for row in (point.drop, point.sqnr) if row is not None)
    return f"{number}  {point.recipe.id}: {point.word} ({', '.join(evidence)})"


def _betters(one: Point, other: Point) -> bool:
    pairs = list(zip(_costs(one), _costs(other), strict=True))
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return all(a <= b for a, b in known) and any(a < b for a, b in known)


def _costs(point: Point) -> tuple[float | None, ...]:
    """What is the better the smaller: bytes, points, minus dB, time."""
    return (
        point.sizes.file if point.sizes else None,
        point.drop.value if point.drop else None,
        -point.sqnr.value if point.sqnr and point.sqnr.value is not None else None,
        point.slowdown.value if point.slowdown else None,
    )
