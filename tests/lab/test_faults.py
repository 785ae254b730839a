"""Every fault, at every moment: recovery or INFRA, and never a verdict on the model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.boards.virtual.board import VirtualBoard
from tests.lab import faults
from tests.lab.bench import Bench
from tests.lab.faults import FAULTS, IN_CI, MOMENTS, Cell


@pytest.mark.usefixtures("brief")
def test_no_fault_becomes_a_verdict(
    made: Bench,
    board_a: VirtualBoard,
    board_b: VirtualBoard,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two boards share the faults: every one at every moment with ``--all-faults``, those of CI without."""
    every = [(fault, moment) for fault in FAULTS for moment in MOMENTS]
    some = [(fault, moment) for fault, moment in every if IN_CI.get(fault.name) == moment]
    assert len(some) == len(IN_CI)
    chosen = every if request.config.getoption("all_faults") else some

    def all_on(virtual: VirtualBoard, share: list[tuple[faults.Fault, str]]) -> list[Cell]:
        virtual.run(f"rm -rf {faults.HOME}")  # so that each cell deploys
        virtual.snapshot()
        try:
            return [faults.strike(made, virtual, fault, moment, tmp_path) for fault, moment in share]
        finally:
            faults.pristine(virtual)

    with ThreadPoolExecutor(2) as pool:
        halves = pool.map(all_on, (board_a, board_b), (chosen[::2], chosen[1::2]))
    cells = [cell for half in halves for cell in half]
    order = [(fault.name, moment) for fault, moment in chosen]
    cells.sort(key=lambda cell: order.index((cell.fault, cell.moment)))
    with capsys.disabled():
        print(f"\n{faults.table(cells)}")
    assert not [cell for cell in cells if not cell.right]
    assert {cell.ending for cell in cells} >= {"PASS", "INFRA"}
