"""The Edge TPU target: what it refuses, each step of a build, the compiler by a stand-in, onnx2tf where installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import numpy_helper

from harness.boards import coral
from harness.candidate import Candidate, load
from harness.errors import CandidateError, NotMeasured, ToolchainError, Unsupported
from harness.recipe import Recipe
from harness.targets import edgetpu, edgetpu_map, tflite_file, toolchain
from harness.targets.base import Artifact, Evidence, Features, Job
from harness.targets.edgetpu import EdgeTpu
from harness.targets.workers import edgetpu_worker
from tests.targets import small
from tests.targets.coral import LOGS, compiler
from tests.targets.models import Graph, ds_cnn, gru, insert_gelu
from tests.targets.tflite_models import tflite_of
from tests.targets.tflite_ops import compiled

converter = pytest.mark.skipif(
    toolchain.installed("edgetpu") is None,
    reason="onnx2tf is not installed here; with python3.12 on PATH, run: voxgate toolchain install edgetpu",
)


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a compiler nor a board, whatever this machine has."""
    monkeypatch.setattr(coral, "USB", tmp_path / "no-usb")
    monkeypatch.setattr(coral, "PCIE", tmp_path / "no-apex")
    monkeypatch.setattr(edgetpu, "COMPILER", "edgetpu_compiler_of_nobody")


@pytest.fixture(scope="module")
def features() -> Features:
    return small.coloured()


def make_candidate(folder: Path, tail: str = "") -> Candidate:
    def write(path: Path) -> None:
        tflite_of(ds_cnn(path, channels=16, blocks=2), folder / "model.tflite", tail=tail)

    return small.candidate(folder, "edgetpu", write, files=small.TFLITE)


def bare(folder: Path, write: Callable[[Path], Any] = lambda path: ds_cnn(path, channels=16, blocks=2)) -> Candidate:
    """A candidate that brings an ONNX alone."""
    return small.candidate(folder, "edgetpu", write)


def recipe(precision: str = "int8", **settings: Any) -> Recipe:
    return Recipe.model_validate({"target": "edgetpu", "name": "this", "precision": precision, **settings})


def built(candidate: Candidate, wanted: Recipe, calibration: Features) -> Artifact:
    return small.built(EdgeTpu(), candidate, wanted, calibration, f"build-{wanted.precision}")


@pytest.mark.parametrize(
    ("wanted", "remedy"),
    [
        (recipe("fp16"), 'set precision = "int8"'),
        (recipe(calibration={"algorithm": "entropy"}), 'Set calibration.algorithm = "minmax"'),
        (recipe(symmetric=True), "remove symmetric = true"),
    ],
    ids=["fp16", "entropy", "symmetric"],
)
def test_what_it_cannot_do_is_unsupported_with_a_remedy(wanted: Recipe, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=f"small edgetpu/this: .*{remedy}"):
        EdgeTpu().check(make_candidate(tmp_path), wanted)


def test_without_a_tflite_and_onnx2tf_both_remedies_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "none"))
    candidate = bare(tmp_path)
    with pytest.raises(
        Unsupported, match=r"voxgate toolchain install edgetpu\. Or export a float \.tflite with litert"
    ):
        EdgeTpu().check(candidate, recipe())


def test_without_python_3_12_both_remedies_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "none"))
    monkeypatch.setattr(toolchain.sys, "version_info", (3, 11))
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None)
    with pytest.raises(Unsupported, match=r"Put python3\.12 on PATH.* Or export a float \.tflite with litert-torch"):
        EdgeTpu().provision(bare(tmp_path), lambda _: None)


def test_a_candidate_with_a_tflite_needs_no_toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "none"))
    candidate = make_candidate(tmp_path)
    EdgeTpu().provision(candidate, pytest.fail)
    EdgeTpu().check(candidate, recipe())


