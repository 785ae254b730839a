"""The HTP target: what it refuses by itself, and, where its toolchain is installed, real builds and seeded faults."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from harness.boards import hosted
from harness.boards import htp as board_module
from harness.build import refuse_strange
from harness.candidate import Candidate, Recipe, load
from harness.errors import CandidateError, NotMeasured, ToolchainError, Unsupported
from harness.targets import htp as target_module
from harness.targets import toolchain
from harness.targets.base import Artifact, Evidence, Features, Job, Logits
from harness.targets.htp import Htp
from tests.targets.models import ds_cnn, gru, layer_norm

LABELS = [f"word{i}" for i in range(12)]
MODEL_TOML = f"""
[candidate]
name = "small"
task = "keyword"
labels = {LABELS}
background = []
corpus = "none"
[frontend]
kind = "mfcc"
frame_length_ms = 40.0
[[recipe]]
target = "htp"
name = "a8w8"
precision = "int8"
"""
DATA = Path(__file__).parents[1] / "data" / "htp"
SMALL = partial(ds_cnn, channels=16, blocks=2)

real = pytest.mark.skipif(
    toolchain.installed("htp") is None or platform.machine() != "x86_64",
    reason="the htp toolchain is not installed here, or this is not x86_64; run: voxgate toolchain install htp",
)


@pytest.fixture(autouse=True)
def not_hosted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(hosted.CHOICE, raising=False)


@pytest.fixture(scope="module")
def features() -> Features:
    return np.random.default_rng(1).standard_normal((32, 49, 10)).astype(np.float32)


def make_candidate(folder: Path, write: Callable[[Path], Any] = SMALL) -> Candidate:
    write(folder / "model.onnx")
    (folder / "model.toml").write_text(MODEL_TOML)
    return load(folder)


def recipe(precision: str = "int8", **settings: Any) -> Recipe:
    return Recipe.model_validate({"target": "htp", "name": "this", "precision": precision, **settings})


def built(candidate: Candidate, wanted: Recipe, calibration: Features) -> Artifact:
    folder = candidate.folder / "build"
    folder.mkdir()
    target = Htp()
    target.check(candidate, wanted)
    return target.build(Job(candidate, wanted, calibration, candidate.model, folder, "key"))


def outputs(artifact: Artifact, features: Features) -> Logits:
    return Htp().board(artifact.recipe).run(artifact, features, lambda _: None)


def float_logits(candidate: Candidate, features: Features) -> Logits:
    session = onnxruntime.InferenceSession(candidate.model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"features": window[None, None]})[0] for window in features])


def altered(monkeypatch: pytest.MonkeyPatch, folder: Path, old: str, new: str) -> None:
    """Builds by a copy of the worker with one fault in it: the toolchain itself has no switch for these."""
    text = target_module.WORKER.read_text()
    assert old in text
    worker = folder / "htp_worker.py"
    worker.write_text(text.replace(old, new))
    monkeypatch.setattr(target_module, "WORKER", worker)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (recipe("fp32"), 'set precision = "fp16" or "int8"'),
        (recipe("fp16", soc="QCS6490"), r"QCS6490 \(v68\) has no exact float.*or a soc with a v73"),
        (recipe("fp16", soc="SM8450"), r"SM8450 \(v69\) has no exact float"),
        (recipe("fp16", activation_bits=16), "activation_bits is of int8; remove it"),
        (recipe(calibration={"algorithm": "entropy"}), "no entropy calibration.*one of minmax, percentile"),
        (recipe(soc="21"), r"Hexagon V66.*target = \"rb5\""),
        (recipe(soc="SM8150"), "knows no HTP"),
        (recipe(soc="SM8551"), "did you mean 'SM8550'"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_remedy(tmp_path: Path, wanted: Recipe, reason: str) -> None:
    with pytest.raises(Unsupported, match=f"small htp/this: .*{reason}"):
        Htp().check(make_candidate(tmp_path), wanted)


def test_it_honours_chip_and_activation_bits_and_nothing_of_other_targets(tmp_path: Path) -> None:
    candidate = make_candidate(tmp_path)
    refuse_strange(Htp(), candidate, recipe(soc="SM8650", activation_bits=16))
    with pytest.raises(Unsupported, match=r"op_target = .* means nothing to htp"):
        refuse_strange(Htp(), candidate, recipe(op_target={"a": "cpu"}))


def test_without_its_toolchain_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "none"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(Unsupported, match="Run: voxgate toolchain install htp"):
        Htp().check(make_candidate(tmp_path), recipe())
    compiles, emulates, board = Htp().abilities()
    assert (compiles.ready, emulates.ready, board.ready) == (False, False, False)
    assert compiles.remedy == emulates.remedy == "voxgate toolchain install htp"


def test_off_x86_64_nothing_is_called_an_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(Unsupported, match="driven on x86_64 only, this is aarch64"):
        Htp().check(make_candidate(tmp_path), recipe())
    assert [ability.ready for ability in Htp().abilities()] == [False] * 3
    monkeypatch.setattr(toolchain, "install", lambda *_: pytest.fail("there is nothing to install"))
    Htp().provision(make_candidate(tmp_path), print)


def test_versions_are_known_without_the_toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "none"))
    assert Htp().tools(recipe())["onnxruntime-qnn"] == "2.7.0"


def test_its_float_path_is_fp16_on_the_same_chip() -> None:
    wanted = recipe(soc="SM8650", activation_bits=16)
    own = Htp().float_recipe(wanted)
    assert (own.precision, own.soc, own.activation_bits) == ("fp16", "SM8650", 8)
    assert own.id != wanted.id


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A toolchain that leaves what a recorded build left, or what a test tells it to, instead of building."""
    recorded = DATA / "ds_cnn_a8w8"
    files = {name: (recorded / name).read_bytes() for name in ("qnn-log.jsonl", "graph-0.json", "result.json")}
    files |= {"context.onnx": b"context", "context_qnn.bin": (DATA / "context-options.txt").read_bytes()}

    def run_worker(tools: object, worker: Path, request: dict[str, Any], folder: Path, **_: Any) -> dict[str, Any]:
        if worker == hosted.WORKER:
            shutil.copyfile(DATA / "hub-profile.json", folder / "profile.json")
            return {"attributes": ["hexagon:v73"]}
        (folder / "request.json").write_text(json.dumps(request))
        if "inputs" in request:
            np.save(folder / request["outputs"], np.zeros((len(np.load(folder / request["inputs"])), 12), np.float32))
            return json.loads(files.get("run.json", b'{"assigned": [{"provider": "QNNExecutionProvider"}]}'))
        for name, content in files.items():
            (folder / name).write_bytes(content)
        answer: dict[str, Any] = json.loads(files["result.json"])
        return answer

    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(toolchain, "run_worker", run_worker)
    monkeypatch.setattr(toolchain, "needed", lambda name: None)
    return files


