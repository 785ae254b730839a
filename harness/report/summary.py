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
NARROWEST = 80
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


def plan_table(entries: Sequence[Decidable], width: int = 110, colour: bool = False) -> str:
    """Which budgets the corpus can decide at all, one line a build, and every one it cannot."""
    console = _console(width, colour)
    builds: dict[tuple[str, str, str], list[Decidable]] = defaultdict(list)
    for entry in entries:
        builds[entry.candidate, entry.recipe, entry.gate].append(entry)
    console.print("plan: what this corpus can decide (smallest drop that can be ruled out, were nothing to flip)")
    for (candidate, recipe, gate), own in builds.items():
        good = [entry for entry in own if entry.ok]
        tightest = max(own, key=lambda entry: entry.smallest / entry.limit if entry.limit else float("inf"))
        console.print(
            f"  {candidate} {recipe} {gate}: {len(good)} of {len(own)} slices decidable; tightest {tightest.slice}: "
            f"limit {tightest.limit:g}, rules out {tightest.smallest:.2g} (n={tightest.n} renderings of "
            f"{tightest.clips} clips, {tightest.clusters} speakers)",
            highlight=False,
        )
        for entry in own:
            if not entry.ok:
                console.print(f"    cannot decide {entry.text}", highlight=False)
    return _text(console)


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left", box=ASCII if not _unicode() else SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("gate", no_wrap=True)
    table.add_column("slice", overflow="fold", min_width=10)
    for name in ("value", "limit", "interval", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("evidence", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
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
            more = (
                f"{closest.slice}"
                if len(own) == 1
                else f"{closest.slice} (closest of {len(passed)}/{len(own)} that pass)"
            )
            _add(table, closest, gate, more)
    if listed > MOST_ROWS:
        table.add_row("...", f"{listed - MOST_ROWS} more, see the report")
    return table


def _add(table: Table, row: Row, gate: str, part: str) -> None:
    colour = COLOURS[row.outcome]
    interval = "" if row.low is None or row.high is None else f"[{row.low:.3g}, {row.high:.3g}]"
    figures = (_figure(row.value, row.unit), _figure(row.limit, ""), interval, str(row.n) if row.n else "")
    table.add_row(gate, escape(part), *map(escape, figures), row.evidence, f"[{colour}]{row.outcome.value}[/{colour}]")


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.4g} {unit}".strip()


def _closeness(row: Row) -> float:
    """How near a passing row came to its limit: the share of the limit its bound uses up."""
    if row.value is None or row.limit is None:
        return -1.0
    least = row.gate in ("sqnr", "floor")
    bound = (row.low if least else row.high) if row.low is not None and row.high is not None else row.value
    if bound is None:
        return -1.0
    return row.limit / bound if least and bound else bound / row.limit if row.limit else 0.0


def _sentence(candidate: str, build: str, rows: Sequence[Row]) -> str:
    outcome = worst([row.outcome for row in rows if row.outcome not in (Outcome.NOT_MEASURED, Outcome.UNSUPPORTED)])
    lacks = [row for row in rows if row.outcome in (Outcome.NOT_MEASURED, Outcome.UNSUPPORTED)]
    reasons = [row for row in rows if row.outcome is outcome and outcome is not Outcome.PASS]
    words = {
        Outcome.PASS: "[green]MAY SHIP[/green]",
        Outcome.INCONCLUSIVE: "[yellow]UNDECIDED[/yellow]",
        Outcome.NOT_MEASURED: "[cyan]NOT JUDGED[/cyan]",
        Outcome.INFRA: "[bold magenta]NOT JUDGED[/bold magenta]",
    }.get(outcome, "[bold red]DO NOT SHIP[/bold red]")
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
