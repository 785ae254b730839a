"""Footprint: file, weights, activation memory, resident memory, memory of the device."""

from __future__ import annotations

import pytest

from harness.gates import artifact as gates


@pytest.mark.gate("footprint")
def test_size(build, slice_id, size, record):
    record(gates.footprint(build, slice_id, size))


@pytest.mark.gate("device_mib")
def test_device_memory(build, device_memory, record):
    record(gates.device_memory(build, device_memory))
