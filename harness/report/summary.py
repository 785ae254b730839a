"""What a person reads in the terminal: the plan before, the table and the verdicts after.

Plain ASCII throughout, so that it reads alike in a terminal, a CI log, and without colour.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from harness.plan import Decidable
from harness.report.conclusion import (
    Conclusion,
    change,
    conclude,
    failing,
    from_cache,
    interval,
    limit,
    passing,
    sources,
)
from harness.row import Before, Row
from harness.verdict import Outcome

COLOURS = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.UNSUPPORTED: "cyan",
    Outcome.INFRA: "bold magenta",
    Outcome.NOT_MEASURED: "cyan",
}
NARROWEST = 80
MOST_LINES = 40  # lines of what does not pass, for one build; the rest is counted and in the report
COLUMNS = ("value", "limit", "interval", "n", "evidence")
WIDTHS = (8, 15, 16, 6, 8)
GATE = 18  # columns of the gate's name
HOURLY = ("frr", "false accepts", "false activations", "success")  # figures that say little without their hours
VERDICT = 2 + max(len(outcome) for outcome in Outcome)


def summary(
    rows: Sequence[Row],
    cache: Mapping[str, tuple[int, int]],
    width: int,
    colour: bool,
    before: Before = MappingProxyType({}),
    causes: Mapping[tuple[str, str], str] = MappingProxyType({}),
    times: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> str:
    """The table of every build, a verdict in words for each, and what came from the cache.

    ``before`` are the figures of the last releases: where a build has one, its values read ``0.3 -> 1.2``.
    ``causes`` by candidate and build are told below its verdict, ``times`` below its table.
    Each gate shows its passing slice nearest to the limit and how many pass; whatever does not pass follows on
    lines of its own, each with its reason.
    """
    console = _console(width, colour)
    conclusions = conclude(rows)
    for conclusion in conclusions:
        _show(console, conclusion, before, times.get((conclusion.candidate, conclusion.build), ""))
    for conclusion in conclusions:
        line = Text.assemble((conclusion.word, COLOURS[conclusion.outcome]), f"  {conclusion.title}")
        line.append(f": {conclusion.reason}" if conclusion.reason else "")
        console.print(line)
        if cause := causes.get((conclusion.candidate, conclusion.build)):
            console.print(Padding(Text(cause), (0, 0, 0, 2)))
    told = from_cache(cache)
    if told:
        console.print(Text(told))
    return _text(console)


def plan_table(entries: Sequence[Decidable]) -> str:
    """Which budgets the corpus can decide at all: one line for builds that share them, and every one it cannot."""
    builds: dict[tuple[str, str, str], list[Decidable]] = defaultdict(list)
    for entry in entries:
        builds[entry.candidate, entry.recipe, entry.gate].append(entry)
    lines: dict[str, list[str]] = defaultdict(list)
    for (candidate, recipe, gate), own in builds.items():
        lines[f"{candidate} {gate}: {_decidable(own)}"].append(recipe)
    told = ["plan: the smallest drop or flip rate this corpus can rule out, were nothing to flip"]
    told += [f"  {line} [{', '.join(recipes)}]" for line, recipes in lines.items()]
    told += [f"    cannot decide {entry.text}" for entry in entries if not entry.ok]
    return "\n".join(told)


def _decidable(entries: Sequence[Decidable]) -> str:
    good = sum(entry.ok for entry in entries)
    tightest = max(entries, key=lambda entry: entry.smallest / entry.limit if entry.limit else float("inf"))
    return (
        f"{good} of {len(entries)} slices decidable; tightest {tightest.slice}: limit {tightest.limit:g}, rules out "
        f"{tightest.smallest:.2g} (n={tightest.n} renderings of {tightest.clips} clips, {tightest.clusters} speakers)"
    )


def _show(console: Console, conclusion: Conclusion, before: Before, times: str) -> None:
    console.print(Text(conclusion.title, style="bold"))
    figures = {id(row): change(row, before) for row in conclusion.rows}
    widths = (max(WIDTHS[0], *map(len, figures.values())), *WIDTHS[1:])
    _line(console, f"{'gate':<{GATE}}slice", COLUMNS, Text("verdict"), widths)
    console.print(Text("-" * console.width))
    for line in passing(conclusion.rows):
        part = f"{line.worst.slice} ({line.count})" if line.count else line.worst.slice
        _line(console, *_cells(line.worst, part, figures[id(line.worst)]), widths)
        if line.gate in HOURLY:
            console.print(Padding(Text(line.worst.detail), (0, 0, 0, GATE)))
    lacking = failing(conclusion.rows)
    for group in lacking[:MOST_LINES]:
        _line(console, *_cells(group.row, group.what, figures[id(group.row)]), widths)
        console.print(Padding(Text(group.row.detail), (0, 0, 0, GATE)))
    hidden = Counter(group.row.outcome.value for group in lacking[MOST_LINES:] for _ in group.rows)
    if hidden:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in hidden.items())
        console.print(Text(f"... and {counts} more; voxgate report lists every one"))
    if times:
        console.print(Text(times))
    told = sources(conclusion.rows)
    if told:
        console.print(Text(told, style="dim"))
    console.print()


def _cells(row: Row, part: str, figure: str) -> tuple[str, tuple[str, ...], Text]:
    figures = (figure, limit(row), interval(row), str(row.n) if row.n else "", row.evidence)
    return f"{row.gate:<{GATE}}{part}", figures, Text(row.outcome.value, style=COLOURS[row.outcome])


def _line(console: Console, what: str, figures: Sequence[str], verdict: Text, widths: Sequence[int]) -> None:
    """Gate and slice beside their figures, or above them where the line is too narrow."""
    columns = "  ".join(f"{cell:>{width}}" for cell, width in zip(figures, widths, strict=True))
    room = console.width - len(columns) - VERDICT
    if len(what) > room:
        console.print(Text(what))
        what = ""
    console.print(Text.assemble(f"{what:<{max(0, room)}}{columns}  ", verdict))


def _console(width: int, colour: bool) -> Console:
    console = Console(
        width=max(width, NARROWEST),
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        highlight=False,
    )
    console.begin_capture()
    return console


def _text(console: Console) -> str:
    return "\n".join(line.rstrip() for line in console.end_capture().splitlines()) + "\n"
