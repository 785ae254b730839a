from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime import quantization

from harness.boards.runtimes import open_model
from harness.errors import ToolchainError, Unsupported
from harness.quantize import ptq
from harness.quantize.mixed import WEIGHTED, WEIGHTED_OPS
from harness.recipe import Recipe
from harness.targets import ort_graph, tflite_file
from harness.targets.base import Features
from tests.targets.models import ds_cnn
from tests.targets.tflite_models import tflite_of


@pytest.fixture(scope="module")
def features() -> Features:
    """Windows of differing loudness and colour, so that outputs depend on them."""
    random = np.random.default_rng(1)
    loudness = random.lognormal(0.5, 1, (48, 1, 1))
    colour = 3 * random.standard_normal((48, 1, 10))
    return (random.standard_normal((48, 49, 10)) * loudness + colour).astype(np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    model = ds_cnn(folder / "model.onnx", channels=16, blocks=2)
    return {"onnxruntime": model, "litert": tflite_of(model, folder / "model.tflite")}


def recipe(runtime: str = "onnxruntime", **settings: Any) -> Recipe:
    fields = {"target": "host", "name": "this", "precision": "int8", "runtime": runtime, **settings}
    return Recipe.model_validate(fields)


def quantized(models: dict[str, Path], wanted: Recipe, calibration: Features, folder: Path) -> Path:
    litert = wanted.runtime == "litert"
    output = folder / ("int8.tflite" if litert else "int8.onnx")
    quantize = ptq.quantize_tflite if litert else ptq.quantize_onnx
    quantize(models["litert" if litert else "onnxruntime"], output, calibration, wanted)
    return output


def sqnr(model: Path, reference: Path, features: Features) -> float:
    """dB of what the windows change in the logits over the error."""
    exact, near = (np.stack([infer(x) for x in features]) for infer in (open_model(reference), open_model(model)))
    return float(10 * np.log10(exact.var(axis=0).mean() / np.mean(np.square(exact - near))))


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_calibration_on_silence_saturates_speech(
    runtime: str, models: dict[str, Path], features: Features, tmp_path: Path
) -> None:
    silence = np.zeros((120, 49, 10), np.float32)
    good = sqnr(quantized(models, recipe(runtime), features, tmp_path), models[runtime], features)
    bad = sqnr(quantized(models, recipe(runtime), silence, tmp_path), models[runtime], features)
    assert good > 20
    assert bad < 5


def test_the_librarys_own_calibration_clips(models: dict[str, Path], features: Features, tmp_path: Path) -> None:
    """Why ptq brings its own: Quantizer.calibrate() averages the peaks away."""
    from litert_quantizer.quantizer import Quantizer
    from litert_quantizer.recipe import static_wi8_ai8

    content = models["litert"].read_bytes()
    quantizer = Quantizer(content)
    quantizer.load_quantization_recipe(static_wi8_ai8())
    windows = [{"features": window.reshape(1, 49, 10, 1)} for window in features]
    ranges = quantizer.calibrate({"serving_default": windows}, num_threads=1)
    clipped = tmp_path / "clipped.tflite"
    clipped.write_bytes(quantizer.quantize(ranges, enable_progress_report=False).quantized_model)

    ours = quantized(models, recipe("litert"), features, tmp_path)
    assert sqnr(clipped, models["litert"], features) < sqnr(ours, models["litert"], features) - 6


@pytest.mark.parametrize(
    "settings",
    [
        {"calibration": {"algorithm": "percentile"}},
        {"symmetric": True},
        {"per_channel": False},
        {"runtime": "litert", "per_channel": False},
    ],
    ids=["percentile", "symmetric", "per-tensor", "litert-per-tensor"],
)
def test_every_setting_changes_the_model(
    settings: dict[str, Any], models: dict[str, Path], features: Features, tmp_path: Path
) -> None:
    wanted = recipe(**settings)
    runtime = wanted.runtime or "onnxruntime"
    other = quantized(models, wanted, features, tmp_path).read_bytes()
    usual = quantized(models, recipe(runtime), features, tmp_path).read_bytes()
    assert other != usual


def test_onnxruntimes_entropy_is_minmax(
    models: dict[str, Path], features: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why it is Unsupported; once this fails, the library has mended it."""
    usual = quantized(models, recipe(), features, tmp_path).read_bytes()
    monkeypatch.setitem(ptq.ORT_ALGORITHMS, "entropy", "Entropy")
    wanted = recipe(calibration={"algorithm": "entropy"})
    assert quantized(models, wanted, features, tmp_path).read_bytes() == usual


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_the_same_inputs_give_the_same_model(
    runtime: str, models: dict[str, Path], features: Features, tmp_path: Path
) -> None:
    first = quantized(models, recipe(runtime), features, tmp_path).read_bytes()
    assert first == quantized(models, recipe(runtime), features, tmp_path).read_bytes()


def test_a_tflite_without_signature_is_refused(tmp_path: Path, features: Features) -> None:
    model = ds_cnn(tmp_path / "model.onnx", channels=16, blocks=2)
    bare = tflite_of(model, tmp_path / "bare.tflite", signature=False)
    with pytest.raises(ToolchainError, match="0 signatures"):
        ptq.quantize_tflite(bare, tmp_path / "int8.tflite", features, recipe("litert"))


def test_nan_in_calibration_is_refused(models: dict[str, Path], features: Features, tmp_path: Path) -> None:
    broken = features.copy()
    broken[3, 0, 0] = np.nan
    for runtime in models:
        with pytest.raises(ToolchainError, match="1 of 48 calibration windows hold NaN"):
            quantized(models, recipe(runtime), broken, tmp_path)


@pytest.mark.parametrize("dense", [True, False])
def test_dense_weights_may_have_one_scale_while_convolutions_have_many(
    dense: bool, models: dict[str, Path], features: Features, tmp_path: Path
) -> None:
    made = tmp_path / "int8.tflite"
    ptq.quantize_tflite(models["litert"], made, features, recipe("litert"), dense_per_channel=dense)
    scales = {op.kind: op.inputs[1].scales for op in tflite_file.read(made).ops if op.inputs[1] is not None}
    assert scales["CONV_2D"] == 16
    assert scales["DEPTHWISE_CONV_2D"] == 16
    assert scales["FULLY_CONNECTED"] == (12 if dense else 1)


def layers_in_float(model: Path) -> set[str]:
    """Names of the layers whose weights are stored in float."""
    if model.suffix == ".tflite":
        weighted = [op for op in tflite_file.read(model).ops if op.kind in WEIGHTED_OPS]
        return {op.name for op in weighted if (held := op.inputs[1]) and held.constant and held.dtype == "float32"}
    graph = onnx.load(model).graph
    constants = {tensor.name for tensor in graph.initializer}
    return {node.name for node in graph.node if node.op_type in WEIGHTED and constants.intersection(node.input)}


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_layers_kept_in_float_and_no_others_keep_float_weights(
    runtime: str, models: dict[str, Path], features: Features, tmp_path: Path
) -> None:
    ops = [name for name, kind in ptq.tflite_ops(models["litert"]).items() if kind in WEIGHTED_OPS]
    kept = "stem.conv" if runtime == "onnxruntime" else ops[0]
    mixed = quantized(models, recipe(runtime, keep_float=[kept]), features, tmp_path)
    assert layers_in_float(mixed) == {kept}
    assert not layers_in_float(quantized(models, recipe(runtime), features, tmp_path))


def test_keeping_every_layer_in_float_is_the_float_model(
    models: dict[str, Path], features: Features, tmp_path: Path
) -> None:
    whole = quantized(models, recipe(keep_float=["*"]), features, tmp_path)
    assert sqnr(whole, models["onnxruntime"], features) > 100


def test_int16_activations_are_finer_than_int8(models: dict[str, Path], features: Features, tmp_path: Path) -> None:
    narrow = sqnr(quantized(models, recipe("litert"), features, tmp_path), models["litert"], features)
    wide = quantized(models, recipe("litert", activation_bits=16), features, tmp_path)
    assert sqnr(wide, models["litert"], features) > narrow + 2
    assert {op.outputs[0].dtype for op in tflite_file.read(wide).ops} == {"int16"}


@pytest.mark.parametrize("precision", ["int8-dynamic", "int8-weight-only"])
def test_int8_weights_alone_leave_no_float_weights(
    precision: str, models: dict[str, Path], features: Features, tmp_path: Path
) -> None:
    made = tmp_path / "weights.tflite"
    ptq.quantize_tflite_weights(models["litert"], made, recipe("litert", precision=precision))
    assert not layers_in_float(made)
    assert sqnr(made, models["litert"], features) > 20
    widened = [op for op in tflite_file.read(made).ops if op.kind == "DEQUANTIZE"]
    assert bool(widened) == (precision == "int8-weight-only")


def test_dynamic_int8_by_onnxruntime(models: dict[str, Path], features: Features, tmp_path: Path) -> None:
    made = tmp_path / "dynamic.onnx"
    ptq.quantize_onnx_dynamic(models["onnxruntime"], made, recipe(precision="int8-dynamic"))
    assert not layers_in_float(made)
    assert sqnr(made, models["onnxruntime"], features) > 20


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (recipe(precision="int8-weight-only"), 'Set runtime = "litert"'),
        (recipe(activation_bits=16), "no kernel for int16 activations"),
        (recipe("litert", precision="int8-dynamic", activation_bits=16), "activation_bits is of int8"),
        (recipe(calibration={"algorithm": "mse"}), "no mse calibration"),
    ],
    ids=["weight-only", "int16", "int16 of none", "mse"],
)
def test_what_a_library_cannot_do_is_refused_with_the_remedy(wanted: Recipe, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        ptq.check(wanted)


def test_int16_activations_compute_in_float_on_onnxruntimes_cpu(
    models: dict[str, Path], features: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why they are Unsupported there; once this fails, onnxruntime has kernels for them."""
    assert not convolutions_in_float(quantized(models, recipe(), features, tmp_path))
    static = quantization.quantize_static

    def as_int16(*arguments: Any, **settings: Any) -> None:
        static(*arguments, **{**settings, "activation_type": quantization.QuantType.QInt16})

    monkeypatch.setattr(quantization, "quantize_static", as_int16)
    assert convolutions_in_float(quantized(models, recipe(), features, tmp_path))


def convolutions_in_float(model: Path) -> list[str]:
    placement, _ = ort_graph.read(model, model.with_suffix(".optimized.onnx"), "int8")
    return [node.name for node in placement.nodes if node.op == "Conv" and node.dtype == "float32"]
