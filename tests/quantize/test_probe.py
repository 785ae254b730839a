"""A model taken apart: its layers, some of them left in float, and how unequal their channels are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.boards.runtimes import open_model
from harness.cache import Cache
from harness.diagnose import probe
from harness.diagnose.probe import Variant
from harness.errors import ToolchainError
from harness.quantize import probe as probes
from harness.recipe import Recipe
from tests.faults.surgery import imbalance, imbalance_tflite
from tests.house import SHIPPED

RANDOM = np.random.default_rng(0)
WINDOWS = RANDOM.normal(0, 1.5, (8, 49, 40)).astype(np.float32)
ONNX = Recipe(target="host", name="int8", precision="int8", runtime="onnxruntime")
LITERT = ONNX.model_copy(update={"runtime": "litert"})
FILES = {"onnx": (SHIPPED / "model.onnx", ONNX), "tflite": (SHIPPED / "model.tflite", LITERT)}


def noise(model: Path, source: Path) -> float:
    run = probes.run_plain if model.suffix == ".onnx" else _run
    return float(np.square(run(model, WINDOWS) - _run(source, WINDOWS)).sum())


def _run(model: Path, windows: np.ndarray) -> np.ndarray:
    infer = open_model(model)
    return np.stack([infer(window) for window in windows])


@pytest.mark.parametrize("kind", FILES)
def test_layers_cover_the_model_and_any_of_them_may_stay_in_float(kind: str, tmp_path: Path) -> None:
    source, recipe = FILES[kind]
    prepared = probes.prepare(source, tmp_path / "prepared.onnx")
    found = probes.layers(prepared)
    assert len(found) >= 10  # nine convolutions and the head
    parts = [part for layer in found for part in layer.parts]
    assert len(parts) == len(set(parts))
    every = probes.quantized(prepared, tmp_path / f"every.{kind}", WINDOWS, recipe, ())
    one = probes.quantized(prepared, tmp_path / f"one.{kind}", WINDOWS, recipe, parts[: -len(found[-1].parts)])
    assert 0 < noise(one, source) < noise(every, source)


def test_unequal_channels_and_the_sqnr_of_layers_are_seen(tmp_path: Path) -> None:
    unequal = imbalance(SHIPPED / "model.onnx", tmp_path / "model.onnx", k=8, seed=1)
    spreads, sqnr = [], []
    for name, source in (("healthy", SHIPPED / "model.onnx"), ("unequal", unequal)):
        prepared = probes.prepare(source, tmp_path / f"{name}-prepared.onnx")
        found = probes.layers(prepared)
        int8 = probes.quantized(prepared, tmp_path / f"{name}-int8.onnx", WINDOWS, ONNX, ())
        spreads.append(probes.spreads(prepared, WINDOWS, found))
        sqnr.append(probes.layer_sqnr(prepared, int8, WINDOWS, found))
    assert spreads[0].keys() == spreads[1].keys()
    assert len(spreads[0]) == 9  # every convolution's output; the head's has no channels
    assert max(spreads[0].values()) < 20 < min(spreads[1].values())
    assert np.mean(list(sqnr[0].values())) > np.mean(list(sqnr[1].values())) + 6


def test_a_tflites_unequal_channels_and_its_layers_sqnr_are_seen(tmp_path: Path) -> None:
    unequal = imbalance_tflite(SHIPPED / "model.tflite", tmp_path / "model.tflite", k=8, seed=13)
    spreads, sqnr = [], []
    for source in (SHIPPED / "model.tflite", unequal):
        found = probes.layers(source)
        int8 = probes.quantized(source, tmp_path / "int8.tflite", WINDOWS, LITERT, ())
        spreads.append(probes.spreads(source, WINDOWS, found))
        sqnr.append(probes.layer_sqnr(source, int8, WINDOWS, found))
    assert np.abs(_run(unequal, WINDOWS) - _run(SHIPPED / "model.tflite", WINDOWS)).max() < 1e-3  # float says the same
    assert spreads[0].keys() == spreads[1].keys()
    assert sum(name in spreads[0] for name in sqnr[0]) == 9  # every convolution
    assert max(spreads[0].values()) < 20 < min(spreads[1].values())
    assert np.mean(list(sqnr[0].values())) > np.mean(list(sqnr[1].values())) + 6


def test_variants_are_tried_once_and_a_failing_one_spares_the_rest(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    spoiled = WINDOWS.copy()
    spoiled[0, 0, 0] = np.nan
    variants = [Variant(ONNX, WINDOWS), Variant(ONNX, spoiled), Variant(ONNX, WINDOWS[:1])]
    first = probe.run(SHIPPED / "model.onnx", WINDOWS, variants, cache, 60, "a test")
    assert sorted(first.outputs) == [0, 2]
    assert "NaN" in first.errors[1]
    again = probe.run(SHIPPED / "model.onnx", WINDOWS, variants, cache, 60, "a test")
    assert [entry.hit for entry in cache.used] == [False, True]
    assert np.array_equal(again.outputs[2], first.outputs[2])


def test_without_time_the_first_variant_is_tried_and_nothing_is_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    variants = [Variant(ONNX, WINDOWS), Variant(ONNX, WINDOWS[:1])]
    found = probe.run(SHIPPED / "model.onnx", WINDOWS, variants, cache, 0, "a test")
    assert (sorted(found.outputs), found.errors) == ([0], {})
    assert not [path for path in (tmp_path / "cache" / "probes").iterdir() if path.is_dir()]


def test_a_damaged_model_is_one_paragraph(tmp_path: Path) -> None:
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes((SHIPPED / "model.onnx").read_bytes()[:5000])
    with pytest.raises(ToolchainError, match="a test: probe_worker refused"):
        probe.run(damaged, WINDOWS, [Variant(ONNX, WINDOWS)], Cache(tmp_path / "cache"), 60, "a test")
