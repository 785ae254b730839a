"""Conversion: the target's own float path says what the ONNX model says."""

from __future__ import annotations

import pytest

from harness.gates import artifact as gates

pytestmark = pytest.mark.task("keyword", "command")


@pytest.mark.gate("parity")
def test_parity(build, parity, record):
    record(gates.parity(build, *parity))
