from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.targets import litert_graph
from harness.targets.base import Node, Placement
from tests.targets.models import ds_cnn
from tests.targets.tflite_models import tflite_of

PAIRS = Path(__file__).parents[3] / "shared" / "data" / "edgetpu_pairs"


def public(name: str) -> Placement:
    path = PAIRS / name
    if not path.is_file():
        pytest.skip(f"{path} is absent: the public Edge TPU models are not on this machine")
    return litert_graph.read(path, precision="int8")[0]


def left(placement: Placement) -> list[str]:
    return [node.op for node in placement.nodes if node.where == "cpu-builtin"]


def test_a_float_model_is_delegated_whole(tmp_path: Path) -> None:
    model = tflite_of(ds_cnn(tmp_path / "m.onnx", channels=16, blocks=2), tmp_path / "m.tflite")
    placement, sizes = litert_graph.read(model, precision="fp32")
    assert [node.op for node in placement.nodes] == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
        "MEAN",
        "FULLY_CONNECTED",
    ]
    assert {(node.where, node.fallback) for node in placement.nodes} == {("xnnpack", False)}
    assert placement.partitions == 1
    assert sizes.file == model.stat().st_size


def test_a_float_model_passed_off_as_int8_is_all_fallback(tmp_path: Path) -> None:
    model = tflite_of(ds_cnn(tmp_path / "m.onnx", channels=16, blocks=2), tmp_path / "m.tflite")
    nodes: tuple[Node, ...] = litert_graph.read(model, precision="int8")[0].nodes
    assert all(node.fallback and node.dtype == "float32" for node in nodes)


def test_lstm_stays_on_the_cpu() -> None:
    placement = public("keras_lstm_mnist_ptq.tflite")
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in left(placement)
    assert placement.partitions == 1
    assert len(placement.nodes) == 6


def test_split_stays_on_the_cpu_between_two_partitions() -> None:
    placement = public("split_concat.tflite")
    assert left(placement) == ["SPLIT"]
    assert placement.partitions == 2


def test_mobilenet_keeps_its_count_of_ops() -> None:
    placement = public("mobilenet_v1_0.25_128_quant.tflite")
    assert Counter(node.op for node in placement.nodes)["CONV_2D"] == 15
    assert set(left(placement)) <= {"AVERAGE_POOL_2D", "SOFTMAX", "RESHAPE"}
