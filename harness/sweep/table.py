"""The sweep as a person reads it: one line a build, the best of each path marked, what is absent below."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Column, Table
from rich.text import Text

from harness.report.conclusion import interval
from harness.row import Row, printable
from harness.sweep.pareto import front
from harness.sweep.point import Point
from harness.sweep.recommend import why
from harness.sweep.sweep import Sweep

COLUMNS = ("", "build", "verdict", "worst slice, points", "SQNR, dB", "KiB", "times float", "evidence", "n", "why")
CHOSEN, FRONT = ">", "*"


def table(sweep: Sweep) -> Table:
    """``>`` marks what is recommended, ``*`` what no other build of its path betters in every figure."""
    grid = Table(*(Column(name, overflow="fold") for name in COLUMNS), box=None, pad_edge=False, header_style="bold")
    chosen = [choice.point for choice in sweep.choices]
    for way in dict.fromkeys(point.path for point in sweep.points):
        own = sweep.of(way)
        best = front(own)
        for point in own:
            mark = CHOSEN if point in chosen else FRONT if point in best else ""
            grid.add_row(*(Text(cell) for cell in (mark, *_cells(point))))
        grid.add_section()
    return grid


def words(sweep: Sweep) -> Iterator[str]:
    """What is recommended and why, then what could not be tried."""
    for choice in sweep.choices:
        head, *rest = choice.reasons
        yield f"{'recommended: ' if choice.point else f'{choice.path}: '}{printable(head)}"
        yield from (f"  {printable(reason)}" for reason in rest)
    for each in sweep.absent:
        yield f"not tried: {printable(each.why)}"
    if sweep.refused:
        yield f"refused, with reasons in the JSON: {', '.join(each.recipe.id for each in sweep.refused)}"


def _cells(point: Point) -> tuple[str, ...]:
    drop, sqnr, slow = point.drop, point.sqnr, point.slowdown
    evidence = ", ".join(dict.fromkeys(row.evidence for row in (drop, sqnr, slow) if row is not None))
    return (
        point.recipe.id,
        point.word,
        f"{_figure(drop)} {drop.slice}" if drop else "",
        _figure(sqnr),
        f"{point.sizes.file / 1024:.1f}" if point.sizes else "",
        _figure(slow) or "not measured",
        evidence,
        str(drop.n) if drop else "",
        "" if point.passes else why(point),
    )


def _figure(row: Row | None) -> str:
    return f"{row.value:.2f} {interval(row)}" if row is not None and row.value is not None else ""
