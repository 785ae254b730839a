"""The layer table, read from recorded compiler output (see tests/data/rknn/ORIGIN.md)."""

from __future__ import annotations

import contextlib
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ToolchainError
from harness.targets.base import Evidence, Placement
from harness.targets.rknn_table import BOUNDARY, PREFIX, TITLE, parse, read_log

LOGS = Path(__file__).parents[1] / "data" / "rknn"


def log(name: str) -> str:
    return (LOGS / f"{name}.log").read_text()


def placement(name: str, *, quantized: bool = True) -> Placement:
    return parse(log(name), "small rk3588/int8").placement(quantized=quantized)


def fallbacks(name: str) -> dict[str, str]:
    return {node.name: node.reason for node in placement(name).fallbacks}


@pytest.mark.parametrize("name", ["ds_cnn_int8", "ds_cnn_int8_mmse"])
def test_a_network_wholly_on_the_npu(name: str) -> None:
    placed = placement(name)
    assert placed.fallbacks == ()
    assert placed.evidence is Evidence.STATIC
    assert placed.partitions == 1
    assert len(placed.nodes) == 15
    assert {(node.dtype, node.where) for node in placed.nodes[1:-2]} == {("int8", "npu")}
    assert (placed.nodes[1].name, placed.nodes[1].op) == ("Conv:stem.conv", "ConvRelu")


def test_what_every_build_has_on_the_cpu_is_no_fallback_and_says_why() -> None:
    reshape, out = placement("ds_cnn_int8").nodes[-2:]
    assert (reshape.op, reshape.where, out.op, out.where) == ("Reshape", "cpu", "OutputOperator", "cpu")
    assert "every build" in reshape.reason
    assert "every build" in out.reason


def test_fp16_is_a_fallback_only_where_int8_was_asked_for() -> None:
    assert placement("ds_cnn_fp16", quantized=False).fallbacks == ()
    assert len(placement("ds_cnn_fp16", quantized=True).fallbacks) == 13  # every layer between input and output


def test_an_operator_without_a_kernel_is_named() -> None:
    assert fallbacks("ds_cnn_int8_selu") == {"Selu:tail": "the compiler put it on the CPU"}
    assert placement("ds_cnn_int8_selu").partitions == 2


def test_a_layer_forced_to_the_cpu_is_named() -> None:
    assert fallbacks("ds_cnn_int8_forced_cpu") == {"Conv:depth1.conv": "the compiler put it on the CPU"}


def test_layers_kept_in_float_are_shown_as_asked_for() -> None:
    kept = ("depth1.conv", "logits")
    compiled = parse(log("ds_cnn_int8_kept"), "small rk3588/int8")
    assert "Conv:depth1.conv" in {node.name for node in compiled.placement(quantized=True).fallbacks}
    placed = compiled.placement(quantized=True, kept=kept)
    assert placed.fallbacks == ()
    told = {node.name: node.reason for node in placed.nodes if node.dtype == "float16" and node.where == "npu"}
    assert told["Conv:depth1.conv"] == "keep_float asks for it"
    assert {name.partition(":")[0] for name in told} == {"Conv", "exDataConvert"}


def test_a_layer_kept_in_float_that_is_not_is_an_error() -> None:
    compiled = parse(log("ds_cnn_int8"), "small rk3588/int8")
    with pytest.raises(ToolchainError, match=r"small rk3588/int8: keep_float names depth1\.conv, .*no float row"):
        compiled.placement(quantized=True, kept=("depth1.conv",), subject="small rk3588/int8")


def test_keeping_one_layer_excuses_no_other() -> None:
    compiled = parse(log("ds_cnn_int8_kept"), "small rk3588/int8")
    found = compiled.placement(quantized=True, kept=("logits",)).fallbacks
    assert [node.name for node in found] == ["Conv:depth1.conv"]


def test_int16_is_no_float() -> None:
    placed = placement("ds_cnn_int16")
    assert placed.fallbacks == ()
    assert {node.dtype for node in placed.nodes} == {"int16"}


def test_a_gru_stays_float_and_drags_a_reshape_and_a_conversion_to_the_cpu() -> None:
    found = fallbacks("gru_int8")
    assert found["exGRU:gru"] == "it stays FLOAT16 where integers were asked for"
    assert found["Reshape:sequence"] == "the compiler put it on the CPU"
    assert "exDataConvert:sequence__cvt_int8_float16" in found


def test_memory_in_bytes() -> None:
    compiled = parse(log("ds_cnn_int8"), "small")
    assert (compiled.internal, compiled.weights) == (17216, 70912)


def rows(text: str) -> range:
    """Line numbers of the header and the rows of the table."""
    lines = text.split("\n")
    start = next(number for number, line in enumerate(lines) if line.endswith("FullName        "))
    return range(start, next(n for n, line in enumerate(lines) if "OutputOperator:" in line) + 1)


@given(st.integers(0))
def test_columns_may_stand_in_any_order(seed: int) -> None:
    text = log("ds_cnn_int8_selu")
    lines = text.split("\n")
    order = list(range(9))
    random.Random(seed).shuffle(order)
    for number in rows(text):
        if "-----" not in lines[number]:
            cells = PREFIX.sub("", lines[number]).split()
            lines[number] = "  ".join(cells[place] for place in order)
    assert parse("\n".join(lines), "small") == parse(text, "small")


@given(st.floats(0, 1))
def test_a_log_cut_anywhere_is_an_error_or_says_the_same(part: float) -> None:
    text = log("ds_cnn_int8_selu")
    whole = parse(text, "small")
    with contextlib.suppress(ToolchainError):
        assert parse(text[: int(len(text) * part)], "small") == whole


@pytest.mark.parametrize(
    ("pattern", "replacement", "fault"),
    [
        (TITLE, "Another Table", "there is none"),
        ("DataType Target InputShape", "DataType Where InputShape", "no column Target"),
        (r"\n.* 5    ConvRelu .*", "", "row 5 has ID '6'"),
        (r"(10   Selu .*)CPU ", r"\1??? ", "on '\\?\\?\\?'"),
        (r"(10   Selu .*)CPU ", r"\1", "8 cells|9 columns|runs in"),
        (r"\n.* OutputOperator .*Output.*", "", "do not lead from"),
        (r"\n.*Total Weight Memory.*", "", "Total Weight Memory Size is missing"),
    ],
)
def test_a_malformed_table_is_an_error(pattern: str, replacement: str, fault: str) -> None:
    text, count = re.subn(pattern, replacement, log("ds_cnn_int8_selu"), count=1)
    assert count == 1
    with pytest.raises(ToolchainError, match=f"small rk3588/int8.*cannot be trusted.*({fault})"):
        parse(text, "small rk3588/int8")


def test_no_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="left no log"):
        read_log(tmp_path / "stdout.log", "small")
    with pytest.raises(ToolchainError, match="there is none"):
        parse("", "small")


def test_boundaries_are_the_first_and_last_row() -> None:
    ops = [node.op for node in placement("gru_int8").nodes]
    assert (ops[0], ops[-1]) == BOUNDARY
