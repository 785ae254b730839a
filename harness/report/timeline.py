"""``voxgate history``: what every figure of a candidate did over its runs, as a table and as a page of plots."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rich.table import Column, Table
from rich.text import Text

from harness.errors import VoxgateError, nearest
from harness.history import History, Point
from harness.report import markup
from harness.report.conclusion import limit
from harness.report.curves import Series, timeline
from harness.trend import drifting

FIGURES = ("build", "gate", "slice", "runs", "first", "least", "most", "last", "limit", "last verdict")
RUNS = ("run", "began", "exit", "builds", "FAIL", "INCONCLUSIVE")
STOPPED = "stopped"  # a run without an exit status was killed
MOST_RUNS = 20  # listed; the plots show all


Builds = dict[tuple[str, str], dict[str, Series]]  # (build, gate) -> slice -> series


def points(history: History, candidate: str, most: int) -> list[Point]:
    """The figures of a candidate's last runs. Raises VoxgateError where there are none."""
    found = history.points(candidate, most)
    if not found:
        known = history.candidates()
        raise VoxgateError(
            f"{history.path} knows no run of {candidate!r}{nearest(candidate, known)}; it has "
            f"{', '.join(known) or 'no run at all'}. Judge first, with: pytest -m host"
        )
    return found


def series(found: Sequence[Point]) -> tuple[list[str], Builds]:
    """When each run began, and every margin's figure over them."""
    runs = list(dict.fromkeys((point.run, point.began) for point in found))
    place = {run: i for i, (run, _) in enumerate(runs)}
    builds: Builds = {}
    for point in found:
        row = point.row
        if row.value is None or row.screened:
            continue
        own = builds.setdefault((row.build, row.gate), {}).setdefault(row.slice, Series())
        own.at.append(place[point.run])
        own.rows.append(row)
        own.artifacts.append(point.artifact)
    return [began for _, began in runs], builds


def runs_table(found: Sequence[Point]) -> Table:
    """One line a run, the last ones."""
    grid = _grid(RUNS)
    runs: dict[str, list[Point]] = {}
    for point in found:
        runs.setdefault(point.run, []).append(point)
    for run, own in list(runs.items())[-MOST_RUNS:]:
        outcomes = [point.row.outcome.value for point in own]
        builds = ", ".join(dict.fromkeys(point.row.build for point in own))
        status = STOPPED if own[0].exitstatus is None else str(own[0].exitstatus)
        counts = [str(outcomes.count(word) or "") for word in ("FAIL", "INCONCLUSIVE")]
        grid.add_row(*map(Text, (run, own[0].began[:16], status, builds, *counts)))
    return grid


def figures_table(builds: Builds) -> Table:
    """One line a figure: where it began, how far it went, where it is."""
    grid = _grid(FIGURES)
    for (build, gate), slices in sorted(builds.items()):
        for part, own in slices.items():
            values = [float(row.value or 0.0) for row in own.rows]
            told = [f"{value:.3g}" for value in (values[0], min(values), max(values), values[-1])]
            last = own.rows[-1]
            grid.add_row(*map(Text, (build, gate, part, str(len(values)), *told, limit(last), last.outcome.value)))
        grid.add_section()
    return grid


def findings(found: Sequence[Point]) -> list[str]:
    """What drifts, in words."""
    return [f"drift: {each.text}" for each in drifting(found)]


def page(candidate: str, found: Sequence[Point]) -> str:
    """One plot a build and gate, below what drifts."""
    dates, builds = series(found)
    told = "".join(f'<p class="verdict INCONCLUSIVE">{escape(line)}</p>' for line in findings(found))
    parts = [f"<h1>{escape(candidate)}: {len(dates)} runs</h1>{told or '<p>Nothing drifts toward its limit.</p>'}"]
    for (build, gate), slices in sorted(builds.items()):
        title = f"{candidate} on {build}: {gate}"
        parts.append(f"<p>{markup.image(timeline(slices, dates, title), title)}</p>")
    return markup.page(f"{candidate}: history", "".join(parts))


def _grid(names: Sequence[str]) -> Table:
    return Table(*(Column(name, overflow="fold") for name in names), box=None, pad_edge=False, header_style="bold")
