"""Real builds for the HTP and faults seeded into them, where its toolchain is installed."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from harness.boards import hosted
from harness.boards import htp as board_module
from harness.errors import ToolchainError
from harness.targets.base import Features
from tests.targets import small
from tests.targets.htp_builds import SMALL, altered, built, make_candidate, outputs, real, recipe
from tests.targets.models import gru, layer_norm


@pytest.fixture(autouse=True)
def not_hosted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(hosted.CHOICE, raising=False)


@pytest.fixture(scope="module")
def features() -> Features:
    return np.random.default_rng(1).standard_normal((32, 49, 10)).astype(np.float32)


@real
def test_it_gets_less_exact_from_fp16_to_a16w8_to_a8w8(tmp_path: Path, features: Features) -> None:
    wanted = {"fp16": recipe("fp16"), "a16w8": recipe(activation_bits=16), "a8w8": recipe()}
    far = {}
    for name, each in wanted.items():
        (tmp_path / name).mkdir()
        candidate = make_candidate(tmp_path / name)
        artifact = built(candidate, each, features if each.precision == "int8" else features[:0])
        assert artifact.placement.fallbacks == ()
        assert artifact.placement.partitions == 1
        assert artifact.placement.source == "QNN 2.51 validator for SM8550 (v73)"
        assert artifact.sizes.weights
        expected = small.float_logits(candidate, features)
        far[name] = float(np.abs(outputs(artifact, features) - expected).max() / np.abs(expected).max())
    assert far["fp16"] < 0.002 < far["a16w8"] < far["a8w8"] < 0.1


@real
def test_a_layer_stays_in_float_where_it_is_asked_for(tmp_path: Path, features: Features) -> None:
    """The last one; a lone convolution between quantized ones onnxruntime quantizes anew, which is an error."""
    candidate = make_candidate(tmp_path)
    artifact = built(candidate, recipe(keep_float=["logits"]), features)
    assert artifact.placement.fallbacks == ()
    [kept] = [node for node in artifact.placement.nodes if node.reason == "keep_float asks for it"]
    assert (kept.name, kept.dtype) == ("logits", "float32")
    expected = small.float_logits(candidate, features)
    assert np.abs(outputs(artifact, features) - expected).max() < 0.1 * np.abs(expected).max()
    (tmp_path / "lone").mkdir()
    with pytest.raises(ToolchainError, match=r"keep_float names point0\.conv.*computes in integers all the same"):
        built(make_candidate(tmp_path / "lone"), recipe(keep_float=["point0.conv"]), features)


@real
def test_a_chip_with_a_v68(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path)
    artifact = built(candidate, recipe(soc="QCS6490", calibration={"algorithm": "percentile"}), features)
    assert artifact.placement.source == "QNN 2.51 validator for QCS6490 (v68)"
    assert artifact.placement.fallbacks == ()
    expected = small.float_logits(candidate, features)
    assert np.abs(outputs(artifact, features) - expected).max() < 0.1 * np.abs(expected).max()


@real
def test_two_processes_answer_as_one(tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    alone = outputs(artifact, features)
    monkeypatch.setattr(board_module, "SPLIT", 8)
    assert np.array_equal(outputs(artifact, features), alone)


@real
def test_signed_weights_send_a_layer_norm_to_the_cpu_and_unsigned_ones_do_not(
    tmp_path: Path, features: Features
) -> None:
    for name in ("signed", "unsigned"):
        (tmp_path / name).mkdir()
    split = built(make_candidate(tmp_path / "signed", layer_norm), recipe(per_channel=True), features)
    assert split.placement.partitions == 2
    assert [(node.op, node.where) for node in split.placement.fallbacks[:1]] == [("LayerNormalization", "cpu")]
    assert "QNN's validator refuses LayerNorm" in split.placement.fallbacks[0].reason
    outputs(split, features[:2])
    whole = built(make_candidate(tmp_path / "unsigned", layer_norm), recipe(per_channel=False), features)
    assert (whole.placement.partitions, whole.placement.fallbacks) == (1, ())


@real
def test_an_erf_is_named_with_its_reason(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path, partial(SMALL, tail="Erf")), recipe(), features)
    first = artifact.placement.fallbacks[0]
    assert (first.op, first.name, first.where) == ("Erf", "tail", "cpu")
    assert "not supported by QNN" in first.reason


@real
def test_a_gru_is_a_float_island_on_v73_and_fails_to_compile_on_v68(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path, partial(gru, hidden=16)), recipe(), features)
    assert {(node.op, node.where, node.dtype) for node in artifact.placement.fallbacks} == {("Gru", "npu", "float32")}
    shutil.rmtree(tmp_path / "build")
    with pytest.raises(ToolchainError, match=r"Failed to finalize QNN graph.*1002.*A GRU or LSTM does so on V68"):
        built(make_candidate(tmp_path, partial(gru, hidden=16)), recipe(soc="QCS6490"), features)


@real
def test_a_model_nobody_quantized(tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    altered(monkeypatch, tmp_path, 'quantize(request, folder) if request["quantize"] else ', "")
    placed = built(make_candidate(tmp_path), recipe(), features).placement
    assert {node.where for node in placed.nodes} == {"npu"}
    assert len(placed.fallbacks) == 12
    assert {node.dtype for node in placed.fallbacks} == {"float32"}


@real
def test_a_backend_that_is_not_there(tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    altered(monkeypatch, tmp_path, "get_qnn_htp_path()", "get_qnn_cpu_path()")  # not in the package on x86_64
    with pytest.raises(ToolchainError, match=r"all 38 nodes are on the CPU.*HTP backend was never asked"):
        built(make_candidate(tmp_path), recipe(), features)


@real
def test_another_chip_in_the_binary(tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    altered(monkeypatch, tmp_path, 'str(request["soc_model"])', '"57"')
    with pytest.raises(ToolchainError, match=r"asked for SM8550 \(v73\).* is for SM8650 \(v75\)"):
        built(make_candidate(tmp_path), recipe(), features)


@real
def test_a_compiler_that_crashes(tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = "session = __import__('os').kill(__import__('os').getpid(), 11)"
    altered(monkeypatch, tmp_path, "session = onnxruntime.InferenceSession(str(model), sess_options=options)", crash)
    with pytest.raises(
        ToolchainError, match=r"small htp/this: htp_worker crashed with SIGSEGV.*To run it again by hand"
    ):
        built(make_candidate(tmp_path), recipe(), features)


@real
def test_an_operator_unknown_to_onnxruntime_is_a_clear_error(tmp_path: Path, features: Features) -> None:
    with pytest.raises(ToolchainError, match=r"small htp/this: htp_worker refused: "):
        built(make_candidate(tmp_path, partial(SMALL, tail="Det")), recipe(), features)
