"""The scorecard for a pull request: Markdown, short enough for a comment, in which no name can do anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report.conclusion import change, conclude, interval, limit, used
from harness.report.records import Records
from harness.row import Before, Row, printable
from harness.verdict import Outcome

MOST_ROWS = 30  # of a table; the rest is counted
MOST_TEXT = 60_000  # a comment on GitHub holds 65,536 characters
LONGEST = 300  # of one cell
MARKS = {Outcome.PASS: ":white_check_mark:", Outcome.FAIL: ":x:"}
ELSE = ":grey_question:"
FIGURES = ("build", "gate", "slice", "value", "limit", "interval", "n", "evidence", "verdict")


def markdown(records: Records) -> str:
    """Verdicts, what does not pass, what changed for the worse since the last release, and what drifts."""
    rows, before = records.rows, records.before
    conclusions = conclude(rows)
    parts = [
        f"## voxgate: run {code(records.folder.name)}",
        _table(
            ("", "verdict", "build", "why"),
            (
                (MARKS.get(each.outcome, ELSE), f"**{each.word}**", code(each.title), code(each.reason))
                for each in conclusions
            ),
        ),
        _figures("What does not pass", [row for row in rows if row.outcome is not Outcome.PASS], before),
        _figures("Changed most since the last release", _changed(rows, before), before),
    ]
    if records.drift:
        parts.append("### Drift\n\n" + "\n".join(f"- {code(line)}" for line in records.drift[:MOST_ROWS]))
    held = records.facts.get("quarantine", ())
    if held:
        parts.append("### Quarantine\n\n" + "\n".join(f"- {code(str(line))}" for line in held[:MOST_ROWS]))
    text = "\n\n".join(part for part in parts if part)
    return f"{text[:MOST_TEXT]}\n"


def code(text: str) -> str:
    """Text of others as a code span: no markup, mention, reference, line or table cell comes of it."""
    plain = printable(text)[:LONGEST].replace("`", "'").replace("|", "¦").strip()
    return f"`{plain}`" if plain else ""


def _figures(title: str, rows: Sequence[Row], before: Before) -> str:
    if not rows:
        return ""
    lines = (
        (
            code(f"{row.candidate} {row.build}"),
            code(row.gate),
            code(row.slice),
            code(change(row, before)),
            code(limit(row)),
            code(interval(row)),
            str(row.n or ""),
            code(row.evidence),
            f"{MARKS.get(row.outcome, ELSE)} {row.outcome.value}",
        )
        for row in rows[:MOST_ROWS]
    )
    more = f"\n\n... and {len(rows) - MOST_ROWS} more in the report." if len(rows) > MOST_ROWS else ""
    return f"### {title} ({len(rows)})\n\n{_table(FIGURES, lines)}{more}"


def _changed(rows: Sequence[Row], before: Before) -> list[Row]:
    """Passing margins that use up more of their limits than when released, the nearest to it first."""
    worse = []
    for row in rows:
        was = before.get(row.key)
        if was is not None and row.outcome is Outcome.PASS and not row.screened and used(row) > used(was):
            worse.append(row)
    return sorted(worse, key=used, reverse=True)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)]
    return "\n".join(rows)
