"""What measuring adds: the gate's samples of one inference beside onnxruntime's own clock, of the very same calls.

python -m benchmarks.speed.latency RESULT
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from harness.agent.ort import session_options
from harness.boards.clock import timed, warm_up

ROUNDS = 700
SHIPPED = Path(__file__).parents[2] / "models" / "commands" / "model.onnx"
WIDTHS = (64, 160)  # channels of the wider models: about 1 and 5 ms on one core


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


def beside(model: Path, folder: Path) -> dict[str, float]:
    """Median milliseconds by the gate and by the runtime, and the median of their difference call by call."""
    options = session_options()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / model.stem)
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    feed, result = session.get_inputs()[0], session.get_outputs()[0].name
    window = np.random.default_rng(1).normal(size=(49, 40)).astype(np.float32)

    def call(_: int) -> None:
        session.run([result], {feed.name: window.reshape(feed.shape)})

    warm_up(call, longest_s=2.0)
    ours = timed(call, ROUNDS)
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    theirs = np.array([event["dur"] / 1e3 for event in events if event["name"] == "model_run"][-ROUNDS:])
    gate, own = float(np.median(ours)), float(np.median(theirs))
    return {"gate": gate, "runtime": own, "added_us": 1e3 * float(np.median(ours - theirs)), "n": len(ours)}


def main(result: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {"the shipped model": SHIPPED}
        models |= {f"4 convolutions of {n} channels": wide(folder / f"wide{n}.onnx", n) for n in WIDTHS}
        found = {title: beside(model, folder) for title, model in models.items()}
    result.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
