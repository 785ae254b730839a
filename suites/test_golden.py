"""Golden: the committed float outputs still belong to this model, front end and corpus."""

from __future__ import annotations

from harness.gates import stored


def test_golden(candidate, house, run, golden, record):
    changes = run.golden_changes(candidate)
    record(stored.golden(candidate, golden, changes, house.options.golden))


def test_unused(candidate, house, record):
    record(stored.unused(candidate, house.candidates))
