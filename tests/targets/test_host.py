from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from harness.candidate import Candidate
from harness.errors import CandidateError, ToolchainError, Unsupported
from harness.recipe import Recipe
from harness.targets.base import Artifact, Evidence, Features, Job, Logits
from harness.targets.host import Host
from tests.targets import small
from tests.targets.models import ds_cnn
from tests.targets.tflite_models import tflite_of


@pytest.fixture(scope="module")
def features() -> Features:
    return small.coloured()


def make_candidate(folder: Path, tail: str = "", tflite_tail: str = "") -> Candidate:
    def write(path: Path) -> None:
        tflite_of(ds_cnn(path, channels=16, blocks=2), folder / "model.tflite", tail=tflite_tail)
        if tail:
            ds_cnn(path, channels=16, blocks=2, tail=tail)

    return small.candidate(folder, "host", write, files=small.TFLITE)


def recipe(runtime: str | None = "onnxruntime", precision: str = "int8", **settings: Any) -> Recipe:
    return Recipe.model_validate(
        {"target": "host", "name": "this", "precision": precision, "runtime": runtime, **settings}
    )


def built(candidate: Candidate, wanted: Recipe, calibration: Features, folder: Path) -> Artifact:
    return small.built(Host(), candidate, wanted, calibration, folder)


def outputs(artifact: Artifact, features: Features) -> Logits:
    return Host().board(artifact.recipe).run(artifact, features, print)


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert", None])
def test_int8_is_quantized_throughout_and_close_to_float(
    runtime: str | None, tmp_path: Path, features: Features
) -> None:
    candidate = make_candidate(tmp_path)
    quantized = built(candidate, recipe(runtime), features, tmp_path / "int8")
    plain = built(candidate, recipe(runtime, "fp32"), features[:0], tmp_path / "fp32")

    assert quantized.placement.nodes
    assert not quantized.placement.fallbacks
    assert quantized.placement.partitions == 1
    assert {node.dtype for node in plain.placement.nodes} == {"float32"}
    assert "float32" not in {node.dtype for node in quantized.placement.nodes}
    assert quantized.evidence is Evidence.HOST
    assert (runtime or "onnxruntime").replace("litert", "ai-edge-litert") in quantized.tools

    exact, near = outputs(plain, features), outputs(quantized, features)
    error = np.sqrt(np.mean(np.square(near - exact)))
    assert 0 < error < 0.1 * exact.std(axis=0).mean(), "without any error, nothing was quantized"


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_a_layer_kept_in_float_is_shown_as_asked_for(runtime: str, tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path)
    first, *others = Host().layers(candidate, recipe(runtime))
    mixed = built(candidate, recipe(runtime, keep_float=[first]), features, tmp_path / "mixed")
    assert not mixed.placement.fallbacks
    told = {node.name: (node.dtype, node.reason) for node in mixed.placement.nodes if "keep_float" in node.reason}
    assert told == {first: ("float32", "keep_float asks for float")}
    assert others


def test_a_layer_that_onnxruntime_quantizes_all_the_same_is_an_error(tmp_path: Path, features: Features) -> None:
    """A single float Conv between quantized neighbours is quantized when the session opens; two in a row are not."""
    candidate = make_candidate(tmp_path)
    with pytest.raises(ToolchainError, match=r"keep_float names point0\.conv, .*Keep the layer before or behind"):
        built(candidate, recipe(keep_float=["point0.conv"]), features, tmp_path / "lone")
    pair = built(candidate, recipe(keep_float=["depth0.conv", "point0.conv"]), features, tmp_path / "pair")
    assert {node.name for node in pair.placement.nodes if node.op == "Conv"} == {"depth0.conv", "point0.conv"}


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_a_layer_to_keep_that_the_model_lacks_is_an_error(runtime: str, tmp_path: Path) -> None:
    candidate = make_candidate(tmp_path)
    first = Host().layers(candidate, recipe(runtime))[0]
    with pytest.raises(CandidateError, match=f"host/this: keep_float names '{first}x', .*: {first}"):
        Host().check(candidate, recipe(runtime, keep_float=[f"{first}x"]))


@pytest.mark.parametrize(
    ("runtime", "precision"),
    [("onnxruntime", "int8-dynamic"), ("litert", "int8-dynamic"), ("litert", "int8-weight-only")],
)
def test_int8_weights_alone_are_a_quarter_of_float_and_close_to_it(
    runtime: str, precision: str, tmp_path: Path, features: Features
) -> None:
    candidate = make_candidate(tmp_path)
    light = built(candidate, recipe(runtime, precision), features[:0], tmp_path / "light")
    plain = built(candidate, recipe(runtime, "fp32"), features[:0], tmp_path / "fp32")
    assert light.sizes.weights is not None
    assert plain.sizes.weights is not None
    assert light.sizes.weights < 0.6 * plain.sizes.weights  # biases and scales stay in float
    assert not [node for node in light.placement.nodes if "computes in float" in node.reason]
    exact, near = outputs(plain, features), outputs(light, features)
    assert 0 < np.sqrt(np.mean(np.square(near - exact))) < 0.1 * exact.std(axis=0).mean()


