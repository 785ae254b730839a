"""What the documentation's figures are made from: houses that load, with every recipe the table compares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from benchmarks import qat, qat_streaming
from benchmarks.sweep_table import table
from harness.quantize import trained


def test_the_house_of_the_qat_table_holds_every_path_by_every_method(tmp_path: Path) -> None:
    candidate = qat.house(tmp_path / "healthy", fragile=False)
    methods = {(recipe.target, recipe.runtime): set() for recipe in candidate.recipes}
    for recipe in candidate.recipes:
        if recipe.precision == "int8":
            methods[recipe.target, recipe.runtime].add(recipe.method)
    assert len(methods) == len(qat.PATHS)
    assert all(found == set(qat.METHODS) for found in methods.values())
    assert {trained.scheme(recipe) for recipe in candidate.recipes} == {"asymmetric"}  # one training serves all
    assert candidate.recipe(qat.FLOAT).method == "tuned"
    assert candidate.training is not None
    assert qat.house(tmp_path / "healthy", fragile=False).recipes == candidate.recipes  # made once


def test_the_house_of_the_streaming_table_holds_the_same_of_the_step(tmp_path: Path) -> None:
    candidate = qat_streaming.house(tmp_path / "healthy", fragile=False, seed=21)
    windows = qat.house(tmp_path / "windows", fragile=False)
    both = [[(recipe.id, recipe.method) for recipe in each.recipes] for each in (candidate, windows)]
    assert both[0] == both[1]
    assert [stream.name for stream in candidate.streams] == [qat_streaming.HEARD]
    assert all(candidate.streams[0].heard_by(recipe.target) for recipe in candidate.recipes)
    assert candidate.training is not None
    assert candidate.training.seed == 21


def test_unequal_channels_of_a_step_are_the_same_float_function(tmp_path: Path) -> None:
    shipped, spoiled = qat_streaming.SHIPPED / "model.onnx", tmp_path / "model.onnx"
    qat_streaming.unequal(shipped, spoiled)
    random = np.random.default_rng(3)
    shapes = {"features": (1, 1, 4, 40), "context": (1, 1, 4, 40), "hidden": (1, 64)}
    feeds = {name: random.uniform(-1, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    before, after = (onnxruntime.InferenceSession(path).run(None, feeds) for path in (shipped, spoiled))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    for name in ("stem.0.weight", "point.0.weight", "squeeze.weight"):
        plain, scaled = (_spread(path, name) for path in (shipped, spoiled))
        assert scaled > 3 * plain


def _spread(path: Path, name: str) -> float:
    """The greatest weight of a layer's channels, the largest of them over the smallest."""
    (tensor,) = [tensor for tensor in onnx.load(path).graph.initializer if tensor.name == name]
    most = np.abs(numpy_helper.to_array(tensor)).reshape(tensor.dims[0], -1).max(axis=1)
    return float(most.max() / most.min())


def test_a_sweeps_record_becomes_a_table() -> None:
    row = {"value": 0.5, "low": -0.25, "high": 2.0, "evidence": "host"}
    point = {"build": "host/int8", "drop": row, "sqnr": {**row, "value": 30.04}, "slowdown": None, "word": "MAY SHIP"}
    bad = {**point, "build": "host/fp32", "word": "DO NOT SHIP", "rows": [{"gate": "footprint", "outcome": "FAIL"}]}
    plain = {"sizes": {"file": 2048}, "rows": []}
    sweep = {
        "points": [{**plain, **point}, {**plain, **bad}],
        "recommended": [{"recipe": {"target": "host", "name": "int8"}}],
    }
    assert list(table(sweep))[1:] == [
        "| **host/int8** | 0.50 [-0.25, 2.00] | 30.0 [-0.2, 2.0] | 2.0 | not measured | host | may ship |",
        "| host/fp32 | 0.50 [-0.25, 2.00] | 30.0 [-0.2, 2.0] | 2.0 | not measured | host | fails: footprint |",
    ]
