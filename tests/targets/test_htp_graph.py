"""The operators of a compiled QNN graph, read from recorded dumps (see tests/data/htp/README.md)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ToolchainError
from harness.targets import htp_graph
from harness.targets.base import Node
from harness.targets.htp_graph import parse, read

DATA = Path(__file__).parents[1] / "data" / "htp"
WHO = "small htp/a8w8"


def nodes(name: str, bits: int | None = 8) -> list[Node]:
    return [op.node(bits) for op in read(DATA / name / "graph-0.json", WHO).ops]


def fallbacks(name: str, bits: int | None = 8) -> Counter[str]:
    return Counter(node.op for node in nodes(name, bits) if node.fallback)


def test_a_quantized_network_in_order_and_in_eight_bits() -> None:
    found = nodes("ds_cnn_a8w8")
    assert [node.op for node in found[:4]] == ["Quantize", "Transpose", "Conv2d", "DepthWiseConv2d"]
    assert found[-1].op == "Dequantize"
    assert {(node.dtype, node.where, node.fallback) for node in found} == {("uint8", "npu", False)}


def test_sixteen_bits_are_a_fallback_only_where_eight_were_asked_for() -> None:
    assert {node.dtype for node in nodes("ds_cnn_a16w8", 16)} == {"uint16"}
    assert not fallbacks("ds_cnn_a16w8", 16)
    assert fallbacks("ds_cnn_a16w8", 8).total() == 7
    assert "computes in 16 bits where 8 were asked for" in {node.reason for node in nodes("ds_cnn_a16w8", 8)}


def test_a_gru_is_an_island_of_float_and_its_slices_move_values_only() -> None:
    assert fallbacks("gru") == {"Gru": 49}
    first = next(node for node in nodes("gru") if node.fallback)
    assert (first.name, first.dtype, first.where) == ("gru_cell_t0_forward", "float32", "npu")
    assert "computes in float where int8 (a8w8) was asked for" in first.reason


def test_a_model_nobody_quantized_is_all_fallback_as_int8_and_none_as_float() -> None:
    computing = [node for node in nodes("unquantized") if node.op not in htp_graph.MOVES]
    assert computing
    assert all(node.fallback for node in computing)
    assert not fallbacks("unquantized", None)


def test_weights_are_those_of_the_constants() -> None:
    # 640 + 144 + 256 + 144 + 256 + 192 weights of one byte, 92 biases of four
    assert read(DATA / "ds_cnn_a8w8" / "graph-0.json", WHO).weights == 1632 + 4 * 92
    assert read(DATA / "unquantized" / "graph-0.json", WHO).weights == 4 * (1632 + 92)


def spoiled(folder: Path, change: Any) -> Path:
    said = json.loads((DATA / "ds_cnn_a8w8" / "graph-0.json").read_text())
    change(said["graph"])
    path = folder / "graph-0.json"
    path.write_text(json.dumps(said))
    return path


def first_tensor(key: str, value: Any) -> Any:
    return lambda graph: next(iter(graph["tensors"].values())).update({key: value})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda graph: graph.pop("tensors"), "it has no 'tensors'"),
        (lambda graph: graph["tensors"].pop("features"), "it has no 'features'"),
        (lambda graph: graph["nodes"].clear(), "it holds no operator"),
        (lambda graph: graph["nodes"]["logits"].update(output_names=[]), "writes nothing"),
        (first_tensor("data_type", 0x7FFFFFFF), "unknown data type 0x7fffffff"),
        (first_tensor("data_type", 0x040A), "unknown data type 0x40a"),
        (first_tensor("data_type", "float"), "unsupported operand"),
        (first_tensor("dims", None), "NoneType"),
    ],
)
def test_a_malformed_graph_is_an_error(tmp_path: Path, change: Any, fault: str) -> None:
    with pytest.raises(ToolchainError, match=f"{WHO}: QNN's record of its graph graph-0.json cannot .*{fault}"):
        read(spoiled(tmp_path, change), WHO)


@given(st.floats(0, 0.999))
def test_a_graph_cut_anywhere_is_an_error(part: float) -> None:
    text = (DATA / "ds_cnn_a8w8" / "graph-0.json").read_text()
    with pytest.raises(ValueError, match="line 1 column"):
        parse(text[: int(len(text) * part)])


def test_a_graph_that_is_gone_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolchainError, match="cannot be trusted"):
        read(tmp_path / "graph-0.json", WHO)
    monkeypatch.setattr(htp_graph, "MAX_GRAPH", 100)
    with pytest.raises(ToolchainError, match="larger than"):
        nodes("ds_cnn_a8w8")
