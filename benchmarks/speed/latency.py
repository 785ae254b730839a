"""What measuring adds: the gate's inference, by its own clock, beside onnxruntime's own, in turns.

onnxruntime's own is what its onnxruntime_perf_test times: ``Run`` of the C API with its tensors ready. Called from
here it takes longer than from C: what a function that does nothing takes so is subtracted. Its profile would not do:
writing it makes each call of the smallest model twice as long.

python -m benchmarks.speed.latency RESULT
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.speed.capi import Runtime
from harness.agent.ort import open_onnx, session_options
from harness.agent.timing import timed, warm_up

ROUNDS = 700
PAIRS = 5  # of sessions: where their memory happens to lie moves each a little
SHIPPED = Path(__file__).parents[2] / "models" / "commands" / "model.onnx"
WIDTHS = (64, 160)  # channels of the wider models

Floats = npt.NDArray[np.float32]


def wide(path: Path, channels: int) -> Path:
    """Four 3 x 3 convolutions over the shipped model's input."""
    draw, nodes, weights, name = np.random.default_rng(0), [], [], "features"
    for layer in range(4):
        shape = (channels, channels if layer else 1, 3, 3)
        weights.append(numpy_helper.from_array(draw.normal(0, 0.05, shape).astype(np.float32), f"w{layer}"))
        nodes.append(helper.make_node("Conv", [name, f"w{layer}"], [f"y{layer}"], pads=[1, 1, 1, 1]))
        name = f"y{layer}"
    nodes.append(helper.make_node("GlobalAveragePool", [name], ["logits"]))
    feed = helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 1, 49, 40])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, channels, 1, 1])
    graph = helper.make_graph(nodes, "wide", [feed], [out], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def by_name(model: Path, window: Floats) -> Any:
    """As it is most often called from Python: outputs and inputs by name."""
    session = onnxruntime.InferenceSession(str(model), session_options(), providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    return lambda _: session.run(None, {feed.name: window.reshape(feed.shape)})


def beside(model: Path, runtime: Runtime) -> dict[str, float]:
    """Median milliseconds by the gate, by the runtime and by name, ``n`` of each in turns; the load meanwhile."""
    window = np.random.default_rng(1).normal(size=(49, 40)).astype(np.float32)
    samples: list[list[float]] = [[], [], [], []]
    for _ in range(PAIRS):
        infer, own = open_onnx(model), runtime.session(model, window)
        np.testing.assert_array_equal(infer(window), own.output.reshape(-1))
        calls = (lambda _, infer=infer: infer(window), own.run, by_name(model, window), own.nothing)
        for call in calls[:3]:
            warm_up(call, longest_s=2.0)
        for _ in range(ROUNDS):
            for call, found in zip(calls, samples, strict=True):
                found.append(timed(call, 1)[0])
    gate, ran, named, nothing = (float(np.median(found)) for found in samples)
    return {"gate": gate, "runtime": ran - nothing, "by_name": named, "called": nothing, "n": len(samples[0])}


def main(result: Path) -> None:
    runtime = Runtime()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {"the shipped model": SHIPPED}
        models |= {f"4 convolutions of {n} channels": wide(folder / f"wide{n}.onnx", n) for n in WIDTHS}
        found = {title: beside(model, runtime) for title, model in models.items()}
    result.write_text(json.dumps({"models": found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
