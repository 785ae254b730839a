"""Whole gate runs for the RB5 over small houses: by AIMET's simulation, and by stand-ins of SDK and board."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest

from harness.targets import toolchain
from tests.house import LIMITS, SHIPPED, Gate, make_house
from tests.targets.standins import SERIAL, make_adb, make_sdk

RB5 = '\n[[recipe]]\ntarget = "rb5"\nname = "int8"\nprecision = "int8"\nper_channel = false\n'
BUDGETS = LIMITS + "\n[budgets.for.rb5]\nfile_kib = 192\nlatency_ms = { p50 = 10.0 }\n"
BARE = {"SNPE_ROOT": "", "QAIRT_SDK_ROOT": "", "VOXGATE_RB5": ""}

pytestmark = pytest.mark.skipif(
    toolchain.installed("rb5") is None, reason="needs AIMET's toolchain: voxgate toolchain install rb5"
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A house that builds for the RB5 alone. Not to be changed."""
    return make_house(tmp_path_factory.mktemp("rb5") / "house", recipes=RB5, limits=BUDGETS)


def test_without_a_board_all_but_time_is_judged(gate: Gate, small: Path) -> None:
    asked = ("-m", "rb5", "--toolchains=never", "--golden=new")
    run = gate(small, *asked, environment=BARE)
    assert run.code == 0, run.output
    drop, placed = run.row("accuracy"), run.row("placement", "fallback")
    assert (drop["evidence"], drop["source"]) == ("emulator", "AIMET v66 simulation")
    assert (placed["evidence"], placed["value"]) == ("static", 0.0)
    assert placed["source"].startswith("SNPE DSP V66 rules, static")
    assert run.row("conversion", "float parity")["value"] < 1e-4
    lacking = {row["slice"] for row in run.rows if row["outcome"] == "not measured"}
    assert lacking == {"inference"}
    nightly = gate(small, *asked, "--require-board", environment=BARE)
    assert nightly.code == 1
    assert nightly.counts()["error"] == 1


def test_an_operator_the_dsp_has_not(gate: Gate, tmp_path: Path) -> None:
    house = make_house(tmp_path / "house", recipes=RB5, limits=BUDGETS)
    model = onnx.load(SHIPPED / "model.onnx")
    spoiled = next(node for node in model.graph.node if node.op_type == "Relu")
    spoiled.op_type = "Softplus"
    onnx.save(model, house / "models" / "small" / "model.onnx")
    run = gate(house, "-m", "rb5", "-k", "fallback", "--toolchains=never", environment=BARE)
    assert run.code == 1
    assert run.red("placement") == {"fallback"}
    assert f"Softplus {spoiled.name} on cpu as float32" in run.row("placement", "fallback")["detail"]


def test_with_stand_ins_for_sdk_and_board_all_is_the_boards(gate: Gate, small: Path, tmp_path: Path) -> None:
    (tmp_path / "adb").mkdir()
    make_adb(tmp_path / "adb")
    path = f"{tmp_path / 'adb'}{os.pathsep}{os.environ['PATH']}"
    environment = {**BARE, "SNPE_ROOT": str(make_sdk(tmp_path).root), "PATH": path}
    asked = ("-m", "rb5", "--toolchains=never", "--golden=new", "--rounds=11", "--require-board")
    run = gate(small, *asked, environment=environment)
    assert run.code == 0, run.output
    latency = run.row("latency", "inference p50")
    assert (latency["value"], latency["n"], latency["evidence"]) == (1.328, 11, "board")
    assert "0.632 ms each by snpe-throughput-net-run, n=15803" in latency["detail"]
    assert run.row("placement", "fallback")["source"].endswith(f"on adb:{SERIAL}")
    assert run.row("accuracy")["source"] == "RB5's DSP by snpe-net-run"
    assert run.row("conversion", "float parity")["evidence"] == "board"
