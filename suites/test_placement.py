"""Placement: no node leaves the target's unit, or widens its type, but those allowed with a reason."""

from __future__ import annotations

import pytest

from harness.gates import artifact as gates


def test_fallback(build, artifact, record, show):
    show.placement(artifact)
    record(gates.placement(build, artifact))


@pytest.mark.gate("cpu_share")
def test_cpu_share(build, profile, record):
    record(gates.cpu_share(build, profile))


@pytest.mark.gate("layers")
def test_layers(build, artifact, record):
    record(gates.layers(build, artifact))


@pytest.mark.gate("partitions")
def test_partitions(build, artifact, record):
    record(gates.partitions(build, artifact))
