"""A whole run on a board leased through a real labgrid coordinator on loopback."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.house import Gate
from tests.labgrid_lab import lab, switch
from tests.loopback import needs_sshd, serving

pytestmark = [
    needs_sshd,
    pytest.mark.xdist_group("loopback"),
    pytest.mark.skipif(importlib.util.find_spec("labgrid") is None, reason="run: pip install 'voxgate[labgrid]'"),
]


def test_a_run_leases_its_board_and_gives_it_back(gate: Gate, house: Path, tmp_path: Path) -> None:
    (tmp_path / "labgrid").mkdir()
    with serving(tmp_path / "sshd") as board, switch() as power, lab(tmp_path / "labgrid", board, power) as found:
        keys = f'identity = "{board.address.identity}", known_hosts = "{board.address.known_hosts}"'
        (tmp_path / "lab.toml").write_text(
            f'[[board]]\nid = "leased"\ntargets = ["host"]\npython = "{sys.executable}"\nfolder = "{board.home}"\n'
            f'labgrid = {{ coordinator = "{found.address}", tags = {{ board = "rk3588" }}, {keys} }}\n'
        )
        asked = ("-m", "host", "-k", "accuracy", f"--lab={tmp_path / 'lab.toml'}", "--require-board")
        run = gate(house, *asked)
        assert run.code == 0, run.output
        assert {row["source"] for row in run.rows if row["gate"] == "accuracy"} == {"leased (host, ssh)"}
        assert found.client("reservations") == ""
        assert "acquired: None" in found.client("-p", "board-a", "show")
        found.coordinator.kill()
        found.coordinator.wait()
        lost = gate(house, *asked)
        assert lost.code == 1
        assert {row["outcome"] for row in lost.rows} <= {"INFRA", "PASS"}, "no verdict on the model"
        assert f"labgrid coordinator {found.address} could not be asked" in lost.output
