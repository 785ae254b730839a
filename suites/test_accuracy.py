"""Accuracy: quantized outputs against golden float outputs, on every slice, and absolute sanity."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.task("keyword", "command")


def test_sanity(judged, record):
    record(judged.sanity())


@pytest.mark.gate("floor")
def test_floor(judged, slice_id, record):
    record(judged.floors[slice_id])


@pytest.mark.gate("drop")
def test_drop(judged, slice_id, record, show):
    row = judged.margins("drop")[slice_id]
    show.heatmap(row, judged)
    show.flips(row, judged)
    record(row)


@pytest.mark.gate("flips")
def test_flips(judged, slice_id, record):
    record(judged.margins("flips")[slice_id])


@pytest.mark.gate("sqnr")
def test_sqnr(judged, slice_id, record):
    record(judged.margins("sqnr")[slice_id])


@pytest.mark.gate("cells")
def test_cells(judged, record, show):
    rows = judged.cells
    show.heatmap(None, judged)
    record(*rows)
