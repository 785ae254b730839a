"""Whole gate runs for the Edge TPU over the small house: healthy, and with faults that must be named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.house import SHIPPED, Gate, GateRun, edit
from tests.targets.models import insert_gelu
from tests.targets.tflite_ops import write

RECIPE = '\n[[recipe]]\ntarget = "edgetpu"\nname = "int8"\nprecision = "int8"\n'
LIMITS = """
[budgets.for.edgetpu]
weights_kib = 7884
rss_mib = 32
device_mib = 7
latency_ms = { p50 = 10.0 }
slowdown = 1.5

[[allow]]
target = "edgetpu"
op = "MEAN"
reason = "its innermost dimension is 5, and Coral's rules take multiples of 4"

[[allow]]
target = "edgetpu"
op = "FULLY_CONNECTED"
reason = "it follows that mean, so it stays on the CPU too"
"""
BOARD_ONLY = 4  # memory here and on the device, inference, slowdown


@pytest.fixture
def coral_house(house: Path) -> Path:
    """The house with its .tflite and a recipe for the Edge TPU alone."""
    folder = house / "models" / "small"
    shutil.copyfile(SHIPPED / "model.tflite", folder / "model.tflite")
    toml = folder / "model.toml"
    edit(toml, 'model = "model.onnx"\n', 'model = "model.onnx"\ntflite = "model.tflite"\n')
    head, rest = toml.read_text().split("[[recipe]]", 1)
    toml.write_text(head + RECIPE + "\n[[floor]]" + rest.split("[[floor]]", 1)[1] + LIMITS)
    return house


def model(house: Path, name: str) -> Path:
    return house / "models" / "small" / name


def run(gate: Gate, house: Path, *arguments: str) -> GateRun:
    return gate(house, "-m", "edgetpu", "--toolchains=never", *arguments)


def test_the_healthy_house_is_green_and_claims_no_time(gate: Gate, coral_house: Path) -> None:
    healthy = run(gate, coral_house)
    assert healthy.code == 0, healthy.output
    assert {row["outcome"] for row in healthy.rows} == {"PASS", "not measured"}
    placed = healthy.row("placement", "fallback")
    assert (placed["evidence"], placed["source"]) == ("static", "Coral's operator rules, static")
    assert healthy.row("accuracy")["evidence"] == "host"
    assert healthy.row("footprint", "weights")["evidence"] == "static"
    open_ = [row for row in healthy.rows if row["outcome"] == "not measured"]
    assert {row["gate"] for row in open_} == {"footprint", "latency"}
    assert [row["value"] for row in open_] == [None] * BOARD_ONLY
    assert "needs a board" in healthy.output
    assert "MAY SHIP" not in healthy.output


def test_with_require_board_exactly_the_boards_gates_are_red(gate: Gate, coral_house: Path) -> None:
    strict = run(gate, coral_house, "--require-board")
    assert strict.code == 1
    counts = strict.counts()
    assert counts["error"] == BOARD_ONLY
    assert not {"failed", "skipped"} & set(counts)


def test_a_gelu_in_the_middle_is_named_with_everything_after_it(gate: Gate, coral_house: Path) -> None:
    graph = onnx.load(model(coral_house, "model.onnx"))
    insert_gelu(graph, next(node for node in graph.graph.node if node.op_type == "Relu").output[0])
    model(coral_house, "model.onnx").write_bytes(graph.SerializeToString())
    content = load(model(coral_house, "model.tflite"))
    gelu_after(content, 2)  # the stem, with the same Relu
    write(content, model(coral_house, "model.tflite"))
    faulty = run(gate, coral_house, "-k", "fallback")
    assert faulty.code == 1
    assert faulty.red("placement") == {"fallback"}
    found = faulty.row("placement", "fallback")
    assert found["value"] == len(content.subgraphs[0].operators) - 3 - 2  # less the allowed
    assert "falls back: GELU the-gelu on cpu as int8 (the Edge TPU does not support GELU)" in found["detail"]
    assert "after GELU the-gelu, which the Edge TPU does not support: everything after it runs" in found["detail"]


def test_swapped_axes_are_a_fault_of_the_conversion(gate: Gate, coral_house: Path) -> None:
    content = load(model(coral_house, "model.tflite"))
    stem = content.subgraphs[0].tensors[content.subgraphs[0].operators[2].inputs[1]]
    buffer = content.buffers[stem.buffer]
    kernel = np.frombuffer(bytes(buffer.data), np.float32).reshape(9, 7, 64)
    buffer.data = np.frombuffer(np.ascontiguousarray(kernel.transpose(1, 0, 2)).tobytes(), np.uint8)
    write(content, model(coral_house, "model.tflite"))
    faulty = run(gate, coral_house, "-k", "parity or drop")
    assert faulty.code == 1
    assert {row["outcome"] for row in faulty.rows} == {"FAIL"}
    said = (
        "small edgetpu/int8: the conversion is at fault, not quantization: float model.tflite differs from model.onnx"
    )
    assert all(row["detail"].startswith(said) for row in faulty.rows)
    assert "DO NOT SHIP" in faulty.output


def load(path: Path) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))


def gelu_after(content: Any, place: int) -> None:
    """A GELU behind the operator at ``place``, for all that take its output."""
    graph = content.subgraphs[0]
    before = graph.operators[place].outputs[0]
    made = schema.TensorT()
    made.name, made.shape, made.buffer = b"the-gelu", graph.tensors[before].shape, 0
    made.type = graph.tensors[before].type
    graph.tensors.append(made)
    code = schema.OperatorCodeT()
    code.builtinCode, code.version = schema.BuiltinOperator.GELU, 1
    code.deprecatedBuiltinCode = 127
    content.operatorCodes.append(code)
    for op in graph.operators:
        op.inputs = [len(graph.tensors) - 1 if tensor == before else tensor for tensor in op.inputs]
    gelu = schema.OperatorT()
    gelu.opcodeIndex = len(content.operatorCodes) - 1
    gelu.inputs, gelu.outputs = [before], [len(graph.tensors) - 1]
    gelu.builtinOptions, gelu.builtinOptionsType = schema.GeluOptionsT(), schema.BuiltinOptions.GeluOptions
    graph.operators.insert(place + 1, gelu)
