"""The jetson target: what it refuses, real compiles by TensorRT-RTX, and the board's way against a stand-in Jetson.

What the stand-in proves, and what it does not, is in tests/standins/jetson/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from harness.boards import tegra
from harness.build import artifact_key
from harness.candidate import Candidate
from harness.errors import CandidateError, NotMeasured, ToolchainError, Unsupported
from harness.quantize import ptq, trt
from harness.recipe import Recipe
from harness.targets import toolchain
from harness.targets.base import Artifact, Evidence, Features
from harness.targets.jetson import Jetson
from tests import jetson_board
from tests.targets import small
from tests.targets.models import ds_cnn, gru, half_quantized, recurrent, transposed

DLA = {"*": "dla"}

real = pytest.mark.skipif(
    toolchain.installed("jetson") is None,
    reason="the jetson toolchain is not installed here; run: voxgate toolchain install jetson",
)


@pytest.fixture(scope="module")
def features() -> Features:
    return small.noise()


@pytest.fixture(autouse=True)
def _no_probe_is_kept() -> Iterator[None]:
    yield
    tegra._probe.cache_clear()


def tiny(path: Path) -> Path:
    return ds_cnn(path, channels=8, blocks=1)


def make_candidate(folder: Path, write: Callable[[Path], Any] = tiny) -> Candidate:
    return small.candidate(folder, "jetson", write)


def recipe(precision: str = "int8", **settings: Any) -> Recipe:
    return Recipe.model_validate({"target": "jetson", "name": "this", "precision": precision, **settings})


def built(candidate: Candidate, wanted: Recipe, calibration: Features) -> Artifact:
    return small.built(Jetson(), candidate, wanted, calibration, f"build-{wanted.precision}")


def found(artifact: Artifact) -> dict[str, str]:
    return {f"{node.op} {node.name}": node.reason for node in artifact.placement.fallbacks}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (recipe(runtime="litert"), r"does not read \.tflite; remove runtime"),
        (recipe(calibration={"algorithm": "entropy"}), "no entropy calibration"),
        (recipe(op_target={"stem": "cpu"}), r'op_target of jetson is \{ "\*" = "dla" \}'),
        (
            recipe(runtime="onnxruntime"),
            "runtime = 'onnxruntime' can only be judged on a Jetson.*none. Run voxgate there",
        ),
        (recipe(op_target=DLA), "op_target = .* can only be judged on a Jetson"),
    ],
    ids=["litert", "entropy", "unit", "provider", "dla"],
)
def test_what_it_cannot_do_is_refused_with_the_remedy(tmp_path: Path, wanted: Recipe, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        Jetson().check(make_candidate(tmp_path), wanted)


def test_without_its_toolchain_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "none"))
    with pytest.raises(Unsupported, match="Run: voxgate toolchain install jetson"):
        Jetson().check(make_candidate(tmp_path), recipe())
    compiles, numerics, board = Jetson().abilities()
    assert (compiles.ready, compiles.remedy) == (False, "voxgate toolchain install jetson")
    assert numerics.ready
    assert not board.ready
    assert board.remedy == "run voxgate on the Jetson itself"
    assert Jetson().tools(recipe())["tensorrt-rtx"] == "1.7.1.116"


def test_its_float_path_is_fp16() -> None:
    assert Jetson().float_recipe(recipe()).precision == "fp16"
    assert Jetson().float_recipe(recipe()).id != recipe().id


def test_what_this_machine_cannot_tell_is_not_measured(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path)
    board = Jetson().board(recipe())
    artifact = Artifact(
        "small", recipe(), "key", candidate.model, None, None, Evidence.HOST  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.raises(NotMeasured, match=r"latency of small on jetson/this: needs a board.*on the Jetson itself"):
        board.open(artifact)
    with pytest.raises(NotMeasured, match="memory of small on jetson/this: needs a board"):
        board.rss(artifact, features[0])


@real
@pytest.mark.parametrize(("precision", "dtype"), [("int8", "int8"), ("fp16", "float16"), ("fp32", "float32")])
def test_a_real_compile_computes_in_the_type_asked_for(
    precision: str, dtype: str, tmp_path: Path, features: Features
) -> None:
    artifact = built(make_candidate(tmp_path), recipe(precision), features)
    assert artifact.placement.fallbacks == ()
    assert artifact.placement.evidence is Evidence.EMULATOR
    assert artifact.placement.source == "TensorRT-RTX 1.7.1.116 for sm_86, a proxy of TensorRT on Orin NX"
    computing = [node for node in artifact.placement.nodes if node.op in ("Conv", "Gemm")]
    assert [node.name for node in computing] == ["stem.conv", "depth0.conv", "point0.conv", "logits"]
    assert {node.dtype for node in computing} == {dtype}
    left = {path.name for path in artifact.file.parent.iterdir() if path.suffix in (".onnx", ".engine", ".npy")}
    assert left == {"model.onnx", *(["numerics.onnx"] if precision == "fp16" else [])}
    assert artifact.sizes.file == artifact.file.stat().st_size

    board = Jetson().board(artifact.recipe)
    assert artifact.evidence is board.evidence is Evidence.HOST
    outputs = board.run(artifact, features, lambda _: None)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    exact = np.concatenate([session.run(None, {"features": window[None, None]})[0] for window in features])
    far = np.abs(outputs - exact).max()
    assert far == 0 if precision == "fp32" else 0 < far < 0.2 * exact.std()


@real
def test_a_layer_stays_in_float_where_it_is_asked_for(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path, ds_cnn)
    artifact = built(candidate, recipe(keep_float=["point1.conv"]), features)
    assert not artifact.placement.fallbacks
    told = {node.name: node for node in artifact.placement.nodes}
    assert (told["point1.conv"].dtype, told["point1.conv"].reason) == ("float32", "keep_float asks for it")
    assert told["stem.conv"].dtype == "int8"
    assert "point1.conv" in Jetson().layers(candidate, recipe())


@pytest.mark.parametrize("asked", [recipe(keep_float=["point9.conv"]), recipe(keep_float=["*"], runtime="onnxruntime")])
def test_a_layer_that_cannot_be_kept_is_refused(tmp_path: Path, asked: Recipe) -> None:
    with pytest.raises((CandidateError, Unsupported), match="keep_float"):
        Jetson().check(make_candidate(tmp_path), asked)


@real
def test_a_gru_that_silently_stays_float_is_found(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path, gru), recipe(), features)
    assert list(found(artifact)) == ["GRU gru"]
    assert "compute in float32 and 0 in int8" in found(artifact)["GRU gru"]


@real
@pytest.mark.parametrize("weights", [False, True], ids=["input", "weights"])
def test_a_first_layer_that_training_left_in_float_is_found(tmp_path: Path, features: Features, weights: bool) -> None:
    model = make_candidate(tmp_path, partial(half_quantized, weights=weights))
    told = found(built(model, recipe(), features))
    assert told == {"Gemm first": "asked for int8, but the ONNX has no Q/DQ before it"}


@real
def test_a_convolution_without_an_int8_kernel_is_found(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path, transposed), recipe(), features)
    assert list(found(artifact)) == ["ConvTranspose up"]
    assert "(deconv) reads float32" in found(artifact)["ConvTranspose up"]


def quantized(path: Path, features: Features, **options: Any) -> Path:
    """A model that comes quantized already, by other rules than TensorRT's."""
    plain = path.with_name("plain.onnx")
    tiny(plain)
    ptq.quantize_onnx(plain, path, features, recipe(), ops=trt.COMPUTE, options={**trt.OPTIONS, **options})
    return path


