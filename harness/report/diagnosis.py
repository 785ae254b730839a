"""A diagnosis as a person reads it: causes first, with effect and fix, then what they rest on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table

from harness.report import markup
from harness.row import printable

if TYPE_CHECKING:  # a run in which nothing fails does not import what would look for causes
    from harness.diagnose import Cause, Diagnosis, Trial
    from harness.quantize.coverage import Coverage

RECORD = "diagnosis.json"
CAUSES = ("cause", "effect", "explains", "n", "fix to try")
STAGES = ("stage", "evidence", "SQNR dB", "right %", "n")
TRIALS = ("experiment", "about", "effect", "noise gone", "n", "")
COVERAGE = ("", "calibration", "test")
MOST_ABSENT = 6


def tables(told: Diagnosis) -> list[Table]:
    """For the terminal: causes, stages and experiments, those there are any of."""
    parts = (("causes, likeliest first", CAUSES, map(_cause, told.causes)),
             ("stages, each against the float model", STAGES, _stages(told)),
             ("experiments, each against the build as it is", TRIALS, map(_trial, told.trials)))  # fmt: skip
    return [table for title, head, lines in parts if (table := _table(title, head, list(lines))).row_count]


def rest(told: Diagnosis) -> list[str]:
    """What is said below the tables: the verdict, the evidence of the first cause, what was left out."""
    lines = [told.line, *(f"  {each}" for cause in told.causes[:1] for each in cause.evidence)]
    lines += [f"left out: {each}" for each in told.left_out]
    return [printable(line) for line in (*lines, f"{told.seconds:.0f} s, {told.candidate} on {told.recipe}")]


def lines(folder: Path) -> dict[tuple[str, str], str]:
    """What the diagnoses of a run say in one line, by candidate and build, from its records."""
    found = {}
    for path in sorted(folder.glob(f"*/*/*/{RECORD}")):
        told = json.loads(path.read_text(encoding="utf-8"))
        found[str(told["candidate"]), str(told["recipe"])] = printable(str(told["line"]))
    return found


def html(told: Diagnosis) -> str:
    """The page that is attached to the failing gate."""
    name = f"diagnosis of {told.candidate} on {told.recipe}"
    body = f"<h1>{escape(name)}</h1><p>{escape(told.line)}</p>"
    for title, head, lines in (
        ("Causes, likeliest first", CAUSES, list(map(_cause, told.causes))),
        ("Stages, each against the float model", STAGES, list(_stages(told))),
        ("Experiments, each against the build as it is", TRIALS, list(map(_trial, told.trials))),
    ):
        body += f"<h2>{escape(title)}</h2>{markup.table(head, lines)}" if lines else ""
    for cause in told.causes:
        body += f"<h3>{escape(cause.title)}</h3>{_list(cause.evidence)}" if cause.evidence else ""
    return markup.page(name, body + (f"<h2>Left out</h2>{_list(told.left_out)}" if told.left_out else ""))


def coverage_table(found: Coverage) -> Table:
    """What a calibration holds beside what the test holds: names that it lacks, levels in words."""
    lines: list[Sequence[str]] = []
    for what in ("accents", "labels", "conditions"):
        counts: Mapping[str, tuple[int, int]] = getattr(found, what)
        lines.append((what, _named(counts, 0), _named(counts, 1)))
    for word, (ours, theirs) in found.levels.items():
        lines.append((f"{word} clips", _share(ours, found.levels, 0), _share(theirs, found.levels, 1)))
    lines.append(("median level", *(f"{level:.0f} dBFS" for level in found.median_db)))
    lines.append(("feature range", *(f"[{low:.2f}, {high:.2f}]" for low, high in (found.range, found.test_range))))
    lowest = min(range(len(found.overlap)), key=found.overlap.__getitem__)
    mean = sum(found.overlap) / len(found.overlap)
    said = f"{mean:.0%} of the test's on average, bin {lowest} {found.overlap[lowest]:.0%}"
    lines += [("range of each bin", said, ""), ("outside the range", "", f"{100 * found.outside:.2g} % of values")]
    return _table("", COVERAGE, lines)


def absent(found: Coverage) -> list[str]:
    """What the test holds and the calibration does not, one line a kind."""
    told = []
    for what in ("accents", "labels", "conditions"):
        counts: Mapping[str, tuple[int, int]] = getattr(found, what)
        lacking = [name for name, (ours, theirs) in counts.items() if theirs and not ours]
        if lacking:
            rest_of = f" and {len(lacking) - MOST_ABSENT} more" if len(lacking) > MOST_ABSENT else ""
            told.append(f"{what} in the test only: {', '.join(lacking[:MOST_ABSENT])}{rest_of}")
    return told


def _cause(cause: Cause) -> tuple[str, ...]:
    return (cause.title, cause.effect.text, f"{cause.explained:.0%}", str(cause.effect.n), cause.fix)


def _stages(told: Diagnosis) -> Iterable[tuple[str, ...]]:
    for each in told.stages:
        yield each.name, each.evidence, f"{each.sqnr:.1f}", f"{each.accuracy:.1f}", str(each.n)


def _trial(trial: Trial) -> tuple[str, ...]:
    effect = trial.effect
    if effect is None:
        return (trial.name, trial.kind, "", "", "", trial.note)
    return (trial.name, trial.kind, effect.text, f"{round(effect.removed, 2) + 0.0:.0%}", str(effect.n), trial.note)


def _table(title: str, head: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    grid = Table(
        *(Column(name, overflow="fold") for name in head),
        title=title or None,
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for line in lines:
        grid.add_row(*(_plain(cell) for cell in line))
    return grid


def _plain(cell: str) -> str:
    """A cell that rich reads as text: names may hold what it takes for markup."""
    from rich.markup import escape as literally

    return literally(printable(cell))


def _list(lines: Sequence[Any]) -> str:
    return f"<ul>{''.join(f'<li>{escape(str(line))}</li>' for line in lines)}</ul>"


def _named(counts: Mapping[str, tuple[int, int]], which: int) -> str:
    own = [pair[which] for pair in counts.values() if pair[which]]
    spread = f", {min(own)} to {max(own)} each" if own else ""
    return f"{len(own)} of {len(counts)}{spread}"


def _share(count: int, levels: Mapping[str, tuple[int, int]], which: int) -> str:
    total = sum(pair[which] for pair in levels.values())
    return f"{count} ({count / max(total, 1):.0%})"
