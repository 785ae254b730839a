"""EngineInspector's JSON of both majors, as documented (see tests/data/jetson/README.md)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ToolchainError
from harness.targets.base import Evidence
from harness.targets.trt_engine import Graph, Heard, placement
from harness.targets.trt_inspector import parse, read

DATA = Path(__file__).parents[1] / "data" / "jetson"
GRAPH = Graph(
    {"stem.conv": "Conv", "stem": "Relu", "up": "ConvTranspose", "logits": "Gemm"}, frozenset({"features", "logits"})
)


def said(major: int) -> str:
    return (DATA / f"inspector_{major}.json").read_text()


@pytest.mark.parametrize("major", [10, 11])
def test_both_majors_say_the_same(major: int) -> None:
    placed = placement(parse(said(major), "small"), GRAPH, "int8", Heard(Evidence.BOARD, "TensorRT"), "small")
    reformat, conv, up, gemm = placed.nodes
    assert (reformat.op, reformat.fallback, reformat.reason) == ("Reformat", False, "copies at the network's boundary")
    assert (conv.name, conv.op, conv.dtype, conv.fallback) == ("stem.conv", "Conv", "int8", False)
    assert (gemm.name, gemm.dtype, gemm.fallback) == ("logits", "int8", False)
    assert placed.fallbacks == (up,)
    assert up.reason == "asked for int8, but layer up (CaskDeconvolution) reads float16"


def test_without_metadata_the_layers_name_tells_its_nodes() -> None:
    whole = json.loads(said(10))
    for layer in whole["Layers"]:
        del layer["Metadata"]
    assert parse(json.dumps(whole), "small")[1].nodes == ("stem.conv", "stem")


def change(edit: Callable[[Any], None], major: int = 10) -> str:
    whole = json.loads(said(major))
    edit(whole)
    return json.dumps(whole)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "Expecting value"),
        ("[]", 'no list "Layers"'),
        (change(lambda whole: whole.pop("Bindings")), "neither of 'Bindings' and 'I/O Tensors'"),
        (change(lambda whole: whole.update(Layers=[])), '"Layers" are empty'),
        (change(lambda whole: whole.update(Layers=["stem.conv + stem"])), "the engine was not built DETAILED"),
        (change(lambda whole: whole["Layers"][1].pop("LayerType")), "layer 1 has no Name and LayerType"),
        (change(lambda whole: whole["Layers"][1].pop("Inputs")), "'stem.conv . stem' has no list 'Inputs'"),
        (change(lambda whole: whole["Layers"][1]["Inputs"][0].pop("Name")), "has no Name"),
        (change(lambda whole: whole["Layers"][1]["Inputs"][0].pop("Format/Datatype")), "neither Datatype nor"),
        (change(lambda whole: whole["Layers"][1]["Inputs"][0].pop("Datatype"), 11), "neither Datatype nor"),
        (
            change(lambda whole: whole["Layers"][1]["Inputs"][0].update({"Format/Datatype": "Posit"})),
            "'Posit' names no",
        ),
    ],
)
def test_what_is_not_understood_is_an_error(text: str, fault: str) -> None:
    with pytest.raises(ToolchainError, match=f"small jetson/int8: what the EngineInspector .*trusted: .*{fault}"):
        parse(text, "small jetson/int8")


@given(st.floats(0, 1), st.sampled_from([10, 11]))
def test_json_cut_anywhere_is_an_error_or_says_the_same(part: float, major: int) -> None:
    text = said(major)
    with contextlib.suppress(ToolchainError):
        assert parse(text[: int(len(text) * part)], "small") == parse(text, "small")


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"left no inspector\.json"):
        read(tmp_path / "inspector.json", "small")
