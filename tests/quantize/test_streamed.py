"""A step is calibrated as it listens, and its state comes back as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.onnxfile import inspect
from harness.quantize import ptq, streamed
from harness.recipe import Recipe
from harness.targets.base import Artifact, Evidence, Placement, Sizes
from harness.targets.state_scales import state_scales

COMPUTER = Path(__file__).parents[2] / "models" / "computer"
STATES = {"context": "context_next", "hidden": "hidden_next"}
WINDOWS = np.random.default_rng(2).standard_normal((150, 4, 40)).astype(np.float32)


def test_each_step_is_fed_the_state_that_the_one_before_left() -> None:
    described = inspect(COMPUTER / "model.onnx", STATES)
    first, second, *_ = list(streamed.feeds(COMPUTER / "model.onnx", described, WINDOWS[:3]))
    assert not first["hidden"].any()
    assert not first["context"].any()
    assert second["hidden"].any()
    assert np.array_equal(second["context"][0], WINDOWS[0][np.newaxis])
    low, high = streamed.ranges(COMPUTER / "model.onnx", described, WINDOWS)["hidden_next"]
    assert -1 <= low < 0 < high <= 1


@pytest.mark.parametrize(("runtime", "suffix"), [("onnxruntime", ".onnx"), ("litert", ".tflite")])
def test_a_quantized_state_is_read_as_it_was_written(runtime: str, suffix: str, tmp_path: Path) -> None:
    recipe = Recipe(target="host", name="int8", precision="int8", runtime=runtime)  # type: ignore[arg-type]
    file = tmp_path / f"model{suffix}"
    quantize = ptq.quantize_tflite if suffix == ".tflite" else ptq.quantize_onnx
    quantize(COMPUTER / f"model{suffix}", file, WINDOWS, recipe, states=STATES)
    placement, sizes = Placement((), Evidence.HOST), Sizes(1)
    artifact = Artifact("computer", recipe, "key", file, placement, sizes, Evidence.HOST, states=STATES)
    found = state_scales(artifact)
    assert [each.name for each in found] == ["context", "hidden"]
    assert all(each.agree and each.read is not None for each in found)