def test_both_float_paths_agree(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path)
    by_ort = built(candidate, recipe("onnxruntime", "fp32"), features[:0], tmp_path / "ort")
    by_litert = built(candidate, recipe("litert", "fp32"), features[:0], tmp_path / "litert")
    np.testing.assert_allclose(outputs(by_ort, features), outputs(by_litert, features), atol=1e-5)


def test_sizes_are_those_of_the_layers(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path)
    plain = built(candidate, recipe("litert", "fp32"), features[:0], tmp_path / "fp32")
    weights = sum(onnx.numpy_helper.to_array(t).nbytes for t in onnx.load(candidate.model).graph.initializer)
    layer = 25 * 5 * 16 * 4  # bytes between two convolutions; one is read while the next is written
    assert plain.sizes.file == candidate.tflite.stat().st_size if candidate.tflite else False
    assert plain.sizes.weights == weights + 2 * 4  # the axes of MEAN
    assert plain.sizes.activations == 2 * layer
    quantized = built(candidate, recipe("onnxruntime"), features, tmp_path / "int8")
    assert quantized.sizes.activations == 2 * layer // 4


@pytest.mark.parametrize(("runtime", "op"), [("onnxruntime", "Tanh"), ("litert", "ELU")])
def test_a_float_island_is_a_fallback(runtime: str, op: str, tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path, tail="Tanh", tflite_tail="ELU")
    artifact = built(candidate, recipe(runtime), features, tmp_path / "int8")
    (island,) = artifact.placement.fallbacks
    assert (island.op, island.name, island.dtype) == (op, "tail", "float32")
    assert "float" in island.reason


def test_an_op_the_delegate_leaves_splits_the_graph(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path, tflite_tail="GELU")
    artifact = built(candidate, recipe("litert"), features, tmp_path / "int8")
    (left,) = artifact.placement.fallbacks
    assert (left.op, left.where, left.dtype) == ("GELU", "cpu-builtin", "int8")
    assert artifact.placement.partitions == 2


def test_the_faulty_copy_is_built_not_the_candidate(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path)
    faulty = ds_cnn(tmp_path / "faulty.onnx", channels=16, blocks=2, tail="Tanh")
    (tmp_path / "out").mkdir()
    job = Job(candidate, recipe(), features, faulty, tmp_path / "out", "key")
    assert [node.op for node in Host().build(job).placement.fallbacks] == ["Tanh"]


@pytest.mark.parametrize(
    ("wanted", "remedy"),
    [
        (recipe(precision="fp16"), "fp32"),
        (recipe(calibration={"algorithm": "mse"}), "minmax, percentile"),
        (recipe(calibration={"algorithm": "entropy"}), "minmax, percentile"),
        (recipe("litert", calibration={"algorithm": "entropy"}), "minmax"),
        (recipe("litert", symmetric=True), "onnxruntime"),
        (recipe(precision="int8-weight-only"), 'runtime = "litert"'),
        (recipe(activation_bits=16), 'runtime = "litert"'),
    ],
    ids=["fp16", "mse", "entropy", "litert-entropy", "litert-symmetric", "weight-only", "int16"],
)
def test_what_the_host_cannot_do_is_unsupported_with_a_remedy(wanted: Recipe, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=remedy):
        Host().check(make_candidate(tmp_path), wanted)


def test_litert_without_a_tflite_is_unsupported(tmp_path: Path) -> None:
    candidate = make_candidate(tmp_path)
    bare = replace(candidate, head=candidate.head.model_copy(update={"tflite": None}))
    with pytest.raises(Unsupported, match=r"tflite = .model\.tflite"):
        Host().check(bare, recipe("litert"))


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_damaged_model_fails_its_build_only(runtime: str, precision: str, tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path)
    for path in (candidate.model, candidate.tflite):
        assert path is not None
        content = bytearray(path.read_bytes())
        content[40:400] = bytes(range(256))[:180] * 2
        path.write_bytes(content)
    with pytest.raises(ToolchainError, match=r"small host/this.*refused"):
        built(candidate, recipe(runtime, precision), features, tmp_path / "out")


def test_int8_without_calibration_is_refused(tmp_path: Path, features: Features) -> None:
    with pytest.raises(ToolchainError, match="no calibration windows"):
        built(make_candidate(tmp_path), recipe(), features[:0], tmp_path / "out")


def test_nothing_but_what_the_board_needs_is_left(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features, tmp_path / "out")
    left = {path.name for path in artifact.file.parent.iterdir() if path.suffix not in (".json", ".log")}
    assert left == {"model.onnx"}
