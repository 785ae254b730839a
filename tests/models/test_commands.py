"""The shipped commands model: its two files agree, have the promised shape, and hear the corpus."""

from __future__ import annotations

import csv
import tomllib
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import soundfile

from harness.audio.frontend import FrontEnd
from harness.audio.synth import words
from harness.audio.synth.accents import NATIVE

HOUSE = Path(__file__).parents[2]
FOLDER = HOUSE / "models" / "commands"
CORPUS = HOUSE / "corpora" / "commands"
TOML = tomllib.loads((FOLDER / "model.toml").read_text(encoding="utf-8"))
LABELS = TOML["candidate"]["labels"]
LEAST_NATIVE_RECALL = 95.0  # percent, mean over the keywords
LARGEST_PARITY = 1e-4  # logits

Array = npt.NDArray[np.float32]


def test_labels_are_the_corpus_ones_in_order() -> None:
    assert tuple(LABELS) == words.LABELS


def test_onnx_is_static_folded_and_ends_at_logits() -> None:
    model = onnx.load(FOLDER / "model.onnx")
    frontend = FrontEnd(**TOML["frontend"])
    assert _shapes(model.graph.input) == {"features": [1, 1, frontend.frames, frontend.bins]}
    assert _shapes(model.graph.output) == {"logits": [1, len(LABELS)]}
    assert 13 <= model.opset_import[0].version <= 17
    ops = {node.op_type for node in model.graph.node}
    assert "Conv" in ops
    assert not ops & {"BatchNormalization", "Softmax", "LogSoftmax"}


def test_both_files_say_the_same_of_real_speech() -> None:
    interpreter_of = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    interpreter = interpreter_of(str(FOLDER / "model.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    at, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    features, _ = native_speech()
    for example in features[::20]:
        interpreter.set_tensor(at["index"], example.reshape(at["shape"]))
        interpreter.invoke()
        difference = np.abs(interpreter.get_tensor(out["index"]) - logits(example[None])).max()
        assert difference <= LARGEST_PARITY


def test_native_keywords_are_heard_in_quiet() -> None:
    features, labels = native_speech()
    decided = logits(features).argmax(axis=1)
    recall = [np.mean(decided[labels == LABELS.index(keyword)] == LABELS.index(keyword)) for keyword in words.KEYWORDS]
    assert 100 * np.mean(recall) >= LEAST_NATIVE_RECALL


def test_silence_is_not_a_command() -> None:
    features, labels = native_speech()
    silent = features[labels == LABELS.index(words.SILENCE)]
    assert (logits(silent).argmax(axis=1) == LABELS.index(words.SILENCE)).mean() > 0.95


def logits(features: Array) -> Array:
    session = float_session()
    return np.concatenate([session.run(None, {"features": one[None, None]})[0] for one in features])


@lru_cache(maxsize=1)
def float_session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])


@lru_cache(maxsize=1)
def native_speech() -> tuple[Array, npt.NDArray[np.int64]]:
    """Features and labels of the clean native test clips."""
    frontend = FrontEnd(**TOML["frontend"])
    with (CORPUS / "manifest.tsv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines, delimiter="\t") if row["split"] == "test"]
    rows = [row for row in rows if row["accent"] in NATIVE]
    audio = [soundfile.read(CORPUS / row["path"], dtype="int16")[0] for row in rows]
    return frontend.batch(np.stack(audio)), np.array([LABELS.index(row["label"]) for row in rows])


def _shapes(values: list[onnx.ValueInfoProto]) -> dict[str, list[int]]:
    return {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values}
