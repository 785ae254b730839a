"""Placement of whole builds, from what recorded ones left (see tests/data/htp/README.md)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ToolchainError
from harness.targets.base import Evidence, Placement
from harness.targets.htp_placement import LOG, Built, short
from harness.targets.htp_socs import find

DATA = Path(__file__).parents[1] / "data" / "htp"
WHO = "small htp/a8w8"


def built(folder: Path, **changes: Any) -> Built:
    return Built({**json.loads((folder / "result.json").read_text()), **changes}, folder, WHO)


def placement(name: str) -> Placement:
    return built(DATA / name).read(find("SM8550", WHO), 8)[0]


def test_a_network_wholly_on_the_htp() -> None:
    placed = placement("ds_cnn_a8w8")
    assert placed.fallbacks == ()
    assert placed.partitions == 1
    assert len(placed.nodes) == 12
    assert (placed.evidence, placed.source) == (Evidence.STATIC, "QNN 2.51 validator for SM8550 (v73)")


def test_signed_weights_of_a_layer_norm_split_the_network() -> None:
    placed = placement("layer_norm_signed")
    assert placed.partitions == 2
    first, *conversions = placed.fallbacks
    assert (first.op, first.name, first.dtype, first.where) == ("LayerNormalization", "norm", "float32", "cpu")
    assert "refuses LayerNorm" in first.reason
    assert {node.op for node in conversions} == {"DequantizeLinear", "QuantizeLinear"}
    assert all(node.reason.startswith("goes with LayerNormalization norm") for node in conversions)


def test_an_operator_qnn_does_not_have_is_named_before_its_conversions() -> None:
    assert [(node.op, node.name) for node in placement("erf").fallbacks] == [
        ("Erf", "tail"),
        ("DequantizeLinear", "point1_DequantizeLinear"),
        ("QuantizeLinear", "tail_QuantizeLinear"),
    ]


def test_placed_wholly_yet_float() -> None:
    placed = placement("unquantized")
    assert {node.where for node in placed.nodes} == {"npu"}
    assert {node.op for node in placed.fallbacks} >= {"Conv2d", "DepthWiseConv2d", "FullyConnected"}


def test_a_backend_that_does_not_load_is_an_error_though_a_placement_was_reported() -> None:
    with pytest.raises(ToolchainError, match=r"all 38 nodes are on the CPU.*never asked.*libQnnCpu\.so: cannot open"):
        placement("bad_backend")


def test_a_network_that_qnn_refuses_whole() -> None:
    answer = json.loads((DATA / "erf" / "result.json").read_text())
    assigned = [{**each, "provider": "CPUExecutionProvider"} for each in answer["assigned"]]
    with pytest.raises(ToolchainError, match="QNN refused each one"):
        built(DATA / "erf", assigned=assigned).read(find("", WHO), 8)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"assigned": []}, "recorded no assignment"),
        ({"assigned": None}, "the worker's answer lacks"),
        ({"assigned": [{"op": "Conv"}]}, "the worker's answer lacks 'provider'"),
        ({"graphs": 0, "contexts": 0}, "recorded 0 graphs"),
        ({"graphs": 2}, "recorded 2 graphs and the compiled model holds 1"),
        ({"dtypes": [1]}, "the worker's answer lacks"),
        ({"graphs": 2, "contexts": 2}, r"its graph graph-1\.json cannot be trusted"),
    ],
)
def test_records_that_are_missing_or_contradict_each_other(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ToolchainError, match=f"{WHO}: .*{fault}"):
        built(DATA / "ds_cnn_a8w8", **changes).read(find("", WHO), 8)


def test_a_build_without_its_log(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DATA / "erf", tmp_path / "erf"))
    (folder / LOG).unlink()
    with pytest.raises(ToolchainError, match="the log of QNN's provider cannot be trusted"):
        built(folder).read(find("", WHO), 8)


def test_a_node_without_a_reason_is_a_fallback_all_the_same(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DATA / "erf", tmp_path / "erf"))
    passed = [line for line in (folder / LOG).read_text().splitlines() if "FAILED" not in line]
    (folder / LOG).write_text("\n".join(passed))
    fallbacks = built(folder).read(find("", WHO), 8)[0].fallbacks
    assert fallbacks[0].name == "tail"
    assert {node.reason for node in fallbacks} == {"QNN was not asked for it, or did not say why"}


def test_versions_in_short() -> None:
    assert short("v2.51.0.260929181845") == "2.51"
    assert short("") == "of unknown version"
