"""Margins, cells and floors fail where harm was done, and name the slice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.budgets import Floor
from harness.gates.accuracy import floors, judge, sane
from harness.score.keyword import Comparison
from harness.score.slices import Slice, cells, margins
from harness.verdict import Outcome
from tests.gates.conftest import MakeBuild
from tests.score.tables import CONDITIONS, perfect, wrong_where

ACCENTS = {"de": "foreign", "pl": "foreign", "sv": "foreign"}
MARGINS = margins(ACCENTS, ("sv",), CONDITIONS)
CELLS = cells(ACCENTS, CONDITIONS)
OVERALL = MARGINS[0]
SV = next(part for part in MARGINS if part.id == "accent=sv")


@pytest.fixture
def healthy() -> Comparison:
    """720 renderings of 360 clips, 24 speakers, 3 accents."""
    return perfect(tuple(ACCENTS), speakers=8, clips=15)


def some(table: Comparison, accent: str, share: float, condition: str | None = None) -> Comparison:
    """The table with this share of an accent's clips decided wrong, spread over its speakers."""
    own = table.accent == accent
    if condition:
        own &= table.condition == condition
    return wrong_where(table, own & (table.clip % 15 < round(15 * share)))


def test_equal_outputs_pass_every_margin(build: MakeBuild, healthy: Comparison) -> None:
    own = build("drop = { overall = 1, group = 4, accent = 4, condition = 1 }\nflips.overall = 1\nsqnr.overall = 60")
    for metric in ("drop", "flips", "sqnr"):
        rows = judge(own, healthy, metric, MARGINS)
        assert {row.outcome for row in rows.values()} == {Outcome.PASS}
    assert set(judge(own, healthy, "drop", MARGINS)) == {part.id for part in MARGINS}


def test_slices_without_a_limit_are_not_judged(build: MakeBuild, healthy: Comparison) -> None:
    own = build('drop = { slices = { "accent=pl" = 5 } }')
    rows = judge(own, healthy, "drop", MARGINS)
    assert list(rows) == ["accent=pl"]
    assert rows["accent=pl"].limit == 5
    assert judge(own, healthy, "flips", MARGINS) == {}


def test_harm_to_one_accent_fails_that_margin_and_no_other(build: MakeBuild, healthy: Comparison) -> None:
    own = build("drop = { overall = 20, accent = 4, condition = 20 }")
    rows = judge(own, some(healthy, "sv", 0.4), "drop", MARGINS)
    assert [name for name, row in rows.items() if row.outcome is Outcome.FAIL] == ["accent=sv"]
    row = rows["accent=sv"]
    assert "accent=sv" in row.detail
    assert "240 renderings of 120 clips, 8 speakers" in row.detail
    assert "Holm p=" in row.detail
    assert row.value == pytest.approx(40)
    assert row.low is not None
    assert row.low > 4
    assert (row.gate, row.unit, row.screened, row.evidence) == ("accuracy", "points", False, "emulator")


def test_harm_in_one_cell_fails_that_cell(build: MakeBuild, healthy: Comparison) -> None:
    own = build("drop.cell = 10")
    rows = judge(own, some(healthy, "pl", 0.6, "noise-10db"), "drop", CELLS)
    assert [name for name, row in rows.items() if row.outcome is Outcome.FAIL] == ["accent=pl,condition=noise-10db"]
    assert all(row.screened for row in rows.values())


def test_cells_too_small_to_tell_are_no_verdict_of_their_own(build: MakeBuild) -> None:
    own = build("drop = { accent = 1, cell = 1 }")
    few = perfect(tuple(ACCENTS), speakers=3, clips=3)
    assert {row.outcome for row in judge(own, few, "drop", CELLS).values()} == {Outcome.PASS}
    rows = judge(own, few, "drop", MARGINS).values()
    assert {row.outcome for row in rows if row.slice.startswith("accent=")} == {Outcome.INCONCLUSIVE}


def test_too_few_clips_say_how_many_more(build: MakeBuild, healthy: Comparison) -> None:
    row = judge(build("drop.accent = 2"), healthy, "drop", MARGINS)["accent=sv"]
    assert row.outcome is Outcome.INCONCLUSIVE
    assert "needs about" in row.detail
    assert "more clips" in row.detail


def test_one_speaker_decides_nothing_and_says_so(build: MakeBuild) -> None:
    alone = perfect(tuple(ACCENTS), speakers=1, clips=200)
    row = judge(build("drop.accent = 50"), alone, "drop", MARGINS)["accent=sv"]
    assert row.outcome is Outcome.INCONCLUSIVE
    assert row.detail.endswith("needs at least 2 speakers")