def test_what_was_compiled_is_read_back(tmp_path: Path, features: Features, said: dict[str, bytes]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    assert artifact.placement.fallbacks == ()
    assert artifact.sizes.weights == 2000
    assert artifact.sizes.file == len(said["context_qnn.bin"])
    assert artifact.evidence is Evidence.EMULATOR
    assert not (artifact.file.parent / "calibration.npy").exists()


def test_a_binary_for_another_chip_is_an_error(tmp_path: Path, features: Features, said: dict[str, bytes]) -> None:
    with pytest.raises(ToolchainError, match=r"asked for QCS6490 .* but the context binary is for SM8550"):
        built(make_candidate(tmp_path), recipe(soc="QCS6490"), features)


@pytest.mark.parametrize("lost", ["context_qnn.bin", "qnn-log.jsonl", "graph-0.json"])
def test_a_build_that_left_too_little_is_an_error(
    lost: str, tmp_path: Path, features: Features, said: dict[str, bytes]
) -> None:
    del said[lost]
    with pytest.raises(ToolchainError, match="small htp/this: "):
        built(make_candidate(tmp_path), recipe(), features)


def test_calibration_must_be_there_and_finite(tmp_path: Path, features: Features, said: dict[str, bytes]) -> None:
    candidate = make_candidate(tmp_path)
    with pytest.raises(ToolchainError, match="no calibration windows"):
        built(candidate, recipe(), features[:0])
    shutil.rmtree(tmp_path / "build")
    with pytest.raises(ToolchainError, match="1 of 1 calibration windows hold NaN"):
        built(candidate, recipe(), np.full_like(features[:1], np.nan))


def test_a_window_that_is_not_finite_is_refused(tmp_path: Path, features: Features, said: dict[str, bytes]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    with pytest.raises(CandidateError, match="1 of 1 feature windows hold NaN"):
        outputs(artifact, np.full_like(features[:1], np.nan))


def test_what_is_emulated_must_be_what_was_judged(tmp_path: Path, features: Features, said: dict[str, bytes]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    assert outputs(artifact, features).shape == (32, 12)
    assert outputs(artifact, features[:0]).shape == (0, 12)
    said["run.json"] = b'{"assigned": [{"provider": "CPUExecutionProvider"}]}'
    with pytest.raises(ToolchainError, match="0 of 1 compiled partitions ran on QNN"):
        outputs(artifact, features)


def test_an_artifact_whose_files_are_gone(tmp_path: Path, features: Features, said: dict[str, bytes]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    (artifact.file.parent / "context.onnx").unlink()
    with pytest.raises(ToolchainError, match=r"is unusable .* remove that folder and run again"):
        outputs(artifact, features)


def test_the_emulator_has_no_clock_and_names_its_hexagon(tmp_path: Path, features: Features, said: Any) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    board = Htp().board(artifact.recipe)
    assert (board.name, board.evidence) == ("HTP emulator v73", Evidence.EMULATOR)
    assert Htp().board(recipe(soc="93")).name == "HTP emulator v68"
    with pytest.raises(NotMeasured, match=r"needs a board; HTP emulator v73 is an emulator"):
        board.open(artifact)
    with pytest.raises(NotMeasured, match="needs a board"):
        board.rss(artifact, features[0])


def test_a_hosted_device_gives_the_placement_and_evidence_of_a_board(
    tmp_path: Path, features: Features, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(hosted.CHOICE, "Samsung Galaxy S23 (Family)")
    monkeypatch.setenv(hosted.CONFIG, str(tmp_path / "none"))
    monkeypatch.delenv(hosted.TOKEN, raising=False)
    with pytest.raises(Unsupported, match="there is no token of Qualcomm AI Hub"):
        Htp().check(make_candidate(tmp_path), recipe())
    monkeypatch.setenv(hosted.TOKEN, "secret")
    artifact = built(make_candidate(tmp_path), recipe(), features)
    assert artifact.evidence is artifact.placement.evidence is Evidence.BOARD
    assert artifact.placement.source.startswith("profile of Samsung Galaxy S23 (Family), hosted; types by QNN 2.51")
    assert {(node.dtype, node.where) for node in artifact.placement.nodes} == {("uint8", "npu")}
    times = Htp().board(artifact.recipe).times(artifact)
    assert times is not None
    assert len(times) == 700


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
        expected = float_logits(candidate, features)
        far[name] = float(np.abs(outputs(artifact, features) - expected).max() / np.abs(expected).max())
    assert far["fp16"] < 0.002 < far["a16w8"] < far["a8w8"] < 0.1


@real
def test_a_chip_with_a_v68(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path)
    artifact = built(candidate, recipe(soc="QCS6490", calibration={"algorithm": "percentile"}), features)
    assert artifact.placement.source == "QNN 2.51 validator for QCS6490 (v68)"
    assert artifact.placement.fallbacks == ()
    expected = float_logits(candidate, features)
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
