"""The comment for a pull request: what decides stands in it, and no name of others does anything there."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from report.rows import drops, row, run

from harness.report.markdown import MOST_TEXT, code, markdown
from harness.report.records import Records
from harness.row import Row
from harness.verdict import Outcome
from tests.baselines import baseline, release
from tests.score.tables import LABELS, make_clips, perfect

CLIPS = make_clips(("de", "sv"), 2, 3)


def records(rows: list[Row], before: list[Row] | None = None, drift: tuple[str, ...] = ()) -> Records:
    table = perfect(("de", "sv"), speakers=2, clips=3)
    old = {"commands/rk3588/w8a8": baseline(release(table, CLIPS, LABELS, [], rows=before))} if before else {}
    return Records(Path("20260101-000000-1"), tuple(rows), {}, (), {}, old, {}, drift)


def cells(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]


def test_verdicts_and_what_does_not_pass() -> None:
    text = markdown(records(run()))
    assert "**DO NOT SHIP** | `commands on rk3588/w8a8`" in text
    assert any(cell[1:3] == ["`accuracy`", "`accent=ja`"] and ":x: FAIL" in cell[-1] for cell in cells(text))
    bad = sum(each.outcome is not Outcome.PASS for each in run())
    assert f"### What does not pass ({bad})" in text


def test_every_line_of_a_table_has_its_columns() -> None:
    counts = [len(line) for line in cells(markdown(records(run())))]
    assert set(counts) <= {3, 4, 9}  # the first heading of the verdicts is empty


def test_a_passing_figure_that_came_nearer_to_its_limit_is_shown_with_what_it_was() -> None:
    now = [row("accuracy", "overall", 1.2), row("flips", "overall", 0.4), row("sqnr", "overall", 30.0, unit="dB")]
    was = [row("accuracy", "overall", 0.3), row("flips", "overall", 0.9), row("sqnr", "overall", 30.0, unit="dB")]
    text = markdown(records(now, was))
    assert "### Changed most since the last release (1)" in text
    assert "`0.3 -> 1.2`" in text
    assert "What does not pass" not in text


def test_drift_is_told() -> None:
    assert "- `drift: sqnr falls`" in markdown(records(run(), drift=("drift: sqnr falls",)))


def test_a_huge_run_fits_a_comment() -> None:
    rows = [each for i in range(40) for each in drops(seed=i)]
    text = markdown(records([row("accuracy", "x" * 5000, outcome=Outcome.FAIL, detail="y" * 5000), *rows]))
    assert len(text) <= MOST_TEXT + 1
    assert "more in the report" in text


@given(st.text(min_size=1))
def test_names_stay_inside_their_code_span(name: str) -> None:
    found = code(name)
    assert "\n" not in found
    assert "|" not in found
    assert found == "" or re.fullmatch(r"`[^`]+`", found)


def test_no_mention_link_or_markup_comes_of_a_name() -> None:
    hostile = "@all <img src=x> [a](http://b) #1 | `x` **y**"
    text = markdown(records([row("accuracy", hostile, outcome=Outcome.FAIL, detail=hostile)]))
    outside = re.sub(r"`[^`\n]*`", "", text)
    assert not re.search(r"@all|<img|http|#1|\*\*y", outside)
