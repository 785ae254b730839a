"""Footprint: file, weights, activation memory, resident memory."""

from __future__ import annotations

import pytest

from harness.gates import artifact as gates


@pytest.mark.gate("footprint")
def test_size(build, artifact, slice_id, resident, record):
    record(gates.footprint(build, artifact, slice_id, resident))
