"""What no healthy model does is found, also where it is done to one accent only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.score.slices import margins
from tests.score.tables import CONDITIONS, perfect

PARTS = margins({"de": "foreign", "sv": "foreign"}, (), CONDITIONS)


def test_a_healthy_table_has_no_fault() -> None:
    assert perfect().insane(PARTS) == []


def test_constant_outputs_on_one_accent_are_found_and_named() -> None:
    table = perfect()
    tested = table.tested.copy()
    tested[table.accent == "sv"] = [1, 2, 3]
    assert replace(table, tested=tested).insane(PARTS) == ["outputs are constant on accent=sv"]


def test_one_decision_for_everything_is_found_though_logits_vary() -> None:
    table = perfect()
    tested = table.tested.copy()
    tested[table.condition == "clean", 2] = 40
    assert replace(table, tested=tested).insane(PARTS) == ["every decision on condition=clean is the same"]


def test_outputs_that_are_no_numbers_are_counted() -> None:
    table = perfect()
    tested = table.tested.copy()
    tested[3:7, 1] = np.inf
    assert replace(table, tested=tested).insane(PARTS) == ["4 of 120 outputs are not finite"]


def test_all_nan_is_reported_as_constant_too() -> None:
    table = perfect()
    faults = replace(table, tested=np.full_like(table.tested, np.nan)).insane(PARTS)
    assert faults[0] == "120 of 120 outputs are not finite"
    assert any("on overall" in fault for fault in faults)


def test_a_slice_of_one_label_may_have_one_decision() -> None:
    table = perfect(clips=3)
    sv = table.accent == "sv"
    truth = np.where(sv, 0, table.truth)
    tested = table.tested.copy()
    tested[sv, 0] = 40
    assert replace(table, truth=truth, tested=tested).insane(PARTS) == []
