from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.quantize import ptq
from harness.recipe import Recipe
from harness.targets import ort_graph
from tests.targets.models import ds_cnn


def excluding(nodes: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An int8 model whose ``nodes`` somebody left out of quantization."""
    import onnxruntime.quantization as library

    quantize = library.quantize_static
    monkeypatch.setattr(library, "quantize_static", lambda *a, **k: quantize(*a, **{**k, "nodes_to_exclude": nodes}))
    features = np.random.default_rng(0).standard_normal((16, 49, 10)).astype(np.float32)
    model = ds_cnn(folder / "model.onnx", channels=16, blocks=2)
    recipe = Recipe(target="host", name="int8", precision="int8")
    ptq.quantize_onnx(model, folder / "int8.onnx", features, recipe)
    return folder / "int8.onnx"


def test_nodes_left_out_of_quantization_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_out = ["point0.conv", "point0", "depth1.conv", "depth1"]
    model = excluding(left_out, tmp_path, monkeypatch)
    placement, _ = ort_graph.read(model, tmp_path / "optimized.onnx", precision="int8")
    found = [(node.op, node.name, node.dtype) for node in placement.fallbacks]
    assert found == [("Conv", "point0.conv", "float32"), ("Conv", "depth1.conv", "float32")]


def test_what_onnxruntime_quantizes_by_itself_is_no_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single float Conv between quantized neighbours is quantized when the session opens."""
    model = excluding(["point0.conv"], tmp_path, monkeypatch)
    placement, _ = ort_graph.read(model, tmp_path / "optimized.onnx", precision="int8")
    assert not placement.fallbacks
    assert ("QLinearConv", "point0.conv") in [(node.op, node.name) for node in placement.nodes]


def test_a_float_model_has_no_fallback(tmp_path: Path) -> None:
    model = ds_cnn(tmp_path / "model.onnx", channels=16, blocks=2)
    placement, sizes = ort_graph.read(model, tmp_path / "optimized.onnx", precision="fp32")
    assert not placement.fallbacks
    assert {node.where for node in placement.nodes} == {"cpu"}
    assert sizes.activations == 2 * 25 * 5 * 16 * 4
    assert not (tmp_path / "optimized.onnx").exists()


def test_a_float_model_passed_off_as_int8_is_all_fallback(tmp_path: Path) -> None:
    model = ds_cnn(tmp_path / "model.onnx", channels=16, blocks=2)
    placement, _ = ort_graph.read(model, tmp_path / "optimized.onnx", precision="int8")
    assert {"Conv", "Gemm"} <= {node.op for node in placement.fallbacks}
