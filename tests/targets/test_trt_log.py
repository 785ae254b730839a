"""The layer table of the build log, read from recorded output (see tests/data/jetson/README.md)."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import CandidateError, ToolchainError
from harness.targets.base import Evidence, Placement
from harness.targets.trt_engine import Heard, placement, read_graph
from harness.targets.trt_log import END, START, parse, read_log
from tests.targets.models import ds_cnn, gru, transposed

LOGS = Path(__file__).parents[1] / "data" / "jetson"
MODELS = {"ds_cnn": ds_cnn, "gru": gru, "transposed": transposed}
VERSION = "TensorRT-RTX 1.7.1.116"


def log(name: str) -> str:
    return (LOGS / f"{name}.log").read_text()


def placed(name: str, folder: Path) -> Placement:
    model, precision = name.rsplit("_", 1)
    # The float graph has the node names of the Q/DQ graph that was recorded, but none of its Q/DQ.
    graph = replace(read_graph(MODELS[model](folder / "model.onnx")), bare=frozenset())
    heard = Heard(Evidence.EMULATOR, VERSION)
    return placement(parse(log(name), "small", VERSION), graph, precision, heard, "small jetson/int8")


@pytest.mark.parametrize(("name", "dtype", "count"), [("ds_cnn_int8", "int8", 21), ("ds_cnn_fp16", "float16", 13)])
def test_a_network_wholly_in_the_type_asked_for(name: str, dtype: str, count: int, tmp_path: Path) -> None:
    found = placed(name, tmp_path)
    assert found.fallbacks == ()
    assert (found.evidence, found.partitions, found.source) == (Evidence.EMULATOR, 1, VERSION)
    computing = [node for node in found.nodes if node.op in ("Conv", "Gemm")]
    assert [node.name for node in computing[:2]] == ["stem.conv", "depth0.conv"]
    assert len(computing) == 10
    assert {(node.dtype, node.where) for node in computing} == {(dtype, "gpu")}
    assert len(found.nodes) == count


def test_glue_says_which_nodes_it_is_part_of(tmp_path: Path) -> None:
    glue = next(node for node in placed("ds_cnn_int8", tmp_path).nodes if "depth0" in node.reason)
    assert (glue.op, glue.reason) == ("kgen", "part of stem.conv, stem, depth0.conv")


def test_a_gru_that_silently_stays_float_is_named(tmp_path: Path) -> None:
    (found,) = placed("gru_int8", tmp_path).fallbacks
    assert (found.op, found.name, found.dtype) == ("GRU", "gru", "float32")
    assert "a loop of which 13 layers compute in float32 and 0 in int8" in found.reason
    assert "streaming step" in found.reason


def test_a_gru_in_fp16_stays_in_fp16(tmp_path: Path) -> None:
    found = placed("gru_fp16", tmp_path)
    assert found.fallbacks == ()
    assert [node.dtype for node in found.nodes if node.op == "GRU"] == ["float16"]


def test_a_layer_behind_a_dequantize_that_reads_float_is_named(tmp_path: Path) -> None:
    (found,) = placed("transposed_int8", tmp_path).fallbacks
    assert (found.op, found.name, found.dtype) == ("ConvTranspose", "up", "float32")
    assert re.fullmatch(r"asked for int8, but layer up_U\d+_myl0_\d+ \(deconv\) reads float32", found.reason)


def test_the_last_build_of_a_log_counts() -> None:
    assert parse(log("gru_int8") + log("ds_cnn_int8"), "small", VERSION) == parse(log("ds_cnn_int8"), "small", VERSION)


@given(st.floats(0, 1))
def test_a_log_cut_anywhere_is_an_error_or_says_the_same(part: float) -> None:
    text = log("ds_cnn_int8")
    whole = parse(text, "small", VERSION)
    with contextlib.suppress(ToolchainError):
        assert parse(text[: int(len(text) * part)], "small", VERSION) == whole


@pytest.mark.parametrize(
    ("pattern", "replacement", "fault"),
    [
        (re.escape(START), "[VERBOSE] Engine Layers:", "there is none in its output"),
        (END, "Bindings:", "the row 'Bindings:' has not the parts Name to Metadata"),
        (f"(?s){END}.*", "", "it is cut short: no 'I/O Tensors:' follows"),
        (r"(?s)(Layers:\n).*?(\nI/O Tensors)", r"\1\2", "it is empty"),
        ("LayerType: correlation", "Kind: correlation", "has not the parts Name to Metadata"),
        ("Metadata: ", "Origin: ", "has no Metadata"),
        ("Datatype: Int8", "Datatype: Int3", "'Int3' names no type"),
        (r"\{ Name: features, Dimensions: \[1,1,49,10\]", "{ Name: features, Shape: [1]", "is no list of tensors"),
    ],
)
def test_a_malformed_or_other_version_is_an_error(pattern: str, replacement: str, fault: str) -> None:
    text, count = re.subn(pattern, replacement, log("ds_cnn_int8"), count=1)
    assert count == 1
    with pytest.raises(ToolchainError, match=f"small jetson/int8: .*cannot be trusted: .*{fault}.*RTX 1.7.1.116"):
        parse(text, "small jetson/int8", VERSION)


def test_no_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="left no log"):
        read_log(tmp_path / "stdout.log", "small", VERSION)


@pytest.mark.parametrize("name", ["x, LayerType: gemm", "a][ONNX Layer: b", "{ Name: y"])
def test_a_name_that_could_forge_the_table_is_refused(name: str, tmp_path: Path) -> None:
    model = onnx.load(ds_cnn(tmp_path / "model.onnx"))
    model.graph.node[0].name = name
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(CandidateError, match=r"could not be trusted\. Rename it"):
        read_graph(tmp_path / "model.onnx")
