from __future__ import annotations

from dataclasses import replace

import pytest
from report.rows import drops, row, run

from harness.plan import Decidable
from harness.report.summary import MOST_LINES, plan_table, summary
from harness.row import keyed
from harness.verdict import Outcome

CACHE = {"artifacts": (2, 3), "renditions": (7, 7)}


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    text = summary(run(), CACHE, width, colour=False)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_value_stands_beside_what_was_released_within_the_line(width: int) -> None:
    released = keyed([replace(each, value=each.value / 3) for each in run() if each.value])
    text = summary(run(), CACHE, width, colour=False, before=released)
    assert max(map(len, text.splitlines())) <= width
    assert "2.07 -> 6.2" in text
    assert "10.2 -> 30.7" in text


def test_a_change_has_no_change_of_its_own() -> None:
    assert keyed([row("regression", "overall", 0.4), row("drift", "overall", 0.4)]) == {}


def test_plain_ascii_and_no_escapes_without_colour() -> None:
    text = summary(run(), CACHE, 80, colour=False)
    assert text.isascii()
    assert "\x1b" not in text


def test_colour_adds_nothing_but_colour() -> None:
    assert "\x1b[" in summary(run(), CACHE, 120, colour=True)


@pytest.mark.parametrize("width", [80, 160])
def test_nothing_that_does_not_pass_is_hidden(width: int) -> None:
    text = words(summary(run(), CACHE, width, colour=False))
    for each in run():
        if each.outcome is not Outcome.PASS:
            assert each.slice in text
            assert words(each.detail) in text


def test_a_failing_cell_shows_though_its_margins_pass() -> None:
    cell = "accent=ja,condition=noise-10db"
    rows = [each for each in drops() if each.screened or each.outcome is Outcome.PASS]
    text = summary(rows, {}, 80, colour=False)
    assert cell in text
    assert "DO NOT SHIP" in text


def test_passing_slices_are_one_line_a_gate() -> None:
    rows = [row("accuracy", f"accent={name}", limit=3.0) for name in ("de", "fr", "ja")]
    text = summary(rows, {}, 160, colour=False)
    assert text.count("PASS") == 1
    assert "(3 of 3 pass)" in text


def test_a_figure_stands_with_its_limit_interval_n_and_evidence() -> None:
    text = summary([row("sqnr", "overall", 30.7, unit="dB", limit=20.0)], {}, 160, colour=False)
    for cell in ("30.7", ">= 20 dB", "[30.2, 31.2]", "910", "emulator", "PASS"):
        assert cell in text


def test_a_broken_model_does_not_flood_the_terminal_but_is_counted() -> None:
    broken = [replace(each, outcome=Outcome.FAIL) for each in drops()]
    text = summary(broken, {}, 120, colour=False)
    assert f"... and {len(broken) - MOST_LINES} FAIL more; voxgate report lists every one" in text


def test_markup_in_a_slice_is_text() -> None:
    assert "[red]x[/red]" in summary([row("accuracy", "[red]x[/red]")], {}, 120, colour=False)


def test_last_lines_are_the_verdicts_and_the_cache() -> None:
    *_, w8a8, cache = summary(run(), CACHE, 2000, colour=False).splitlines()
    assert w8a8.startswith("DO NOT SHIP  commands on rk3588/w8a8: FAIL: ")
    assert cache == "from cache: 2 of 3 artifacts, 7 of 7 renditions"


def test_plan_names_what_cannot_be_decided() -> None:
    good = Decidable("commands", "rk3588/w8a8", "drop", "overall", 1.0, 18200, 2600, 200, 0.1, True)
    few = Decidable("commands", "rk3588/w8a8", "drop", "accent=ja", 3.0, 140, 20, 1, 14.0, False)
    text = plan_table([good, few])
    assert "1 of 2 slices decidable" in text
    assert "cannot decide commands rk3588/w8a8 drop accent=ja: limit 3 but 20 clips of 1 speakers" in text


def test_recordings_and_synthetic_speech_have_a_line_each_with_their_hours() -> None:
    told = {
        "recordings": "at 2.1 false accepts an hour in 1.92 h",
        "synthetic": "at 1.4 false accepts an hour in 2.86 h",
    }
    rows = [replace(row("frr", f"{kind} overall", 6.0), detail=detail) for kind, detail in told.items()]
    text = summary(rows, CACHE, 100, colour=False)
    for kind, detail in told.items():
        assert f"{kind} overall" in text
        assert detail in text
    assert "of 2 pass" not in text