@real
def test_asymmetric_int8_is_found_with_its_node(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path, lambda path: quantized(path, features, ActivationSymmetric=False))
    artifact = built(candidate, recipe(), features)
    assert list(found(artifact)) == ["QuantizeLinear features_QuantizeLinear"]
    assert "Non-zero zero point is not supported" in found(artifact)["QuantizeLinear features_QuantizeLinear"]
    assert artifact.placement.partitions == 0
    assert {node.where for node in artifact.placement.nodes} == {"nowhere"}
    assert len(artifact.placement.nodes) == len(onnx.load(candidate.model).graph.node)


def unsigned(path: Path, features: Features) -> Path:
    """The symmetric model with every zero point, and what it quantizes to, as uint8."""
    model = onnx.load(quantized(path, features))
    for tensor in model.graph.initializer:
        if tensor.name.endswith("_zero_point") and tensor.data_type == onnx.TensorProto.INT8 and not tensor.dims:
            values = onnx.numpy_helper.to_array(tensor).astype(np.uint8) + np.uint8(128)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)
    return path


@real
def test_uint8_is_found_with_its_node(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path, lambda path: unsigned(path, features)), recipe(), features)
    assert list(found(artifact)) == ["QuantizeLinear features_QuantizeLinear"]
    assert "TensorRT refuses it, and with it the model" in found(artifact)["QuantizeLinear features_QuantizeLinear"]


