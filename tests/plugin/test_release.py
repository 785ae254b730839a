"""--release decides: every judged build MAY SHIP, whole, or the run fails and says which does not."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from harness.report.markdown import markdown
from harness.report.records import read
from harness.report.scorecard import scorecard
from tests.house import RECIPE, RK3588, Gate, edit

pytestmark = pytest.mark.xdist_group("plugin")
SPARE = """
[[board]]
id = "rock-2"
targets = ["{target}"]
address = {{ user = "root", host = "127.0.0.1", port = 1 }}
quarantine = {{ reason = "its fan is dead", until = {until} }}
"""
TODAY = date.today()


def test_a_whole_run_that_may_ship_is_released(gate: Gate, template: Path) -> None:
    run = gate(template, "-m", "host", "--release")
    assert run.code == 0, run.output
    assert "--release:" not in run.output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("sanity or placement", "is PARTLY JUDGED"),
        ("sanity or placement or accuracy", "was judged in part: no footprint file"),
    ],
)
def test_a_selection_passes_but_is_not_released(gate: Gate, template: Path, words: str, why: str) -> None:
    run = gate(template, "-m", "host", "-k", words, "--release")
    assert run.counts().keys() == {"passed", "deselected"}
    assert run.code == 1
    assert f"--release: small on host/int8 {why}" in run.output


def test_what_is_unsupported_is_not_released(gate: Gate, house: Path) -> None:
    edit(house / "models" / "small" / "model.toml", RECIPE, RECIPE + RK3588)
    run = gate(house, "--release", "--toolchains=never", environment={"VOXGATE_TOOLCHAINS": str(house / "none")})
    assert run.code == 1
    assert "--release: small on rk3588/w8a8 is NOT JUDGED" in run.output


@pytest.mark.parametrize("other", ["--inconclusive=skip", "--golden=new"])
def test_what_contradicts_it_is_a_usage_error(gate: Gate, template: Path, other: str) -> None:
    run = gate(template, "-m", "host", "--release", other)
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "--release accepts neither" in run.output


def test_a_spare_board_in_quarantine_is_named_and_costs_nothing(gate: Gate, template: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(SPARE.format(target="rk3588", until=TODAY))
    run = gate(template, "-m", "host", "--release", f"--lab={lab}")
    assert run.code == 0, run.output
    held = f"rock-2 is quarantined until {TODAY}: its fan is dead"
    assert f"quarantine: {held}; nothing ran there" in run.output
    records = read(run.work)
    assert held in scorecard(records)
    assert held in markdown(records)


def test_a_build_whose_board_is_in_quarantine_is_not_released(gate: Gate, template: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(SPARE.format(target="host", until=TODAY))
    run = gate(template, "-m", "host", "--release", f"--lab={lab}")
    assert run.code == 1
    assert f"quarantine: rock-2 is quarantined until {TODAY}: its fan is dead; nothing ran there" in run.output
    assert "--release: small on host/int8 is" in run.output


def test_a_quarantine_that_is_over_stops_a_release_only(gate: Gate, template: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    over = TODAY - timedelta(days=1)
    lab.write_text(SPARE.format(target="rk3588", until=over))
    run = gate(template, "-m", "host", "--release", f"--lab={lab}")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert f"a quarantine is over: that of rock-2 ended with {over} (its fan is dead)" in run.output
    assert "Traceback" not in run.output
    assert gate(template, "-m", "host", "-k", "placement", f"--lab={lab}").code == 0