def test_a_figure_beyond_its_limit_but_not_shown_to_be_asks_for_clips(build: MakeBuild) -> None:
    few = some(perfect(tuple(ACCENTS), speakers=3, clips=15), "sv", 0.2)
    few = wrong_where(few, (few.accent == "sv") & (few.speaker == few.speaker.max()))
    row = judge(build("drop.accent = 15"), few, "drop", MARGINS)["accent=sv"]
    assert row.outcome is Outcome.INCONCLUSIVE
    assert "more clips would decide" in row.detail


def test_flips_are_judged_where_accuracy_stays(build: MakeBuild, healthy: Comparison) -> None:
    """Half an accent's decisions change from right to wrong, as many golden mistakes are mended."""
    own = build("drop.accent = 5\nflips.accent = 5")
    sv = (healthy.accent == "sv") & (healthy.clip % 15 < 6)
    mended = (healthy.accent == "sv") & (healthy.clip % 15 >= 9)
    broken_golden = wrong_where(healthy, mended).tested
    table = replace(healthy, golden=broken_golden)
    table = wrong_where(table, sv)
    assert judge(own, table, "drop", MARGINS)["accent=sv"].outcome is Outcome.PASS
    assert judge(own, table, "flips", MARGINS)["accent=sv"].outcome is Outcome.FAIL


def test_noise_on_one_accents_logits_fails_its_sqnr(build: MakeBuild, healthy: Comparison) -> None:
    tested = healthy.tested.copy()
    sv = healthy.accent == "sv"
    tested[sv] += np.random.default_rng(0).normal(0, 0.5, tested[sv].shape).astype(np.float32)
    table = replace(healthy, tested=tested)
    rows = judge(build("sqnr.accent = 30"), table, "sqnr", MARGINS)
    assert {name for name, row in rows.items() if row.outcome is Outcome.FAIL} == {"accent=sv"}
    assert "limit at least 30 dB" in rows["accent=sv"].detail


def test_nan_outputs_fail_sanity_and_sqnr(build: MakeBuild, healthy: Comparison) -> None:
    tested = np.full_like(healthy.tested, np.nan)
    table = replace(healthy, tested=tested)
    own = build("sqnr.overall = 1\ndrop = { overall = 5, accent = 5, cell = 5 }")
    assert sane(own, table, MARGINS).outcome is Outcome.FAIL
    assert judge(own, table, "sqnr", MARGINS)["overall"].outcome is Outcome.FAIL
    assert {row.outcome for row in judge(own, table, "drop", MARGINS).values()} == {Outcome.FAIL}
    assert {row.outcome for row in judge(own, table, "drop", CELLS).values()} == {Outcome.FAIL}


def test_constant_outputs_on_one_accent_fail_sanity_by_name(build: MakeBuild, healthy: Comparison) -> None:
    tested = healthy.tested.copy()
    tested[healthy.accent == "pl"] = [0, 1, 0]
    table = replace(healthy, tested=tested)
    row = sane(build(), table, MARGINS)
    assert (row.outcome, row.value, row.detail) == (Outcome.FAIL, 1, "outputs are constant on accent=pl")
    assert sane(build(), healthy, MARGINS).outcome is Outcome.PASS


def wanted(metric: str, part: Slice, least: float) -> dict[str, tuple[Floor, Slice]]:
    return {"floor": (Floor.model_validate({"metric": metric, "slice": part.id, "min": least}), part)}


def test_a_model_right_everywhere_keeps_its_floor(build: MakeBuild, healthy: Comparison) -> None:
    row = floors(build(), healthy, wanted("accuracy", SV, 95))["floor"]
    assert (row.gate, row.slice, row.outcome, row.value) == ("score", "accent=sv", Outcome.PASS, 100)


def test_a_bad_model_fails_its_floor_though_nothing_dropped(build: MakeBuild, healthy: Comparison) -> None:
    bad = some(healthy, "sv", 0.4)
    bad = replace(bad, golden=bad.tested)
    own = build("drop.accent = 4")
    assert judge(own, bad, "drop", MARGINS)["accent=sv"].outcome is Outcome.PASS
    row = floors(own, bad, wanted("accuracy", SV, 95))["floor"]
    assert row.outcome is Outcome.FAIL
    assert "limit at least 95 %" in row.detail


def test_recall_looks_at_keywords_alone(build: MakeBuild, healthy: Comparison) -> None:
    deaf = wrong_where(healthy, healthy.keyword)
    row = floors(build(), deaf, wanted("recall", OVERALL, 50))["floor"]
    assert (row.gate, row.outcome, row.value) == ("recall", Outcome.FAIL, 0)
    alert = wrong_where(healthy, ~healthy.keyword)
    assert floors(build(), alert, wanted("recall", OVERALL, 50))["floor"].outcome is Outcome.PASS


def test_a_floor_on_a_cell_must_be_shown_to_hold(build: MakeBuild) -> None:
    few = perfect(tuple(ACCENTS), speakers=2, clips=3)
    row = floors(build(), few, wanted("accuracy", CELLS[0], 90))["floor"]
    assert row.outcome is Outcome.INCONCLUSIVE
    assert not row.screened
