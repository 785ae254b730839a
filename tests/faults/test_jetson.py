"""Whole gate runs for a Jetson, compiled for real by TensorRT-RTX: a healthy house, and seeded placement faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from harness.quantize import ptq, trt
from harness.recipe import Recipe
from harness.targets import toolchain
from tests.house import SHIPPED, Gate, edit
from tests.targets.models import gru

RECIPE = '\n[[recipe]]\ntarget = "jetson"\nname = "int8"\nprecision = "int8"\n'
SOURCE = "TensorRT-RTX 1.7.1.116 for sm_86, a proxy of TensorRT on Orin NX"
pytestmark = pytest.mark.skipif(
    toolchain.installed("jetson") is None, reason="needs TensorRT-RTX: voxgate toolchain install jetson"
)


@pytest.fixture
def jetson(house: Path) -> Path:
    """The healthy house with a recipe for a Jetson alone, and budgets that only a board can judge."""
    toml = house / "models" / "small" / "model.toml"
    before, rest = toml.read_text().split("[[recipe]]", 1)
    toml.write_text(before + RECIPE + rest[rest.index("[[floor]]") :])
    edit(
        toml,
        "file_kib = 128",
        "file_kib = 128\nparity = 0.1\nrss_mib = 32\nlatency_ms = { p50 = 10.0 }\nslowdown = 1.0",
    )
    return house


def test_a_healthy_house_is_green_and_says_what_is_open(gate: Gate, jetson: Path) -> None:
    run = gate(jetson, "-m", "jetson", "--toolchains=never")
    assert run.code == 0, run.output
    assert {row["outcome"] for row in run.rows} == {"PASS", "not measured"}
    assert {row["gate"] for row in run.rows if row["outcome"] == "not measured"} == {"latency", "footprint"}
    fallback, overall = run.row("placement", "fallback"), run.row("accuracy")
    assert (fallback["evidence"], fallback["source"]) == ("emulator", SOURCE)
    assert (overall["evidence"], overall["source"]) == ("host", "ONNX Runtime on this host, no Jetson")


def test_with_boards_required_exactly_what_needs_one_is_an_error(gate: Gate, jetson: Path) -> None:
    run = gate(
        jetson, "-m", "jetson", "-k", "latency or footprint or fallback", "--require-board", "--toolchains=never"
    )
    assert run.code == 1
    counts = run.counts()
    assert (counts["passed"], counts["error"]) == (2, 3), "file and placement; memory and two of time"
    assert not {"failed", "skipped"} & set(counts)
    assert "latency of small on jetson/int8: needs a board" in run.output


def test_a_gru_that_silently_stays_float_is_named(gate: Gate, jetson: Path) -> None:
    gru(jetson / "models" / "small" / "model.onnx", bins=40)
    run = gate(jetson, "-m", "jetson", "-k", "fallback", "--toolchains=never")
    assert run.code == 1
    assert run.red("placement") == {"fallback"}
    detail = run.row("placement", "fallback")["detail"]
    assert "GRU gru on gpu as float32 (asked for int8, but it became a loop" in detail


def test_asymmetric_int8_is_named(gate: Gate, jetson: Path) -> None:
    windows = np.random.default_rng(1).standard_normal((8, 49, 40)).astype(np.float32)
    model = jetson / "models" / "small" / "model.onnx"
    recipe = Recipe(target="jetson", name="int8", precision="int8")
    options = {**trt.OPTIONS, "ActivationSymmetric": False}
    ptq.quantize_onnx(SHIPPED / "model.onnx", model, windows, recipe, ops=trt.COMPUTE, options=options)
    assert any(node.op_type == "QuantizeLinear" for node in onnx.load(model).graph.node)
    run = gate(jetson, "-m", "jetson", "-k", "fallback", "--toolchains=never")
    assert run.code == 1
    detail = run.row("placement", "fallback")["detail"]
    assert "QuantizeLinear features_QuantizeLinear on nowhere" in detail
    assert "Non-zero zero point is not supported" in detail
