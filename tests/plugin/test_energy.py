"""What only a board tells, asked for where there is none: energy, memory of a device, the CPU's share of the time."""

from __future__ import annotations

from pathlib import Path

from tests.house import Gate, edit

LIMITS = "energy_mj = 8.0\ncpu_share = 20\ndevice_mib = 4"
ASKED = ("-m", "host", "-k", "energy or cpu_share or device", "-rs")


def test_without_a_meter_or_a_board_they_are_not_measured_and_say_what_they_need(gate: Gate, house: Path) -> None:
    edit(house / "models" / "small" / "model.toml", "file_kib = 128", LIMITS)
    run = gate(house, *ASKED)
    assert run.counts().get("skipped") == 3, run.output
    assert run.code == 1, "it judged nothing"
    found = {row["slice"]: row for row in run.rows}
    assert {row["outcome"] for row in found.values()} == {"not measured"}
    assert "not measured: needs a power meter; name that of a lab board in lab.toml" in found["energy"]["detail"]
    assert "needs a board" in found["cpu share"]["detail"]
    assert "set device_mib below [budgets.for." in found["device memory"]["detail"]


def test_required_boards_make_them_errors(gate: Gate, house: Path) -> None:
    edit(house / "models" / "small" / "model.toml", "file_kib = 128", LIMITS)
    run = gate(house, *ASKED, "--require-board")
    assert run.counts().get("error", 0) + run.counts().get("failed", 0) == 3, run.output
    assert "needs a power meter" in run.output


def test_without_a_budget_nobody_is_asked(gate: Gate, house: Path) -> None:
    run = gate(house, *ASKED, "--collect-only", "-q")
    assert run.code == 5, run.output
