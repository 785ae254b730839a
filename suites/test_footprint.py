"""Footprint: file, weights, activation memory, resident memory."""

from __future__ import annotations

import pytest

from harness.gates import artifact as gates


@pytest.mark.gate("footprint")
def test_size(build, slice_id, size, record):
    record(gates.footprint(build, slice_id, size))
