"""What a person reads in the terminal: the plan before, the table and the verdicts after."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rich.box import ASCII, SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.plan import Decidable
from harness.row import Row
from harness.verdict import Outcome, worst

COLOURS = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.UNSUPPORTED: "cyan",
    Outcome.INFRA: "bold magenta",
    Outcome.NOT_MEASURED: "cyan",
}
NARROWEST = 100  # narrower, figures would break across lines
GOLDEN = "float/golden"  # the build that rows on the golden store are filed under
LEAST = ("sqnr", "floor")  # gates whose limit is the least allowed
UNITS = {"points": "pt"}
MOST_ROWS = 40  # rows that are not PASS, listed for one build; the rest are in the report


def summary(rows: Sequence[Row], cache: Mapping[str, tuple[int, int]], width: int, colour: bool) -> str:
    """The table of every build, a verdict in words for each, and what came from the cache."""
    console = _console(width, colour)
    builds: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        builds[row.candidate, row.build].append(row)
    for (candidate, build), own in sorted(builds.items()):
        console.print(_table(f"{candidate} on {build}", own))
    for (candidate, build), own in sorted(builds.items()):
        console.print(_sentence(candidate, build, own), highlight=False)
    asked = {kind: pair for kind, pair in cache.items() if pair[1]}
    if asked:
        told = ", ".join(f"{found} of {total} {kind}" for kind, (found, total) in sorted(asked.items()))
        console.print(f"from cache: {told}", highlight=False)
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


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        box=ASCII if not _unicode() else SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("gate", no_wrap=True)
    table.add_column("slice", overflow="fold", min_width=12)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("limit", justify="right", overflow="fold", min_width=6)
    table.add_column("interval", justify="right", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("evidence", no_wrap=True)
    table.add_column("verdict", overflow="fold", min_width=8)
    gates: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        gates[row.gate].append(row)
    listed = 0
    for gate, own in gates.items():
        passed = [row for row in own if row.outcome is Outcome.PASS]
        others = [row for row in own if row.outcome is not Outcome.PASS]
        for row in others[: max(0, MOST_ROWS - listed)]:
            _add(table, row, gate, row.slice)
        listed += len(others)
        if passed:
            closest = max(passed, key=_closeness)
            count = "" if len(own) == 1 else f" ({len(passed)}/{len(own)} pass)"
            _add(table, closest, gate, f"{closest.slice}{count}")
    if listed > MOST_ROWS:
        table.add_row("...", f"{listed - MOST_ROWS} more, see the report")
    return table


def _add(table: Table, row: Row, gate: str, part: str) -> None:
    colour = COLOURS[row.outcome]
    value = "" if row.value is None else f"{row.value:.3g}"
    limit = "" if row.limit is None else f"{_sign(row)} {row.limit:g} {UNITS.get(row.unit, row.unit)}"
    interval = "" if row.low is None or row.high is None else f"{row.low:.3g} .. {row.high:.3g}"
    figures = (value, limit, interval, str(row.n) if row.n else "")
    verdict = f"[{colour}]{row.outcome.value}[/{colour}]"
    table.add_row(gate, escape(part), *map(escape, figures), row.evidence, verdict)


def _sign(row: Row) -> str:
    return ">=" if row.gate in LEAST else "<="


def _closeness(row: Row) -> float:
    """How near a passing row came to its limit: the share of the limit its bound uses up."""
    if row.value is None or row.limit is None:
        return -1.0
    least = row.gate in LEAST
    bound = (row.low if least else row.high) if row.low is not None and row.high is not None else row.value
    if bound is None:
        return -1.0
    return row.limit / bound if least and bound else bound / row.limit if row.limit else 0.0


def _sentence(candidate: str, build: str, rows: Sequence[Row]) -> str:
    """Whether a build may ship, and the reason a release manager would ask for."""
    outcome = worst([row.outcome for row in rows if row.outcome not in (Outcome.NOT_MEASURED, Outcome.UNSUPPORTED)])
    lacks = [row for row in rows if row.outcome in (Outcome.NOT_MEASURED, Outcome.UNSUPPORTED)]
    reasons = [row for row in rows if row.outcome is outcome and outcome is not Outcome.PASS]
    words = {
        Outcome.PASS: _passed(build, bool(lacks)),
        Outcome.INCONCLUSIVE: "[yellow]UNDECIDED[/yellow]",
        Outcome.NOT_MEASURED: "[cyan]NOT JUDGED[/cyan]",
        Outcome.UNSUPPORTED: "[cyan]NOT JUDGED[/cyan]",
        Outcome.INFRA: "[bold magenta]NOT JUDGED[/bold magenta]",
    }.get(outcome, "[bold red]GOLDEN BROKEN[/bold red]" if build == GOLDEN else "[bold red]DO NOT SHIP[/bold red]")
    text = f"{words}  {escape(f'{candidate} on {build}')}"
    if reasons:
        first = max(reasons, key=_excess)
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        text += escape(f": {outcome.value}: {first.detail}{more}; {first.evidence}")
    elif outcome is Outcome.PASS:
        evidence = ", ".join(sorted({row.evidence for row in rows if row.evidence}))
        text += escape(f": {len(rows) - len(lacks)} figures keep their limits; evidence {evidence}")
    if lacks:
        text += escape(f". Not judged: {lacks[0].detail}{f' (and {len(lacks) - 1} more)' if len(lacks) > 1 else ''}")
    return text


def _passed(build: str, lacking: bool) -> str:
    if build == GOLDEN:
        return "[green]GOLDEN HOLDS[/green]"
    return "[cyan]PASSES HERE, BOARD FIGURES OPEN[/cyan]" if lacking else "[green]MAY SHIP[/green]"


def _excess(row: Row) -> float:
    if row.value is None or row.limit is None:
        return float("inf")
    return abs(row.value - row.limit) / (abs(row.limit) or 1.0)


def _console(width: int, colour: bool) -> Console:
    console = Console(
        width=max(width, NARROWEST),
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
    )
    console.begin_capture()
    return console


def _unicode() -> bool:
    return (sys.stdout.encoding or "").lower().startswith("utf")


def _text(console: Console) -> str:
    return "\n".join(line.rstrip() for line in console.end_capture().splitlines()) + "\n"
