"""What is done to a healthy house: its calibration clips, model.toml, ONNX or .tflite made faulty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import soundfile
from ai_edge_litert import schema_py_generated as schema

from tests.faults.surgery import dead_giant, imbalance
from tests.house import RECIPE, SHIPPED, edit, read_manifest, write_manifest

LITERT = RECIPE.replace("onnxruntime", "litert").replace('"int8"', '"litert-int8"', 1)


def model(house: Path) -> Path:
    return house / "models" / "small"


def of_calibration(house: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    corpus = house / "corpora" / "few"
    rows = read_manifest(corpus)
    kept = [row for row in rows if row["split"] == "test"]
    write_manifest(corpus, kept + change([row for row in rows if row["split"] == "calibration"]))


def only_silence(house: Path) -> None:
    of_calibration(house, lambda rows: [row for row in rows if row["label"] == "silence"])


def turned_down(house: Path) -> None:
    """The calibration clips 34 dB quieter: recorded with the wrong gain."""

    def quiet(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        for row in rows:
            path = house / "corpora" / "few" / row["path"]
            audio, rate = soundfile.read(path, dtype="float32")
            soundfile.write(path, audio * 0.02, rate, subtype="PCM_16")
            row["sha256"] = ""
        return rows

    of_calibration(house, quiet)


def imbalanced(house: Path) -> None:
    imbalance(SHIPPED / "model.onnx", model(house) / "model.onnx", k=8, seed=13)


def one_imbalanced(house: Path) -> None:
    imbalance(SHIPPED / "model.onnx", model(house) / "model.onnx", k=64, seed=3, only=2)


def one_scale(house: Path) -> None:
    dead_giant(SHIPPED / "model.onnx", model(house) / "model.onnx", layers=3, factor=30)
    edit(model(house) / "model.toml", RECIPE, RECIPE + "per_channel = false\n")


def another_band(house: Path) -> None:
    edit(model(house) / "model.toml", "high_hz = 7600.0", "high_hz = 4000.0")


def another_window(house: Path) -> None:
    edit(model(house) / "model.toml", "preemphasis = 0.97", "preemphasis = 0.0")


def swapped_labels(house: Path) -> None:
    edit(model(house) / "model.toml", '"left", "right"', '"right", "left"')


def another_model(house: Path) -> None:
    imbalance(SHIPPED / "model.onnx", model(house) / "model.onnx", k=2, seed=1)


def litert(house: Path, change: Callable[[Any], None]) -> None:
    """The host's recipe by LiteRT instead, from a .tflite that ``change`` has been at."""
    edit(model(house) / "model.toml", RECIPE, LITERT)
    edit(model(house) / "model.toml", 'model = "model.onnx"\n', 'model = "model.onnx"\ntflite = "model.tflite"\n')
    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs((SHIPPED / "model.tflite").read_bytes()))
    change(content)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(content.Pack(builder), b"TFL3")
    (model(house) / "model.tflite").write_bytes(bytes(builder.Output()))


def swapped_kernel(house: Path) -> None:
    """The stem's kernel with height and width exchanged."""

    def swap(content: Any) -> None:
        weights(content, 2, lambda kernel: kernel.reshape(9, 7, 64).transpose(1, 0, 2))

    litert(house, swap)


def other_weights(house: Path) -> None:
    """A .tflite of another training: the head's weights are not the ONNX model's."""

    def another(content: Any) -> None:
        random = np.random.default_rng(5)
        head = len(content.subgraphs[0].operators) - 1
        weights(content, head, lambda kernel: kernel + random.normal(0, 0.5 * kernel.std(), kernel.shape))

    litert(house, another)


def imbalanced_tflite(house: Path) -> None:
    """The stem's channels scaled and the next layer's divided, in the .tflite alone: float says the same."""

    def scale(content: Any) -> None:
        factors = 64.0 ** np.random.default_rng(1).uniform(-1, 1, 64)
        weights(content, 2, lambda kernel: kernel.reshape(-1, 64) * factors)
        weights(content, 2, lambda bias: bias * factors, which=2)
        weights(content, 3, lambda kernel: kernel.reshape(-1, 64) / factors)

    litert(house, scale)


def weights(content: Any, place: int, change: Callable[[Any], Any], which: int = 1) -> None:
    graph = content.subgraphs[0]
    buffer = content.buffers[graph.tensors[graph.operators[place].inputs[which]].buffer]
    values = np.frombuffer(bytes(buffer.data), np.float32)
    buffer.data = np.frombuffer(np.ascontiguousarray(change(values), np.float32).tobytes(), np.uint8)
