"""Golden: the float model is good enough, and its committed outputs still belong to it and its corpus."""

from __future__ import annotations

import pytest

from harness.gates import stored

pytestmark = pytest.mark.task("keyword", "command")


def test_golden(candidate, house, run, golden, record):
    changes = run.golden_changes(candidate)
    record(stored.golden(candidate, golden, changes, house.options.golden))


def test_unused(candidate, house, record):
    record(stored.unused(candidate, house.candidates))


@pytest.mark.gate("golden floor")
def test_floor(float_judged, slice_id, record):
    record(float_judged.floors[slice_id])
