"""What no other build betters in every figure, and the plot that shows it. PNG bytes, deterministic."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.plots import DPI, png
from harness.row import Row
from harness.sweep.point import Point

COLOURS = ("#1f6fb2", "#c05a00", "#2e8b57", "#8e44ad", "#7a5c00", "#b0305a")


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other is as good as in size, worst slice, SQNR and time, and better in one."""
    judged = [point for point in points if point.sizes is not None and point.drop is not None]
    return [point for point in judged if not any(_betters(other, point) for other in judged if other is not point)]


def plot(points: Sequence[Point], title: str) -> bytes:
    """Worst slice's drop and logit SQNR against file size, and time against float where it was measured.

    Colours are paths, hollow marks do not pass, bars are the intervals.
    """
    shown = [point for point in points if point.sizes is not None and point.rows]
    panels = [name for name in ("drop", "sqnr", "slowdown") if any(getattr(point, name) for point in shown)]
    figure = Figure(figsize=(5.2 * max(1, len(panels)), 5.0), dpi=DPI, layout="constrained", facecolor="white")
    ways = list(dict.fromkeys(point.path for point in shown))
    for column, name in enumerate(panels, start=1):
        _panel(figure.add_subplot(1, len(panels), column), shown, ways, name)
    if not panels:
        figure.text(0.5, 0.5, "nothing could be judged", ha="center")
    figure.suptitle(f"{title} (bars: confidence intervals; hollow: does not pass)", fontsize=10)
    return png(figure)


LABELS = {
    "drop": "points of accuracy lost on the worst slice",
    "sqnr": "logit SQNR, dB",
    "slowdown": "inference time over float's",
}


def _panel(axes: Axes, points: Sequence[Point], ways: list[str], name: str) -> None:
    used = set()
    for number, point in enumerate(points):
        row: Row | None = getattr(point, name)
        if row is None or row.value is None or point.sizes is None or not math.isfinite(row.value):
            continue
        colour = COLOURS[ways.index(point.path) % len(COLOURS)]
        low, high = (row.value if bound is None else bound for bound in (row.low, row.high))
        axes.errorbar(
            point.sizes.file / 1024,
            row.value,
            yerr=[[max(0.0, row.value - low)], [max(0.0, high - row.value)]],
            fmt="o",
            color=colour,
            mfc=colour if point.passes else "white",
            label=None if point.path in used else f"{point.path} ({row.evidence})",
            capsize=2,
            lw=1,
        )
        used.add(point.path)
        spread = 4 + 7 * (number % 3)  # names of near points apart
        axes.annotate(
            point.recipe.name, (point.sizes.file / 1024, row.value), (4, spread), textcoords="offset points", fontsize=6
        )
    axes.set_xlabel("file, KiB")
    axes.set_ylabel(LABELS[name])
    axes.grid(alpha=0.2)
    axes.legend(fontsize=7)


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
