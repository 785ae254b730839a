"""The Edge TPU target: what it refuses, each step of a build, the compiler by a stand-in, onnx2tf where installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from harness.boards import coral
from harness.candidate import Candidate, Recipe, load
from harness.errors import NotMeasured, ToolchainError, Unsupported
from harness.targets import edgetpu, edgetpu_map, tflite_file, toolchain
from harness.targets.base import Artifact, Evidence, Features, Job
from harness.targets.edgetpu import EdgeTpu
from tests.targets.coral import LOGS, compiler
from tests.targets.models import ds_cnn, gru
from tests.targets.tflite_models import tflite_of
from tests.targets.tflite_ops import compiled

LABELS = [f"word{i}" for i in range(12)]
MODEL_TOML = f"""
[candidate]
name = "small"
task = "keyword"
labels = {LABELS}
background = []
corpus = "none"
tflite = "model.tflite"
[frontend]
kind = "mfcc"
frame_length_ms = 40.0
[[recipe]]
target = "edgetpu"
name = "int8"
precision = "int8"
"""
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
    """Windows of differing loudness and colour, so that outputs depend on them."""
    random = np.random.default_rng(1)
    loudness = random.lognormal(0.5, 1, (48, 1, 1))
    colour = 3 * random.standard_normal((48, 1, 10))
    return (random.standard_normal((48, 49, 10)) * loudness + colour).astype(np.float32)


def make_candidate(folder: Path, tail: str = "", **options: Any) -> Candidate:
    model = ds_cnn(folder / "model.onnx", channels=16, blocks=2)
    tflite_of(model, folder / "model.tflite", tail=tail)
    (folder / "model.toml").write_text(MODEL_TOML)
    return load(folder)


def bare(folder: Path, write: Callable[[Path], Any] = lambda path: ds_cnn(path, channels=16, blocks=2)) -> Candidate:
    """A candidate that brings an ONNX alone."""
    write(folder / "model.onnx")
    (folder / "model.toml").write_text(MODEL_TOML.replace('tflite = "model.tflite"\n', ""))
    return load(folder)


def recipe(precision: str = "int8", **settings: Any) -> Recipe:
    return Recipe.model_validate({"target": "edgetpu", "name": "this", "precision": precision, **settings})


def built(candidate: Candidate, wanted: Recipe, calibration: Features, model: Path | None = None) -> Artifact:
    folder = candidate.folder / f"build-{wanted.precision}"
    folder.mkdir()
    EdgeTpu().check(candidate, wanted)
    return EdgeTpu().build(Job(candidate, wanted, calibration, model or candidate.model, folder, "key"))


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
    with pytest.raises(NotMeasured, match="latency of small on edgetpu/this: needs a board.*libedgetpu"):
        board.open(artifact)
    with pytest.raises(NotMeasured, match="memory of small on edgetpu/this: needs a board"):
        board.rss(artifact, features[0])


def test_a_gelu_takes_everything_after_it_to_the_cpu(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path, tail="GELU")
    gelu = tmp_path / "gelu.onnx"  # the same function to the parity check
    ds_cnn_with_gelu(candidate.model, gelu)
    artifact = built(candidate, recipe(), features, gelu)
    assert [(node.op, node.where) for node in artifact.placement.fallbacks] == [
        ("GELU", "cpu"),
        ("MEAN", "cpu"),
        ("FULLY_CONNECTED", "cpu"),
    ]
    assert artifact.placement.fallbacks[-1].reason.startswith("after GELU tail, which the Edge TPU does not support")


def ds_cnn_with_gelu(source: Path, path: Path) -> None:
    """A GELU before the pooling, spelled in the operators that opset 17 has."""
    model = onnx.load(source)
    nodes, pool = list(model.graph.node), next(n for n in model.graph.node if n.op_type == "GlobalAveragePool")
    x = pool.input[0]
    for name, value in (("root", 2**-0.5), ("one", 1.0), ("half", 0.5)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    spelled = [
        ("Mul", [x, "root"], "scaled"),
        ("Erf", ["scaled"], "erf"),
        ("Add", ["erf", "one"], "raised"),
        ("Mul", [x, "raised"], "gated"),
        ("Mul", ["gated", "half"], "gelu"),
    ]
    place = nodes.index(pool)
    made = [onnx.helper.make_node(op, inputs, [output], name=output) for op, inputs, output in spelled]
    pool.input[0] = "gelu"
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:place], *made, *nodes[place:]])
    path.write_bytes(model.SerializeToString())


def test_a_float_recipe_is_all_on_the_cpu_as_not_quantized(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path), recipe("fp32"), features[:0])
    assert {(node.where, node.dtype) for node in artifact.placement.nodes} == {("cpu", "float32")}
    assert all(node.reason.startswith("Model not quantized") for node in artifact.placement.fallbacks)


def other_axes(folder: Path) -> Candidate:
    """A model of square windows whose .tflite was made as if frames were bins."""
    model = ds_cnn(folder / "model.onnx", channels=16, blocks=2)
    turned = onnx.load(model)
    for tensor in turned.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim == 4:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values.transpose(0, 1, 3, 2)), tensor.name))
    (folder / "turned.onnx").write_bytes(turned.SerializeToString())
    tflite_of(folder / "turned.onnx", folder / "model.tflite")
    (folder / "model.toml").write_text(MODEL_TOML)
    return load(folder)


def test_swapped_axes_are_the_conversions_fault_not_quantizations(tmp_path: Path, features: Features) -> None:
    with pytest.raises(ToolchainError, match=r"small edgetpu/this: .*the conversion is at fault, not quantization"):
        built(other_axes(tmp_path), recipe(), features)


def test_int8_that_has_nothing_of_float_is_quantizations_fault(tmp_path: Path, features: Features) -> None:
    """One weight so large that per tensor, as dense layers must be, all others round to nothing."""
    candidate = make_candidate(tmp_path)
    model = onnx.load(candidate.model)
    for tensor in model.graph.initializer:
        if tensor.name == "fc.w":
            values = numpy_helper.to_array(tensor).copy()
            values[-1] = 0
            values[-1, 0] = 1e4
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        if tensor.name == "depth0.w":  # and nothing to multiply it with
            values = numpy_helper.to_array(tensor).copy()
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        if tensor.name in ("point1.w", "point1.b"):
            values = numpy_helper.to_array(tensor).copy()
            values[0] = 0
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    candidate.model.write_bytes(model.SerializeToString())
    tflite_of(candidate.model, tmp_path / "model.tflite")
    with pytest.raises(ToolchainError, match="quantization is at fault, not the conversion: .* keep their decision"):
        built(candidate, recipe(), features)


def test_calibration_must_be_there_and_finite(tmp_path: Path, features: Features) -> None:
    with pytest.raises(ToolchainError, match="has no calibration windows"):
        built(make_candidate(tmp_path), recipe(), features[:0])
    spoiled = np.where(np.arange(48)[:, None, None] == 7, np.nan, features)
    with pytest.raises(ToolchainError, match="1 of 48 calibration windows hold NaN"):
        built(replace(load(tmp_path), folder=(tmp_path / "again")), recipe(), spoiled) if (
            tmp_path / "again"
        ).mkdir() else built_again(tmp_path, spoiled)


def built_again(folder: Path, calibration: Features) -> Artifact:
    (folder / "again" / "x").mkdir(parents=True)
    return built(make_candidate(folder / "again" / "x"), recipe(), calibration)


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
        ("newer", 1, "Didn't find op for builtin opcode 'QUANTIZE' version '3'"),
        ("internal", 1, "Internal compiler error. Aborting"),
        ("silent", 1, "Compilation failed"),
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


def test_abilities_name_what_is_here_and_what_is_not(compiles: Callable[..., None]) -> None:
    compile_, board = EdgeTpu().abilities()
    assert (compile_.what, compile_.ready) == ("compile", True)
    assert "no edgetpu_compiler" in compile_.detail
    assert (board.what, board.ready) == ("board", False)
    assert "no Coral device" in board.detail
    assert "VOXGATE_EDGETPU_PYTHON" in board.remedy
    compiles("whole")
    assert "edgetpu_compiler 16.0.384591198" in EdgeTpu().abilities()[0].detail


def test_parameters_beyond_the_chip_are_named_by_the_rules_too(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = ds_cnn(tmp_path / "model.onnx", channels=2048, blocks=2)
    tflite_of(wide, tmp_path / "model.tflite")
    (tmp_path / "model.toml").write_text(MODEL_TOML)
    artifact = built(load(tmp_path), recipe(), features[:4])
    (found,) = artifact.placement.fallbacks
    assert (found.op, found.where) == ("PARAMETERS", "off-chip")
    assert artifact.sizes.weights
    assert artifact.sizes.weights > edgetpu_map.ON_CHIP


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
    """[1, frames, bins, 1] is read as NCHW by onnx2tf, which gives [1, bins, 1, frames]."""
    candidate = bare(tmp_path, lambda path: last_axis_one(path))
    artifact = built(candidate, recipe(), features)
    shape = tflite_file.read(artifact.file).ops[0].inputs[0]
    assert shape is not None
    assert artifact.evidence is Evidence.HOST


def last_axis_one(path: Path) -> None:
    """The network behind a Transpose from [1, frames, bins, 1]."""
    model = onnx.load(ds_cnn(path, channels=16, blocks=2))
    model.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("wide", onnx.TensorProto.FLOAT, [1, 49, 10, 1]))
    turn = onnx.helper.make_node("Transpose", ["wide"], ["features"], name="turn", perm=[0, 3, 1, 2])
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([turn, *nodes])
    path.write_bytes(model.SerializeToString())


@converter
def test_a_gru_is_caught_at_its_first_product(tmp_path: Path, features: Features) -> None:
    artifact = built(bare(tmp_path, lambda path: gru(path, hidden=8)), recipe(), features[:8])
    found = artifact.placement.fallbacks
    assert "BATCH_MATMUL" in {node.op for node in found}
    assert any("after " in node.reason and "everything after it runs on the CPU" in node.reason for node in found)


@converter
def test_an_operator_unknown_to_onnx2tf_is_a_clear_error(tmp_path: Path, features: Features) -> None:
    candidate = bare(tmp_path, lambda path: ds_cnn(path, channels=16, blocks=2, tail="Det"))
    with pytest.raises(ToolchainError, match=r"small edgetpu/this: onnx2tf_worker .*Or export a float \.tflite"):
        built(candidate, recipe(), features)