def test_int8_maps_whole_and_is_close_to_float(tmp_path: Path, features: Features) -> None:
    candidate, said = make_candidate(tmp_path), []
    folder = tmp_path / "build"
    folder.mkdir()
    job = Job(candidate, recipe(), features, candidate.model, folder, "key", said.append)
    artifact = EdgeTpu().build(job)
    assert {(node.where, node.dtype) for node in artifact.placement.nodes} == {("edgetpu", "int8")}
    assert (artifact.placement.evidence, artifact.evidence) == (Evidence.STATIC, Evidence.HOST)
    assert artifact.placement.source == "Coral's operator rules, static"
    assert {"ai-edge-litert", "litert-quantizer"} == set(artifact.tools)
    assert artifact.sizes.weights
    assert artifact.sizes.weights < artifact.sizes.file
    assert artifact.sizes.activations == 2 * 25 * 5 * 16
    assert "int8 agrees with it on" in said[-1]
    scales = {op.kind: op.inputs[1].scales for op in tflite_file.read(artifact.file).ops if op.inputs[1] is not None}
    assert (scales["CONV_2D"], scales["FULLY_CONNECTED"]) == (16, 1)
    session = onnxruntime.InferenceSession(candidate.model, providers=["CPUExecutionProvider"])
    exact = np.concatenate([session.run(None, {"features": window[None, None]})[0] for window in features])
    near = EdgeTpu().board(artifact.recipe).run(artifact, features, lambda _: None)
    error = np.sqrt(np.mean(np.square(near - exact)))
    assert 0 < error < 0.1 * exact.std(axis=0).mean()


def test_the_host_tells_no_time_of_the_edge_tpu(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    board = EdgeTpu().board(artifact.recipe)
    with pytest.raises(NotMeasured, match="latency of small on edgetpu/this: needs a board"):
        board.open(artifact)
    with pytest.raises(NotMeasured, match="memory of small on edgetpu/this: needs a board"):
        board.rss(artifact, features[0])


def test_a_gelu_takes_everything_after_it_to_the_cpu(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path, tail="GELU")
    model = onnx.load(candidate.model)  # the same function to the parity check
    insert_gelu(model, next(node.input[0] for node in model.graph.node if node.op_type == "GlobalAveragePool"))
    candidate.model.write_bytes(model.SerializeToString())
    artifact = built(candidate, recipe(), features)
    assert [(node.op, node.where) for node in artifact.placement.fallbacks] == [
        ("GELU", "cpu"),
        ("MEAN", "cpu"),
        ("FULLY_CONNECTED", "cpu"),
    ]
    assert artifact.placement.fallbacks[-1].reason.startswith("after GELU tail, which the Edge TPU does not support")


def test_a_float_recipe_is_all_on_the_cpu_as_not_quantized(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path), recipe("fp32"), features[:0])
    assert {(node.where, node.dtype) for node in artifact.placement.nodes} == {("cpu", "float32")}
    assert all(node.reason.startswith("Model not quantized") for node in artifact.placement.fallbacks)


def other_axes(folder: Path) -> Candidate:
    """A model of square windows whose .tflite was made as if frames were bins."""

    def write(path: Path) -> None:
        turned = onnx.load(ds_cnn(path, channels=16, blocks=2))
        for tensor in turned.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.ndim == 4:
                swapped = np.ascontiguousarray(values.transpose(0, 1, 3, 2))
                tensor.CopyFrom(numpy_helper.from_array(swapped, tensor.name))
        (folder / "turned.onnx").write_bytes(turned.SerializeToString())
        tflite_of(folder / "turned.onnx", folder / "model.tflite")

    return small.candidate(folder, "edgetpu", write, files=small.TFLITE)


def test_swapped_axes_are_the_conversions_fault_not_quantizations(tmp_path: Path, features: Features) -> None:
    with pytest.raises(CandidateError, match=r"small edgetpu/this: the conversion is at fault, not quantization"):
        built(other_axes(tmp_path), recipe(), features)


