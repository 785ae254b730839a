from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report.rows import NEEDS_BOARD, lost, row, run

from harness.report.conclusion import conclude, failing, from_cache, passing, used
from harness.row import Row
from harness.verdict import Outcome


def lacking(outcome: Outcome = Outcome.NOT_MEASURED) -> Row:
    return row("latency", "inference p50", None, evidence="", outcome=outcome, detail=NEEDS_BOARD)


@pytest.mark.parametrize(
    ("others", "word"),
    [
        ([], "MAY SHIP"),
        ([lost("ja")], "DO NOT SHIP"),
        ([row("accuracy", "accent=tr", 2.1, outcome=Outcome.INCONCLUSIVE)], "UNDECIDED"),
        ([lacking()], "PASSES HERE, BOARD FIGURES OPEN"),
        ([lacking(Outcome.UNSUPPORTED)], "PASSES HERE, BOARD FIGURES OPEN"),
        ([lacking(Outcome.INFRA)], "NOT JUDGED"),
        ([lacking(), row("accuracy", "accent=tr", 2.1, outcome=Outcome.INCONCLUSIVE)], "UNDECIDED"),
    ],
)
def test_word(others: list[Row], word: str) -> None:
    (conclusion,) = conclude([*whole(), *others])
    assert conclusion.word == word


def whole() -> list[Row]:
    return [row("sanity", "overall"), row("accuracy", "overall"), row("placement", "fallback")]


@pytest.mark.parametrize("gate", ["sanity", "accuracy", "placement"])
def test_a_selection_of_gates_may_not_ship(gate: str) -> None:
    (conclusion,) = conclude([each for each in whole() if each.gate != gate])
    assert conclusion.word == "PARTLY JUDGED"
    assert conclusion.reason.endswith(f"Not run: {gate}")


def test_nothing_judged_is_no_pass() -> None:
    (conclusion,) = conclude([lacking()])
    assert conclusion.word == "NOT JUDGED"
    assert "needs a board" in conclusion.reason


def test_shown_harm_outweighs_a_lost_board() -> None:
    (conclusion,) = conclude([lacking(Outcome.INFRA), lost("ja")])
    assert conclusion.word == "DO NOT SHIP"
    assert "accent=ja 6.20 points [3.10, 9.30]" in conclusion.reason


def test_reason_names_the_farthest_from_its_limit_and_counts_the_rest() -> None:
    near = row("accuracy", "accent=fr", 3.2, outcome=Outcome.FAIL, detail="near")
    (conclusion,) = conclude([near, lost("ja"), lacking()])
    assert conclusion.reason.startswith("FAIL: accuracy drop on accent=ja")
    assert "(and 1 more); emulator" in conclusion.reason
    assert conclusion.reason.endswith(f"Not judged: not measured: {NEEDS_BOARD}")


def test_golden_is_concluded_before_the_builds_it_judges() -> None:
    first, *rest = conclude(run())
    assert (first.build, first.word) == ("host/golden", "GOLDEN HOLDS")
    assert [each.build for each in rest] == ["host/int8", "rk3588/fp16", "rk3588/w8a8"]


def test_one_line_a_gate_with_cells_apart() -> None:
    lines = passing([each for each in run() if each.recipe == "w8a8"])
    counts = {(line.gate, line.worst.screened): line.count for line in lines}
    assert counts["accuracy", False] == "29 of 30 pass"
    assert counts["accuracy", True] == "138 of 140 cells pass"
    assert counts["sqnr", False] == ""


def test_the_line_shows_the_slice_nearest_to_its_limit() -> None:
    far = row("accuracy", "accent=de", 0.1, high=0.5, limit=4.0)
    near = row("accuracy", "overall", 0.2, high=0.9, limit=1.0)
    (line,) = passing([far, near])
    assert line.worst is near


def test_lacks_of_one_reason_stand_together() -> None:
    lacks = [group for group in failing(run()) if group.row.outcome is Outcome.NOT_MEASURED]
    assert [group.what for group in lacks] == ["inference p50; inference p95; inference p99"]


@given(st.floats(0.1, 100), st.floats(0.1, 100))
def test_used_up_exceeds_one_exactly_where_the_bound_breaks_the_limit(bound: float, limit: float) -> None:
    most = row("accuracy", "overall", bound, low=bound, high=bound, limit=limit)
    least = row("sqnr", "overall", bound, low=bound, high=bound, limit=limit)
    assert (used(most) > 1) == (bound > limit)
    assert (used(least) > 1) == (bound < limit)


def test_cache_line_leaves_out_what_nobody_asked_for() -> None:
    told = from_cache({"outputs": (2, 3), "rooms": (0, 0), "artifacts": (0, 2)})
    assert told == "from cache: 0 of 2 artifacts, 2 of 3 outputs"
    assert from_cache({}) == ""


@pytest.mark.parametrize("gate", ["frr", "false accepts", "reset", "placement"])
def test_a_wake_word_may_not_ship_without_its_own_gates(gate: str) -> None:
    rows = [row(each, "overall") for each in ("frr", "false accepts", "reset", "placement")]
    (conclusion,) = conclude(rows)
    assert "Not run" not in conclusion.reason
    (conclusion,) = conclude([each for each in rows if each.gate != gate])
    assert conclusion.reason.endswith(f"Not run: {gate}")


def test_a_cause_is_told_before_what_fails_by_it_however_far_that_is_beyond_its_limit() -> None:
    labels = row("labels", "synthetic overall", 1.0, outcome=Outcome.FAIL, detail="labels are shifted by one")
    (conclusion,) = conclude([lost("ja"), labels])
    assert conclusion.reason.startswith("FAIL: labels are shifted by one")
    assert [group.row.gate for group in failing([lost("ja"), labels])] == ["labels", "accuracy"]
