"""What training left beside a candidate is used only where it belongs to it, and a build says that it did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.build import build, refuse_strange
from harness.cache import Cache, digest
from harness.candidate import Candidate, load
from harness.errors import CandidateError, Unsupported
from harness.quantize import trained
from harness.recipe import Recipe
from harness.targets.base import Artifact, Features, Target
from harness.targets.edgetpu import EdgeTpu
from harness.targets.host import Host
from harness.targets.htp import Htp
from harness.targets.jetson import Jetson
from harness.targets.rb5 import Rb5
from harness.targets.rk3588 import Rk3588
from harness.targets.state_scales import state_scales
from harness.targets.toolchain import installed
from tests.house import SHIPPED, edit, make_house
from tests.qat import QAT, lay_trained, make_computer, with_tflite

RANDOM = np.random.default_rng(0)
WINDOWS: Features = RANDOM.normal(0, 1.5, (24, 49, 40)).astype(np.float32)
NONE: Features = np.zeros((0, 49, 40), np.float32)
HOST = QAT.format("host", 'runtime = "onnxruntime"\n')


@pytest.fixture
def model(tmp_path: Path) -> Path:
    house = make_house(tmp_path / "house", accents=("de",), speakers=1, recipes=HOST)
    with_tflite(house / "models" / "small")
    return house / "models" / "small"


def recipe(target: str, method: str = "qat", **more: object) -> Recipe:
    return Recipe.model_validate({"target": target, "name": method, "precision": "int8", "method": method, **more})


def built(target: Target, candidate: Candidate, asked: Recipe, cache: Path) -> Artifact:
    windows = WINDOWS if asked.calibrated else NONE
    return build(target, candidate, asked, windows, Cache(cache), lambda _: None)[0]


def sqnr(artifact: Artifact, target: Target, candidate: Candidate, cache: Path) -> float:
    """dB against the shipped float on noise: low for sound int8 too, and 0 or less for a broken one."""
    plain = built(Host(), candidate, Recipe(target="host", name="float", precision="fp32"), cache)
    wanted = Host().board(plain.recipe).run(plain, WINDOWS, lambda _: None).astype(np.float64)
    says = target.board(artifact.recipe).run(artifact, WINDOWS, lambda _: None)
    return float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - says).sum()))


def test_weights_that_were_never_trained_are_asked_for(model: Path, tmp_path: Path) -> None:
    candidate = load(model)
    with pytest.raises(Unsupported, match=r"not trained yet.*voxgate train .* --recipe host/qat --speech DIR"):
        built(Host(), candidate, recipe("host"), tmp_path / "cache")
    lay_trained(model)
    with pytest.raises(Unsupported, match="symmetric"):  # the other scheme is another training
        built(Host(), candidate, recipe("host", symmetric=True), tmp_path / "cache")


def test_training_from_other_weights_is_not_used(model: Path) -> None:
    lay_trained(model, model="f" * 32)
    with pytest.raises(CandidateError, match=r"trained from other weights than model\.onnx"):
        trained.stand_in(load(model), recipe("host"))


def test_a_changed_file_is_not_used(model: Path) -> None:
    folder = lay_trained(model)
    shutil.copyfile(SHIPPED / "model.onnx", folder / "qat.onnx")
    with pytest.raises(CandidateError, match=r"qat\.onnx is not the file"):
        trained.stand_in(load(model), recipe("host"))
    assert trained.stand_in(load(model), recipe("host", "tuned")).model == folder / "float.onnx"


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "Invalid JSON"), ('{"epoch": 3}', "did you mean 'epochs'"), ("x" * 300_000, "larger than 256 KiB")],
)
def test_a_damaged_record_is_one_paragraph(model: Path, content: str, says: str) -> None:
    (lay_trained(model) / "training.json").write_text(content)
    with pytest.raises(CandidateError, match=says):
        trained.record(load(model), recipe("host"))


def test_a_link_out_of_the_folder_is_refused(model: Path, tmp_path: Path) -> None:
    folder = lay_trained(model)
    shutil.copyfile(folder / "qat.onnx", tmp_path / "elsewhere.onnx")
    (folder / "qat.onnx").unlink()
    (folder / "qat.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(CandidateError, match="leads out of its folder"):
        _ = trained.stand_in(load(model), recipe("host")).model


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_the_host_runs_it_in_int8_and_says_how_it_was_trained(model: Path, tmp_path: Path, runtime: str) -> None:
    lay_trained(model)
    candidate, cache = load(model), tmp_path / "cache"
    artifact = built(Host(), candidate, recipe("host", runtime=runtime), cache)
    wide = {node.op for node in artifact.placement.fallbacks}
    assert wide <= {"ReduceMean"}  # onnxruntime has no int8 kernel of it
    assert artifact.tools["trained"].startswith("with int8 fake quantization (qat), 3 epochs, seed 20, rate 0.0003, by")
    assert sqnr(artifact, Host(), candidate, cache) > 6
    suffix = "onnx" if runtime == "onnxruntime" else "tflite"
    shipped = trained.place(candidate, artifact.recipe) / f"qat.{suffix}"
    assert artifact.file.read_bytes() == shipped.read_bytes()  # taken as it is
    kept = json.loads((artifact.file.parent / "artifact.json").read_text())
    assert kept["recipe"]["method"] == "qat"


def test_the_float_that_was_trained_as_long_is_quantized_as_any_other(model: Path, tmp_path: Path) -> None:
    lay_trained(model)
    candidate, cache = load(model), tmp_path / "cache"
    artifact = built(Host(), candidate, recipe("host", "tuned"), cache)
    assert artifact.tools["trained"].startswith("in float (tuned)")
    assert sqnr(artifact, Host(), candidate, cache) > 15
    plain = built(Host(), candidate, recipe("host", "ptq"), cache)
    assert "trained" not in plain.tools
    assert plain.key != artifact.key


def test_another_training_is_another_build(model: Path, tmp_path: Path) -> None:
    folder = lay_trained(model)
    candidate, cache = load(model), tmp_path / "cache"
    before = built(Host(), candidate, recipe("host"), cache)
    shutil.rmtree(folder)
    lay_trained(model, files={})
    record = json.loads((folder / "training.json").read_text())
    shutil.copyfile(SHIPPED / "model.onnx", folder / "qat.onnx")  # any other file
    record["files"] = {name: digest(folder / name) for name in record["agreement"]}
    (folder / "training.json").write_text(json.dumps(record))
    after = built(Host(), candidate, recipe("host"), cache)
    assert after.key != before.key
    assert any(node.op == "Conv" for node in after.placement.fallbacks)  # float in place of int8 is seen


def test_the_edge_tpu_takes_the_tflite(model: Path, tmp_path: Path) -> None:
    lay_trained(model)
    candidate, cache = load(model), tmp_path / "cache"
    artifact = built(EdgeTpu(), candidate, recipe("edgetpu"), cache)
    assert {node.dtype for node in artifact.placement.nodes} == {"int8"}
    assert {node.op for node in artifact.placement.fallbacks} == {"MEAN", "FULLY_CONNECTED"}  # as of the shipped model
    assert sqnr(artifact, EdgeTpu(), candidate, cache) > 6


def lacking(name: str) -> pytest.MarkDecorator:
    reason = f"the {name} toolchain is not installed here; run: voxgate toolchain install {name}"
    return pytest.mark.skipif(installed(name) is None, reason=reason)


@pytest.mark.parametrize(
    "target",
    [pytest.param(Rk3588(), id="rk3588", marks=lacking("rk3588")), pytest.param(Htp(), id="htp", marks=lacking("htp"))],
)
def test_a_compiler_takes_the_qdq_and_computes_in_int8(model: Path, tmp_path: Path, target: Target) -> None:
    lay_trained(model)
    candidate, cache = load(model), tmp_path / "cache"
    artifact = built(target, candidate, recipe(target.name), cache)
    assert not artifact.placement.fallbacks
    assert {node.dtype for node in artifact.placement.nodes if node.where == "npu"} == {"int8"}
    assert sqnr(artifact, target, candidate, cache) > 6


@pytest.fixture
def step(tmp_path: Path) -> Candidate:
    return load(make_computer(tmp_path, HOST))


STEPS: Features = np.random.default_rng(4).normal(0, 1, (300, 4, 40)).astype(np.float32)
STEPS += np.sin(np.arange(300) / 30, dtype=np.float32)[:, None, None]  # a level that wanders as a room's does


def streamed_db(artifact: Artifact, target: Target, candidate: Candidate, cache: Path) -> float:
    """dB of a stream's scores against the shipped float's; of training itself, some 15 are left."""
    plain = built(Host(), candidate, Recipe(target="host", name="float", precision="fp32"), cache)
    wanted = Host().board(plain.recipe).stream(plain, STEPS, lambda _: None)
    says = target.board(artifact.recipe).stream(artifact, STEPS, lambda _: None)
    return float(10 * np.log10(np.var(wanted) / np.square(wanted - says).mean()))


@pytest.mark.parametrize(("runtime", "wide"), [("onnxruntime", {"Tanh", "Sub"}), ("litert", set())])
def test_the_host_streams_a_trained_step_in_int8(step: Candidate, tmp_path: Path, runtime: str, wide: set[str]) -> None:
    artifact = built(Host(), step, recipe("host", runtime=runtime), tmp_path / "cache")
    assert {node.op for node in artifact.placement.fallbacks} == wide  # the same that PTQ leaves
    states = state_scales(artifact)
    assert [state.name for state in states] == ["context", "hidden"]
    assert all(state.agree and state.read is not None for state in states)
    assert streamed_db(artifact, Host(), step, tmp_path / "cache") > 8


@lacking("rk3588")
def test_rk3588_streams_a_trained_step_in_int8(step: Candidate, tmp_path: Path) -> None:
    artifact = built(Rk3588(), step, recipe("rk3588"), tmp_path / "cache")
    assert not artifact.placement.fallbacks
    assert {node.dtype for node in artifact.placement.nodes if node.where == "npu"} == {"int8"}
    assert streamed_db(artifact, Rk3588(), step, tmp_path / "cache") > 8


def test_a_target_that_cannot_take_it_says_so(model: Path) -> None:
    candidate = load(model)
    with pytest.raises(Unsupported, match="TensorRT's int8 is symmetric; set symmetric = true, and train for it"):
        Jetson().check(candidate, recipe("jetson"))
    lacking = load_without_tflite(model)
    with pytest.raises(Unsupported, match=r"training writes a \.tflite only for a candidate that has one"):
        EdgeTpu().check(lacking, recipe("edgetpu"))
    with pytest.raises(Unsupported, match="method = 'qat' means nothing to rb5"):
        refuse_strange(Rb5(), candidate, recipe("rb5"))


def load_without_tflite(model: Path) -> Candidate:
    edit(model / "model.toml", 'tflite = "model.tflite"\n', "")
    return load(model)


@pytest.mark.parametrize(
    "more", [{"precision": "fp16"}, {"activation_bits": 16}, {"per_channel": False}, {"keep_float": ["x"]}]
)
def test_qat_is_of_plain_int8(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match='method = "qat" trains every layer in int8'):
        recipe("host", **{"precision": "int8", **more})
