"""Energy: millijoules of one inference by the board's power meter, idle subtracted."""

from __future__ import annotations

import pytest

from harness.gates import energy as gates


@pytest.mark.gate("energy_mj")
def test_energy(build, board, energy, record):
    record(gates.judge(build, energy, board.evidence.value))