def test_axes_that_agree_when_swapped_are_named_so(tmp_path: Path) -> None:
    """Square windows: no shape tells frames from bins, parity does."""
    windows = np.random.default_rng(2).standard_normal((8, 6, 6)).astype(np.float32)
    straight, turned = (flat(tmp_path / f"{name}.onnx", name == "turned") for name in ("straight", "turned"))
    exact = edgetpu_worker.outputs(turned, windows)
    with pytest.raises(CandidateError, match=r"turned\.onnx differs .* agrees when frames and bins are swapped"):
        edgetpu_worker.converted(straight, turned, windows, exact, 1e-3)
    assert edgetpu_worker.converted(straight, straight, windows, edgetpu_worker.outputs(straight, windows), 1e-3) == 0


def flat(path: Path, turned: bool) -> Path:
    """A linear layer over square windows, which ``turned`` reads with frames and bins swapped."""
    graph = Graph()
    if turned:
        graph.node("Transpose", ["features"], "turn", perm=[0, 1, 3, 2])
    graph.node("Flatten", ["turn" if turned else "features"], "flat")
    graph.linear("flat", 36)
    return graph.save(path, shape=(1, 1, 6, 6))


def test_int8_that_has_nothing_of_float_is_quantizations_fault(tmp_path: Path, features: Features) -> None:
    """A label whose logit is constant but huge: with one scale for all logits, the others round to nothing."""
    candidate = make_candidate(tmp_path)
    model = onnx.load(candidate.model)
    for tensor in model.graph.initializer:
        if tensor.name == "fc.b":
            values = numpy_helper.to_array(tensor).copy()
            values[-1] = 1e3
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    candidate.model.write_bytes(model.SerializeToString())
    tflite_of(candidate.model, tmp_path / "model.tflite")
    with pytest.raises(CandidateError, match=r"quantization is at fault, not the conversion: .* keep their decision"):
        built(candidate, recipe(), features)


def test_calibration_must_be_there(tmp_path: Path, features: Features) -> None:
    with pytest.raises(ToolchainError, match="has no calibration windows"):
        built(make_candidate(tmp_path), recipe(), features[:0])


def test_calibration_must_be_finite(tmp_path: Path, features: Features) -> None:
    spoiled = np.where(np.arange(48)[:, None, None] == 7, np.nan, features)
    with pytest.raises(ToolchainError, match="1 of 48 calibration windows hold NaN"):
        built(make_candidate(tmp_path), recipe(), spoiled)


