"""Front end: the board computes the features that the model was trained on, bin by bin."""

from __future__ import annotations

import pytest

from harness.gates import frontend as gates


@pytest.mark.gate("frontend")
def test_parity(build, frontend, record):
    record(gates.judge(build, frontend))
