"""--release decides: every judged build MAY SHIP, whole, or the run fails and says which does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import RECIPE, RK3588, Gate, edit

pytestmark = pytest.mark.xdist_group("plugin")


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