@pytest.fixture
def compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Puts a stand-in for edgetpu_compiler on PATH that replays a log of tests/data/edgetpu."""

    def put(log: str | Path, made: Path | None = None, code: int = 0, **more: Any) -> None:
        path = log if isinstance(log, Path) else LOGS / f"{log}.log"
        folder = compiler(tmp_path / "bin", path, made, code, **more)
        monkeypatch.setattr(edgetpu, "COMPILER", "edgetpu_compiler")
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        edgetpu.compiler_version.cache_clear()

    return put


@pytest.fixture
def quantized(tmp_path: Path, features: Features) -> Path:
    """An int8 model of the same operators as the one that is built."""
    (tmp_path / "reference").mkdir()
    return built(make_candidate(tmp_path / "reference"), recipe(), features).file


def test_with_the_compiler_its_table_tells(
    tmp_path: Path, features: Features, quantized: Path, compiles: Callable[..., None]
) -> None:
    compiles("whole", compiled(quantized, tmp_path / "stand-in.tflite", 7))
    artifact = built(make_candidate(tmp_path), recipe(), features)
    assert artifact.placement.source == "edgetpu_compiler 16.0.384591198"
    assert artifact.placement.evidence is Evidence.STATIC
    assert not artifact.placement.fallbacks
    assert artifact.tools["edgetpu_compiler"] == "16.0.384591198"
    assert artifact.sizes.weights == round(4.25 * 1024)
    assert artifact.file.with_name("model_edgetpu.tflite").is_file()
    held = EdgeTpu().board(recipe()).device_memory(artifact)
    assert (held.bytes, held.evidence, held.source) == (round(4.25 * 1024), Evidence.STATIC, artifact.placement.source)
    assert dict(held.parts) == {"parameters on the chip": round(4.25 * 1024), "parameters streamed": 0}
    assert artifact.evidence is Evidence.HOST, "its numbers still come from the CPU's kernels"


def test_a_partial_mapping_exits_with_0_and_is_found(
    tmp_path: Path, features: Features, quantized: Path, compiles: Callable[..., None]
) -> None:
    text = (LOGS / "whole.log").read_text()
    for kind, status in (
        ("MEAN  ", "Operation not supported"),
        ("FULLY_CONNECTED  ", "More than one subgraph is not supported"),
    ):
        line = next(line for line in text.splitlines() if line.startswith(kind))
        text = text.replace(line, line.replace("Mapped to Edge TPU", status))
    log = tmp_path / "partly.log"
    log.write_text(text)
    compiles(log, compiled(quantized, tmp_path / "stand-in.tflite", 5))
    found = {node.op: node.reason for node in built(make_candidate(tmp_path), recipe(), features).placement.fallbacks}
    assert found["MEAN"].startswith('the compiler says "Operation not supported"')
    assert "everything after that runs on the CPU" in found["FULLY_CONNECTED"]


def test_parameters_that_are_streamed_are_named(
    tmp_path: Path, features: Features, quantized: Path, compiles: Callable[..., None]
) -> None:
    compiles("streamed", compiled(quantized, tmp_path / "stand-in.tflite", 7))
    artifact = built(make_candidate(tmp_path), recipe(), features)
    (found,) = artifact.placement.fallbacks
    assert (found.op, found.where) == ("PARAMETERS", "off-chip")
    assert artifact.sizes.weights == round(6.89 * 2**20) + round(1.5 * 2**20)


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        ("float", 1, r"made nothing \(exit code 1\): \"Model not quantized\""),
        ("silent", -11, "crashed with SIGSEGV"),
        ("internal", 0, "Internal compiler error"),
    ],
)
def test_a_compiler_that_fails_is_a_clear_error(
    log: str, code: int, words: str, tmp_path: Path, features: Features, compiles: Callable[..., None]
) -> None:
    compiles(log, None, code)
    with pytest.raises(ToolchainError, match=f"small edgetpu/this: .*edgetpu_compiler .*{words}"):
        built(make_candidate(tmp_path), recipe(), features)


@pytest.mark.parametrize("part", [0.5, 0.95], ids=["no table", "cut table"])
def test_success_without_a_whole_table_is_an_error(
    part: float, tmp_path: Path, features: Features, quantized: Path, compiles: Callable[..., None]
) -> None:
    text = (LOGS / "whole.log").read_text().partition("Compilation child")[0]
    log = tmp_path / "cut.log"
    log.write_text(text[: int(part * len(text))])
    compiles(log, compiled(quantized, tmp_path / "stand-in.tflite", 7))
    with pytest.raises(ToolchainError, match="the table of edgetpu_compiler cannot be trusted"):
        built(make_candidate(tmp_path), recipe(), features)


def test_a_table_without_a_compiled_model_is_an_error(
    tmp_path: Path, features: Features, compiles: Callable[..., None]
) -> None:
    compiles("whole")
    with pytest.raises(ToolchainError, match="made nothing"):
        built(make_candidate(tmp_path), recipe(), features)


def test_a_coral_device_is_another_build_with_other_evidence(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch, compiles: Callable[..., None]
) -> None:
    here = EdgeTpu().settings()
    monkeypatch.setattr(coral, "lacks", lambda: "")
    assert EdgeTpu().settings() != here, "else a cached artifact would say host of a board's outputs"
    assert built(make_candidate(tmp_path), recipe(), features).evidence is Evidence.BOARD
    board = EdgeTpu().abilities()[1]
    assert (board.ready, "on PATH makes what it runs" in board.detail) == (False, True)
    compiles("whole")
    assert EdgeTpu().abilities()[1].ready


def test_abilities_name_what_is_here_and_what_is_not(compiles: Callable[..., None]) -> None:
    compile_, board = EdgeTpu().abilities()
    assert (compile_.what, compile_.ready) == ("compile", True)
    assert "no edgetpu_compiler" in compile_.detail
    assert (board.what, board.ready) == ("board", False)
    assert "no Coral device" in board.detail
    assert "VOXGATE_EDGETPU_PYTHON" in board.remedy
    compiles("whole")
    assert "edgetpu_compiler 16.0.384591198" in EdgeTpu().abilities()[0].detail


def test_parameters_beyond_the_chip_are_named_by_the_rules_too(tmp_path: Path, features: Features) -> None:
    def write(path: Path) -> None:
        tflite_of(ds_cnn(path, channels=2048, blocks=2), tmp_path / "model.tflite")

    wide = small.candidate(tmp_path, "edgetpu", write, files=small.TFLITE)
    artifact = built(wide, recipe(), features[:4])
    (found,) = artifact.placement.fallbacks
    assert (found.op, found.where) == ("PARAMETERS", "off-chip")
    assert artifact.sizes.weights
    assert artifact.sizes.weights > edgetpu_map.ON_CHIP
    content = artifact.file.read_bytes()
    stored = schema.Model.GetRootAs(content)
    assert all(stored.Buffers(i).Offset() == 0 for i in range(stored.BuffersLength())), "old runtimes read none behind"


@converter
def test_an_onnx_alone_is_converted_and_agrees(tmp_path: Path, features: Features) -> None:
    before = (bare(tmp_path).folder / "model.onnx").read_bytes()
    artifact = built(load(tmp_path), recipe(), features)
    assert not artifact.placement.fallbacks
    assert artifact.tools["onnx2tf"] == "2.6.9"
    assert (tmp_path / "model.onnx").read_bytes() == before, "onnx2tf writes to what it is given"
    steps = json.loads((artifact.file.parent / "result.json").read_text())["steps"]
    assert steps["parity"] < 1e-4
    assert steps["same"] >= 46


@converter
def test_an_input_that_the_converter_turned_is_told_by_its_shape(tmp_path: Path, features: Features) -> None:
    """[1, frames, bins, 1] is read as NCHW by onnx2tf, which makes it [1, bins, 1, frames]."""
    artifact = built(bare(tmp_path, last_axis_one), recipe(), features)
    first = tflite_file.read(artifact.file).ops[0].inputs[0]
    assert first is not None
    assert first.shape == (1, 10, 1, 49)
    steps = json.loads((artifact.file.parent / "result.json").read_text())["steps"]
    assert steps["parity"] < 1e-4


def last_axis_one(path: Path) -> None:
    """A linear layer that takes [1, frames, bins, 1]."""
    graph = Graph()
    graph.node("Flatten", ["features"], "flat")
    graph.linear("flat", 490)
    graph.save(path, shape=(1, 49, 10, 1))


@converter
def test_a_gru_that_cannot_be_quantized_is_named_with_its_products(tmp_path: Path, features: Features) -> None:
    with pytest.raises(
        ToolchainError, match=r"cannot quantize float\.tflite.* does not support: BATCH_MATMUL gru_.*unrolls"
    ):
        built(bare(tmp_path, lambda path: gru(path, hidden=8)), recipe(), features[:8])


@converter
def test_an_operator_that_no_runtime_has_is_a_clear_error(tmp_path: Path, features: Features) -> None:
    candidate = bare(tmp_path, lambda path: ds_cnn(path, channels=16, blocks=2, tail="Det"))
    with pytest.raises(ToolchainError, match=r"small edgetpu/this: .*unresolved custom op: ONNX_DET"):
        built(candidate, recipe(), features)


@converter
def test_a_model_that_onnx2tf_cannot_read_is_a_clear_error(tmp_path: Path, features: Features) -> None:
    candidate = bare(tmp_path)
    candidate.model.write_bytes(candidate.model.read_bytes()[:2000])
    with pytest.raises(ToolchainError, match=r"small edgetpu/this: onnx2tf_worker .*Or export a float \.tflite"):
        built(candidate, recipe(), features)
