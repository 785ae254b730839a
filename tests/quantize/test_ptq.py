from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.boards.runtimes import open_model
from harness.candidate import Recipe
from harness.errors import ToolchainError
from harness.quantize import ptq
from harness.targets import tflite_file
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
