"""Seeded faults: each turns the gate red and is named; the house they were put into is green."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import numpy_helper

from harness.targets import toolchain
from tests.faults.surgery import imbalance, put_before
from tests.house import (
    CORPUS,
    HTP,
    RK3588,
    SHIPPED,
    Gate,
    GateRun,
    add_recipe,
    edit,
    make_house,
    read_manifest,
    write_manifest,
)

CLEAN_DROP_ALLOWED = 5.0  # points: what a gate on the clean test set alone is commonly set to


needs_htp = pytest.mark.skipif(
    toolchain.installed("htp") is None, reason="needs the HTP toolchain: voxgate toolchain install htp"
)


def model(house: Path) -> Path:
    return house / "models" / "small"


def set_output_bias(path: Path, value: float, weight: float = 1.0) -> None:
    """Every output is its old value times ``weight`` plus ``value``."""
    loaded = onnx.load(path)
    gemm = next(node for node in loaded.graph.node if node.op_type == "Gemm")
    for tensor in loaded.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name == gemm.input[1]:
            tensor.CopyFrom(numpy_helper.from_array(values * np.float32(weight), tensor.name))
        if tensor.name == gemm.input[2]:
            tensor.CopyFrom(numpy_helper.from_array(values * np.float32(weight) + np.float32(value), tensor.name))
    path.write_bytes(loaded.SerializeToString())


def test_the_healthy_house_is_green(healthy: GateRun) -> None:
    assert healthy.code == 0, healthy.output
    assert {row["outcome"] for row in healthy.rows} == {"PASS"}


def test_imbalanced_channels_pass_a_clean_test_and_fail_the_gate(gate: Gate, tmp_path: Path) -> None:
    """Float-identical, int8 per-channel: the fragile export that "passes clean, fails accents" (k = 8, seed 13)."""
    accents = [row["accent"] for row in read_manifest(CORPUS)]
    house = make_house(
        tmp_path / "house",
        accents=dict.fromkeys(accents),
        speakers=10,
        conditions=("clean", "noise-10db", "room-large"),
        limits="\n[budgets]\ndrop = { overall = 5.0, group = 5.0, accent = 5.0, condition = 5.0, cell = 15.0 }\n",
    )
    run = gate(house, "-m", "host", "-k", "drop or cells", "--golden=new")
    assert run.code == 0, run.output
    imbalance(SHIPPED / "model.onnx", model(house) / "model.onnx", k=8, seed=13)
    (house / "golden").rename(tmp_path / "healthy")
    faulty = gate(house, "-m", "host", "-k", "drop or cells", "--golden=new")
    assert faulty.code == 1
    assert float_difference(house / "golden", tmp_path / "healthy") < 1e-3
    assert faulty.row("accuracy", "condition=clean")["value"] < CLEAN_DROP_ALLOWED
    red = faulty.red("accuracy")
    assert {"overall", "accents=native", "accents=unseen", "condition=noise-10db", "condition=room-large"} <= red
    assert [part for part in red if part.startswith("accent=") and "," not in part]
    assert "DO NOT SHIP" in faulty.output


def float_difference(one: Path, other: Path) -> float:
    from safetensors.numpy import load_file

    names = [path.relative_to(one) for path in one.rglob("*.safetensors")]
    assert names
    return max(float(np.abs(load_file(one / n)["logits"] - load_file(other / n)["logits"]).max()) for n in names)


def test_swapped_labels(gate: Gate, house: Path) -> None:
    edit(model(house) / "model.toml", '"left", "right"', '"right", "left"')
    against_golden = gate(house, "-m", "host")
    assert against_golden.code == 1
    assert "its labels are hey robot, stop, go, left, right" in against_golden.output
    accepted = gate(house, "-m", "host", "--golden=update")
    assert accepted.code == 1
    assert accepted.red("recall"), "two of ten keywords are always wrong, which no delta shows"


def test_another_mel_count_does_not_fit_the_model(gate: Gate, house: Path) -> None:
    edit(model(house) / "model.toml", "mel_bins = 40", "mel_bins = 32")
    run = gate(house, "-m", "host")
    assert run.code == 4
    assert "its front end gives 49 frames x 32 bins, but model.onnx takes [1, 1, 49, 40]" in run.output
    assert "Traceback" not in run.output


def test_another_band_is_a_front_end_failure(gate: Gate, house: Path) -> None:
    edit(model(house) / "model.toml", "high_hz = 7600.0", "high_hz = 4000.0")
    run = gate(house, "-m", "host")
    assert run.code == 1
    assert "the front end changed since it was made" in run.output
    accepted = gate(house, "-m", "host", "--golden=update")
    assert accepted.red("recall"), "float itself is now too bad to ship"


def test_calibration_of_silence(gate: Gate, house: Path) -> None:
    corpus = house / "corpora" / "few"
    write_manifest(
        corpus, [row for row in read_manifest(corpus) if row["split"] == "test" or row["label"] == "silence"]
    )
    run = gate(house, "-m", "host")
    assert run.code == 1
    assert "overall" in run.red("sqnr")
    assert run.red("accuracy")
    assert "dBFS, below -60: speech will exceed its ranges" in run.output


@pytest.mark.parametrize(
    ("value", "weight", "named"),
    [(np.nan, 1.0, "not finite"), (0.0, 0.0, "constant")],
    ids=["not finite", "constant"],
)
def test_outputs_no_healthy_model_gives(gate: Gate, unjudged: Path, value: float, weight: float, named: str) -> None:
    set_output_bias(model(unjudged) / "model.onnx", value, weight)
    run = gate(unjudged, "-m", "host", "--golden=new")
    assert run.code == 1
    assert named in run.output
    assert "MAY SHIP" not in run.output


def test_golden_of_another_model(gate: Gate, house: Path) -> None:
    imbalance(SHIPPED / "model.onnx", model(house) / "model.onnx", k=2, seed=1)
    run = gate(house, "-m", "host")
    assert run.code == 1
    assert "it is the golden of another model" in run.output
    assert "--golden=update" in run.output


def test_other_audio_is_a_drifted_corpus_not_a_regressed_model(gate: Gate, house: Path) -> None:
    corpus = house / "corpora" / "few"
    rows = read_manifest(corpus)
    spoiled = next(row for row in rows if row["split"] == "test" and row["label"] == "stop")
    audio, rate = soundfile.read(corpus / spoiled["path"], dtype="int16")
    soundfile.write(corpus / spoiled["path"], audio[::-1], rate, subtype="PCM_16")
    spoiled["sha256"] = ""
    write_manifest(corpus, rows)
    run = gate(house, "-m", "host")
    assert run.code == 1
    assert "the corpus drifted: 1 of" in run.output
    assert spoiled["clip"] in run.output


@pytest.mark.skipif(
    toolchain.installed("rk3588") is None, reason="needs the RKNN toolchain: voxgate toolchain install rk3588"
)
def test_a_convolution_forced_to_the_cpu_of_the_rk3588(gate: Gate, house: Path) -> None:
    first = next(node for node in onnx.load(SHIPPED / "model.onnx").graph.node if node.op_type == "Conv")
    forced = f'op_target = {{ "{first.output[0]}" = "cpu" }}\n'
    add_recipe(house, RK3588 + forced)
    run = gate(house, "-m", "rk3588", "-k", "fallback", "--toolchains=never")
    assert run.code == 1
    assert run.red("placement") == {"fallback"}
    assert f"Conv:{first.name}" in run.row("placement", "fallback")["detail"]


@needs_htp
def test_a_healthy_house_is_green_on_the_htp(gate: Gate, house: Path) -> None:
    add_recipe(house, HTP)
    run = gate(house, "-m", "htp", "--toolchains=never")
    assert run.code == 0, run.output
    placed, outputs = run.row("placement", "fallback"), run.row("accuracy")
    assert (placed["evidence"], placed["source"]) == ("static", "QNN 2.51 validator for SM8550 (v73)")
    assert (outputs["evidence"], outputs["source"]) == ("emulator", "HTP emulator v73")


@needs_htp
def test_an_erf_sends_nodes_from_the_htp_to_the_cpu(gate: Gate, house: Path) -> None:
    add_recipe(house, HTP)
    put_before("Gemm", "Erf", model(house) / "model.onnx")
    run = gate(house, "-m", "htp", "-k", "fallback", "--toolchains=never")
    assert run.code == 1
    assert run.red("placement") == {"fallback"}
    assert run.row("placement", "fallback")["detail"].startswith(
        "falls back: Erf /fault/Erf on cpu as float32 (Operators"
    )


@needs_htp
def test_the_rb5_is_no_htp(gate: Gate, house: Path) -> None:
    add_recipe(house, HTP.replace('precision = "int8"', 'precision = "int8"\nsoc = "SM8250"'))
    run = gate(house, "-m", "htp", "-k", "fallback", "--toolchains=never")
    assert "is a Hexagon V66, which has no HTP" in run.output
    assert 'Set target = "rb5"' in run.output
    assert "MAY SHIP" not in run.output
