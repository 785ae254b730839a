"""A small house whose words are tones: a trigger that hears one of them, a recognizer that tells two others apart.

Both models are a few nodes with weights read off the front end, so that nothing is trained and every fault is known.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import soundfile
from onnx import TensorProto, helper, numpy_helper

from harness.audio.frontend import FrontEnd

RATE = 16000
TONES = {"call": 1000.0, "left": 2000.0, "right": 3200.0, "hum": 400.0}
LABELS = ("left", "right", "unknown")
SPEAKERS = 12
UNKNOWN = 1.2  # the logit of no command
STEP, WINDOW = FrontEnd(window_s=0.09, mean=7.0, scale=4.0), FrontEnd(window_s=1.2, mean=7.0, scale=4.0)
FRONT = 'kind = "fbank"\nmean = 7.0\nscale = 4.0\nwindow_s = {window_s}\n'
TRIGGER = """
[candidate]
name = "ear"
task = "wakeword"
labels = ["call"]
corpus = "tones"
states = { before = "after" }
threshold = 0.8
refractory_s = 1.0
[frontend]
%s
[[stream]]
name = "quiet"
corpora = ["tones"]
hours = 0.01
words = 1
[[recipe]]
target = "host"
name = "fp32"
precision = "fp32"
[[recipe]]
target = "rk3588"
name = "fp16"
precision = "fp16"
"""
COMMAND = """
[candidate]
name = "hand"
task = "keyword"
labels = ["left", "right", "unknown"]
background = ["unknown"]
corpus = "tones"
conditions = ["clean"]
[frontend]
%s
[[recipe]]
target = "host"
name = "fp32"
precision = "fp32"
[[recipe]]
target = "rk3588"
name = "fp16"
precision = "fp16"
"""
PIPELINE = """
[pipeline]
name = "both"
trigger = "ear"
command = "hand"

[[build]]
target = "host"
trigger = "fp32"
command = "fp32"

[stream]
hours = 0.12
utterances = 30
ambiences = ["quiet"]
pause_s = [0.3, 0.5]
seed = 5

[budgets]
success = 80.0
command_accuracy = 80.0
wer = 20.0
false_activations_per_hour = 40.0
response_ms = { p50 = 900.0 }
memory_mib = 24
"""


def make_house(folder: Path) -> Path:
    """Corpus, two candidates and the pipeline ``both``."""
    _corpus(folder / "corpora" / "tones")
    for name, text, front, make in (
        ("ear", TRIGGER, STEP, save_trigger),
        ("hand", COMMAND, WINDOW, save_command),
    ):
        place = folder / "models" / name
        place.mkdir(parents=True)
        (place / "model.toml").write_text(text % FRONT.format(window_s=front.window_s))
        make(place / "model.onnx")
    place = folder / "pipelines" / "both"
    place.mkdir(parents=True)
    (place / "pipeline.toml").write_text(PIPELINE)
    return folder


def save_trigger(path: Path) -> None:
    """score = after = (before + loudest frame of the tone over the mean of all bins) / 2."""
    weights = _bins(STEP, ["call"])
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["each"]),
        helper.make_node("ReduceMax", ["each"], ["now"], axes=[1, 2], keepdims=0),
        helper.make_node("Add", ["before", "now"], ["sum"]),
        helper.make_node("Mul", ["sum", "half"], ["after"]),
        helper.make_node("Identity", ["after"], ["score"]),
    ]
    constants = {"w": weights, "half": np.float32([0.5])}
    shapes = {"features": [1, 1, STEP.frames, STEP.bins], "before": [1, 1]}
    save(path, nodes, constants, shapes, {"score": [1, 1], "after": [1, 1]})


def save_command(path: Path, *, padding_mib: int = 0, swapped: bool = False, rejects: bool = True) -> None:
    """A logit for each tone, the loudest frame's. Faults: weights for nothing, labels swapped, nothing rejected."""
    weights = _bins(WINDOW, ["right", "left"] if swapped else ["left", "right"])
    weights = np.concatenate([weights, np.zeros((WINDOW.bins, 1), np.float32)], axis=1)
    bias = np.float32([0, 0, UNKNOWN if rejects else -100.0])
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["each"]),
        helper.make_node("ReduceMax", ["each"], ["most"], axes=[1, 2], keepdims=0),
        helper.make_node("Add", ["most", "bias"], ["heard"]),
    ]
    constants = {"w": weights, "bias": bias}
    if padding_mib:  # multiplied by zero: it changes no answer
        constants |= {
            "wide": np.zeros((3, padding_mib << 18), np.float32),
            "back": np.zeros((padding_mib << 18, 3), np.float32),
        }
        nodes.append(helper.make_node("MatMul", ["heard", "wide"], ["long"]))
        nodes.append(helper.make_node("MatMul", ["long", "back"], ["nothing"]))
        nodes.append(helper.make_node("Add", ["heard", "nothing"], ["logits"]))
    else:
        nodes.append(helper.make_node("Identity", ["heard"], ["logits"]))
    save(path, nodes, constants, {"features": [1, 1, WINDOW.frames, WINDOW.bins]}, {"logits": [1, 3]})


def _bins(front: FrontEnd, names: list[str]) -> np.ndarray:
    """``(bins, names)``: the tone's own bin less the mean of all."""
    columns = []
    for name in names:
        wave = np.sin(2 * np.pi * TONES[name] * np.arange(front.samples) / RATE).astype(np.float32) * 0.1
        column = np.full(front.bins, -1 / front.bins, np.float32)
        column[front.features(wave).mean(axis=0).argmax()] += 1
        columns.append(column)
    return np.stack(columns, axis=1)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    inputs: dict[str, list[int]],
    outputs: dict[str, list[int]],
) -> None:
    for node in nodes:
        node.name = f"/{node.output[0]}/{node.op_type}"
    graph = helper.make_graph(
        nodes,
        "tones",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def _corpus(folder: Path) -> None:
    """Every speaker says every tone once, each at a length of its own."""
    lines = ["\t".join(("clip", "path", "label", "speaker", "accent", "split"))]
    own = np.random.default_rng(0)
    (folder / "clips").mkdir(parents=True)
    for speaker in range(SPEAKERS):
        for name, hertz in TONES.items():
            time = np.arange(round(own.uniform(0.3, 0.4) * RATE)) / RATE
            wave = 0.3 * np.sin(2 * np.pi * hertz * time) * np.minimum(1, 40 * np.minimum(time, time[::-1]))
            file = f"clips/{speaker}-{name}.wav"
            soundfile.write(folder / file, wave, RATE, subtype="PCM_16")
            label = "unknown" if name == "hum" else name
            lines.append("\t".join((f"{speaker}-{name}", file, label, f"s{speaker}", "en", "test")))
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    (folder / "corpus.toml").write_text('[corpus]\nname = "tones"\n')
