"""Three outcomes kept apart: not asked for, not possible here, and wrong; and no green that judged nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.targets import toolchain
from tests.house import RECIPE, RK3588, Gate, GateRun, edit

pytestmark = pytest.mark.xdist_group("outcomes")
INSTALL = "voxgate toolchain install rk3588"
NEVER = "--toolchains=never"


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which no toolchain is installed."""
    return {"VOXGATE_TOOLCHAINS": str(tmp_path_factory.mktemp("toolchains"))}


@pytest.fixture
def both(house: Path) -> Path:
    """A house that also wants RK3588."""
    edit(house / "models" / "small" / "model.toml", RECIPE, RECIPE + RK3588)
    return house


@pytest.fixture
def silent(gate: Gate, both: Path, nowhere: dict[str, str]) -> GateRun:
    """A run that may not install the only toolchain it needs."""
    return gate(both, "-m", "rk3588", "-k", "not golden and not unused", NEVER, "-rs", environment=nowhere)


def test_a_missing_toolchain_skips_with_its_remedy_and_the_run_fails(silent: GateRun) -> None:
    assert silent.code == 1
    assert set(silent.counts()) <= {"skipped", "deselected"}
    assert INSTALL in silent.output
    assert "this run judged nothing, so it fails" in silent.output
    assert {row["outcome"] for row in silent.rows} == {"UNSUPPORTED"}
    assert "Traceback" not in silent.output


def test_what_can_be_judged_is_judged_beside_it(gate: Gate, both: Path, nowhere: dict[str, str]) -> None:
    run = gate(both, "-m", "host or rk3588", "-k", "placement or drop", NEVER, "--require-board", environment=nowhere)
    assert run.code == 0, run.output  # a toolchain is no board
    assert {(row["target"], row["outcome"]) for row in run.rows} == {("host", "PASS"), ("rk3588", "UNSUPPORTED")}


@pytest.mark.skipif(
    toolchain.installed("rk3588") is None, reason="the rk3588 toolchain is not installed here; run: " + INSTALL
)
def test_a_board_required_makes_an_error_of_what_only_it_can_tell(gate: Gate, both: Path) -> None:
    edit(
        both / "models" / "small" / "model.toml",
        "file_kib = 128",
        "file_kib = 256\nrss_mib = 64\nlatency_ms = { p50 = 50.0 }",
    )
    arguments = ("-m", "host or rk3588", "-k", "(rk3588 and (latency or rss)) or placement", NEVER, "-rs")
    lenient, strict = gate(both, *arguments), gate(both, *arguments, "--require-board")
    assert (lenient.code, strict.code) == (0, 1), lenient.output + strict.output
    found = {(row["target"], row["gate"], row["outcome"]) for row in lenient.rows}
    assert {outcome for target, gate, outcome in found if gate == "placement"} == {"PASS"}
    open_here = {(target, gate, outcome) for target, gate, outcome in found if gate != "placement"}
    assert open_here == {("rk3588", gate, "not measured") for gate in ("latency", "footprint")}
    assert strict.rows == lenient.rows
    assert strict.counts()["passed"] == lenient.counts()["passed"]
    assert strict.counts()["error"] == lenient.counts()["skipped"]
    assert "needs a board" in strict.output


def test_a_gate_that_needs_more_data_fails_unless_told_otherwise(gate: Gate, house: Path) -> None:
    edit(house / "models" / "small" / "model.toml", "drop = { overall = 4.0", "drop = { overall = 0.5")
    chosen = ("-m", "host", "-k", "drop and overall or placement")
    run = gate(house, *chosen)
    assert run.code == 1
    assert run.row("accuracy")["outcome"] == "INCONCLUSIVE"
    assert "more clips" in run.row("accuracy")["detail"]
    skipping = gate(house, *chosen, "--inconclusive=skip", "-rs")
    assert skipping.code == 0, skipping.output
    assert skipping.counts() == {"passed": 1, "skipped": 1, "deselected": run.counts()["deselected"]}
    assert "INCONCLUSIVE small on host/int8" in skipping.output


def test_an_empty_selection_is_not_green(gate: Gate, template: Path) -> None:
    run = gate(template, "-m", "rk3588", "-k", "drop")
    assert run.code == pytest.ExitCode.NO_TESTS_COLLECTED