@real
def test_a_quantized_bias_is_found_with_its_node(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path, lambda path: quantized(path, features, QuantizeBias=True))
    ((name, reason),) = found(built(candidate, recipe(), features)).items()
    assert name.startswith("DequantizeLinear ")
    assert "input has type Int32" in reason


@real
def test_an_operator_that_tensorrt_has_not_is_found(tmp_path: Path, features: Features) -> None:
    artifact = built(
        make_candidate(tmp_path, lambda path: ds_cnn(path, blocks=1, tail="Det")), recipe("fp16"), features
    )
    assert found(artifact) == {
        "Det tail": "TensorRT refuses it, and with it the model: UNSUPPORTED_NODE: not supported"
    }


@real
def test_int8_of_nothing_but_a_gru_is_an_error(tmp_path: Path, features: Features) -> None:
    with pytest.raises(ToolchainError, match=r"small jetson/this: qdq_worker refused: .*no Q/DQ at all.*1 GRU"):
        built(make_candidate(tmp_path, recurrent), recipe(), features)


def test_a_log_without_a_layer_table_is_an_error(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_worker(tools: object, worker: Path, request: Any, folder: Path, **_: Any) -> dict[str, Any]:
        (folder / "stdout.log").write_text("[INFO] Engine generation completed in 0.1 seconds.\n")
        (folder / "model.engine").write_text("compiled")
        return {"refused": []}

    monkeypatch.setattr(toolchain, "run_worker", run_worker)
    monkeypatch.setattr(toolchain, "needed", lambda name: None)
    with pytest.raises(
        ToolchainError, match="small jetson/this: the layer table in TensorRT's build log cannot be trusted"
    ):
        built(make_candidate(tmp_path), recipe(), features)


# From here on a stand-in Jetson (tests/standins/jetson/README.md).


@pytest.mark.parametrize("tensorrt", ["10.3.0.30", "11.4.0.1"])
def test_a_board_builds_with_its_own_tensorrt(
    tensorrt: str, tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson_board.make(tmp_path, monkeypatch, tensorrt=tensorrt)
    artifact = built(make_candidate(tmp_path), recipe(), features)
    assert artifact.file.name == "model.engine"
    assert artifact.evidence is artifact.placement.evidence is Evidence.BOARD
    assert artifact.placement.source == f"TensorRT {tensorrt} on this Jetson (L4T 36.4.3, sm_87)"
    assert artifact.placement.fallbacks == ()
    nodes = {node.name: node for node in artifact.placement.nodes}
    assert (nodes["stem.conv"].dtype, nodes["stem.conv"].where) == ("int8", "gpu")
    assert nodes["logits"].reason == "40.0 % of the profiled time"
    assert artifact.sizes.activations == 4096
    assert artifact.tools["tensorrt"] == tensorrt


def test_a_board_finds_a_layer_that_stays_float(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson_board.make(tmp_path, monkeypatch, float=["point0.conv"])
    reasons = found(built(make_candidate(tmp_path), recipe(), features))
    assert list(reasons) == ["Conv point0.conv"]
    assert "asked for int8, but layer point0.conv (CaskConv) reads float32; 30.0 % of" in reasons["Conv point0.conv"]


def test_an_engine_that_is_not_detailed_is_an_error(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson_board.make(tmp_path, monkeypatch, names_only=True)
    with pytest.raises(ToolchainError, match=r"small jetson/this: .*the engine was not built DETAILED"):
        built(make_candidate(tmp_path), recipe(), features)


def test_what_the_board_refuses_is_found_and_cannot_run(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson_board.make(tmp_path, monkeypatch, refuses=["GlobalAveragePool"])
    artifact = built(make_candidate(tmp_path), recipe(), features)
    assert list(found(artifact)) == ["GlobalAveragePool pool"]
    with pytest.raises(ToolchainError, match="TensorRT refused this model: nothing can run"):
        Jetson().board(recipe()).run(artifact, features, lambda _: None)


def test_a_build_that_fails_after_parsing_is_found_with_its_first_error(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Error Code 10: Could not find any implementation for node {ForeignNode[stem.conv...logits]}"
    jetson_board.make(tmp_path, monkeypatch, unbuildable=said)
    reasons = found(built(make_candidate(tmp_path), recipe(), features))
    assert reasons == {"model the whole model": f"TensorRT refuses it, and with it the model: {said}"}


def test_layers_that_silently_leave_the_dla_are_found(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson_board.make(tmp_path, monkeypatch)
    artifact = built(make_candidate(tmp_path), recipe(op_target=DLA), features)
    reasons = found(artifact)
    assert list(reasons) == ["Gemm logits"]
    assert (
        "asked onto the DLA, but runs on the GPU: the DLA has no MATRIX_MULTIPLY of this kind" in reasons["Gemm logits"]
    )
    assert "without the fallback TensorRT says: Default DLA is enabled but layer" in reasons["Gemm logits"]
    assert [node.where for node in artifact.placement.nodes] == ["dla", "dla", "dla", "gpu"]
    assert artifact.placement.partitions == 2


def test_a_board_without_a_dla_says_so(tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    jetson_board.make(tmp_path, monkeypatch, dla_cores=0)
    reasons = found(built(make_candidate(tmp_path), recipe(op_target=DLA), features))
    assert "offers no DLA core here" in reasons["model the whole model"]


def test_nodes_that_onnxruntimes_provider_leaves_are_found(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson_board.make(tmp_path, monkeypatch, refuses=["GlobalAveragePool"])
    artifact = built(make_candidate(tmp_path), recipe(runtime="onnxruntime"), features)
    assert found(artifact) == {"GlobalAveragePool pool": "onnxruntime's TensorRT provider left it"}
    assert artifact.placement.source == "onnxruntime 1.24.0 with TensorRT 10.3.0.30 on this Jetson"
    outputs = Jetson().board(artifact.recipe).run(artifact, features[:3], lambda _: None)
    assert outputs.shape == (3, 12)


@pytest.mark.parametrize(
    ("state", "wanted", "reason"),
    [
        ({"tensorrt": "8.5.2"}, recipe(), r"has TensorRT 8\.5\.2, and 10\.3 to 11 are supported\. Flash JetPack 6"),
        ({"tensorrt": "12.0.0"}, recipe(), r"has TensorRT 12\.0\.0, and 10\.3 to 11 are"),
        ({"tensorrt": "11.1.0"}, recipe(op_target=DLA), r"TensorRT 11\.1\.0 has no DLA; remove op_target"),
        ({"provider": ""}, recipe(runtime="onnxruntime"), "needs onnxruntime with TensorrtExecutionProvider"),
    ],
    ids=["old", "new", "dla", "provider"],
)
def test_what_a_board_cannot_do_is_unsupported(
    state: dict[str, Any], wanted: Recipe, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = tegra.Jetpack("36.4.3", Path("/usr/bin/python3"), "10.3.0", "87", "1.24.0")
    monkeypatch.setattr(tegra, "is_jetson", lambda: True)
    monkeypatch.setattr(tegra, "jetpack", lambda: replace(healthy, **state))
    with pytest.raises(Unsupported, match=reason):
        Jetson().check(make_candidate(tmp_path), wanted)


def test_a_jetson_can_compile_and_run_or_says_what_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jetson_board.make(tmp_path, monkeypatch)
    assert [(each.what, each.ready) for each in Jetson().abilities()] == [("compile", True), ("board", True)]
    (tmp_path / "standin" / "modules" / "tensorrt.py").unlink()
    tegra._probe.cache_clear()
    abilities = Jetson().abilities()
    assert [(each.what, each.ready) for each in abilities] == [("compile", False), ("board", False)]
    assert "sudo apt-get install python3-libnvinfer" in abilities[1].remedy


def test_an_engine_belongs_to_its_power_mode_and_tensorrt(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = make_candidate(tmp_path)
    keys = {artifact_key(Jetson(), candidate, recipe(), features)}
    jetson_board.make(tmp_path, monkeypatch)
    healthy = tegra.jetpack()
    for mode, version in (("MAXN", "10.3.0"), ("15W", "10.3.0"), ("MAXN", "10.16.0")):
        monkeypatch.setattr(tegra, "mode", lambda mode=mode: mode)
        monkeypatch.setattr(tegra, "jetpack", lambda version=version: replace(healthy, tensorrt=version))
        keys.add(artifact_key(Jetson(), candidate, recipe(), features))
    assert len(keys) == 4
