"""Regression: accuracy against what was released before, by one step and over all of them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.task("keyword", "command")


@pytest.mark.gate("regression")
def test_step(judged, slice_id, record):
    record(judged.margins("regression")[slice_id])


@pytest.mark.gate("drift")
def test_drift(judged, slice_id, record):
    record(judged.margins("drift")[slice_id])
