"""snpe-diagview's listing and snpe-throughput-net-run's lines: read whole, or refused; every way off the DSP named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ToolchainError
from harness.targets.base import Evidence
from harness.targets.diagview import Profile, op_of, parse, plain, throughput

DATA = Path(__file__).parents[1] / "data" / "snpe"
DSP = (DATA / "diagview_dsp.txt").read_text()
THROUGHPUT = (DATA / "throughput.txt").read_text()
OPS = {"stem_conv": "Conv", "stem": "Relu", "depth0_conv": "Conv", "point0_conv": "Conv", "logits": "Gemm"}


def refused(text: str) -> str:
    with pytest.raises(ToolchainError, match="ds-cnn rb5/int8: snpe-diagview's listing cannot be trusted") as caught:
        parse(text, "ds-cnn rb5/int8")
    return str(caught.value)


def edited(old: str, new: str) -> str:
    assert DSP.count(old) == 1, old
    return DSP.replace(old, new)


def read(text: str) -> Profile:
    return parse(text, "ds-cnn rb5/int8")


def test_a_run_on_the_dsp_alone() -> None:
    found = read(DSP)
    assert found.version == "2.37.0.250724175447_124859"
    assert (found.total_us, found.rpc_us, found.accelerator_us) == (1328, 290, 59)
    assert found.subnets == (("DSP", 13545, "cycles"),)
    placed = found.placement("adb:1", OPS)
    assert (placed.evidence, placed.partitions, placed.fallbacks) == (Evidence.BOARD, 1, ())
    assert placed.source == "snpe-diagview 2.37.0.250724175447_124859 on adb:1"
    assert [(node.name, node.op) for node in placed.nodes[:3]] == [
        ("Input", "Input"),
        ("stem.conv", "Conv"),
        ("stem", "Relu"),
    ]
    assert {(node.dtype, node.where) for node in placed.nodes} == {("int8", "dsp")}


def test_a_layer_on_the_cpu_is_a_fallback() -> None:
    text = edited("pool:OpId_40 (cycles) : 510 cycles : DSP", "pool : 40 us : CPU").replace("13545", "13035")
    (fallback,) = read(text).placement("adb:1", OPS).fallbacks
    assert (fallback.name, fallback.where, fallback.reason) == ("pool", "cpu", "it ran on the CPU (40 us)")


def test_a_second_subnet_is_a_fallback() -> None:
    whole = "    Subnet 0 (DSP) : 13545 cycles\n"
    cut = "    Subnet 0 (DSP) : 11497 cycles\n    Subnet 1 (DSP) : 2048 cycles\n"
    placed = read(edited(whole, cut)).placement("adb:1", OPS)
    assert placed.partitions == 2
    assert [(node.name, node.reason) for node in placed.fallbacks] == [
        ("Subnet 1", "the graph was cut into 2 subnets, with a copy between each")
    ]


def test_the_float_path_runs_on_the_cpu_and_is_no_fallback() -> None:
    found = read((DATA / "diagview_cpu_float.txt").read_text())
    assert (found.total_us, found.rpc_us) == (69, 0)
    assert found.placement("adb:1", OPS, quantized=False).fallbacks == ()
    assert len(found.placement("adb:1", OPS).fallbacks) == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "states no software library version"),
        ((DATA / "diagview_2.9.txt").read_text(), "0 sections 'Per-Subnet Execution Times:'"),
        (edited("  Total Inference Time: 1328 us\n", ""), "states Total Inference Time 0 times"),
        (DSP + DSP, "states Total Inference Time 2 times"),
        (edited("    Subnet 0 (DSP) : 13545 cycles\n", ""), "0 of 0 lines of subnets"),
        (edited("Subnet 0 (DSP) : 13545 cycles", "Subnet 0 (DSP) : lots"), "1 of 1 lines of subnets"),
        (edited("Subnet 0 (DSP)", "Subnet 1 (DSP)"), "not numbered from 0"),
        (edited("    3: depth0.conv:OpId_29 (cycles) : 1900 cycles : DSP\n", ""), "layer 3 is not understood"),
        (edited("500 cycles : DSP\n    7", "500 cycles : \n    7"), "layer 6 is not understood"),
        (DSP[: DSP.index("    0: Input")], "it lists no layer"),
        (DSP[: DSP.index("    6: logits")], "12004 of 13545 cycles: it is cut short"),
    ],
    ids=lambda value: "" if "\n" in value else value,
)
def test_what_is_not_understood_is_refused(text: str, said: str) -> None:
    message = refused(text)
    assert said in message
    assert "is not judged" in message


@given(st.integers(0, len(DSP) - 2))
def test_a_listing_cut_anywhere_is_refused(end: int) -> None:
    refused(DSP[:end])


def test_fewer_layers_than_the_model_has_convolutions() -> None:
    read(DSP).require(4, "ds-cnn rb5/int8")
    with pytest.raises(ToolchainError, match="it has 8 layers, and the model 9 convolutions"):
        read(DSP).require(9, "ds-cnn rb5/int8")


def test_layers_are_matched_to_nodes_as_converters_rename_them() -> None:
    ops = {plain("/stem/stem.0/Conv"): "Conv"}
    assert op_of("_stem_stem.0_Conv:OpId_18 (cycles)", ops) == "Conv"
    assert op_of("sequential_1/dense_1/Relu:OpId_20 (cycles)", ops) == "Relu"


def test_throughput_has_its_own_n() -> None:
    found = throughput(THROUGHPUT, "ds-cnn rb5/int8")
    assert (found.per_second, found.count, found.runtime) == (1581.96, 15803, "dsp_fixed8_tf")


@pytest.mark.parametrize(
    "text", ["", THROUGHPUT.split("\n")[0], "Total throughput: 1581.96 infs/sec\n", THROUGHPUT.replace("1581.96", "0")]
)
def test_throughput_that_is_not_told_is_an_error(text: str) -> None:
    with pytest.raises(ToolchainError, match="ds-cnn rb5/int8: snpe-throughput-net-run printed no 'Total throughput"):
        throughput(text, "ds-cnn rb5/int8")


def test_throughput_of_another_unit_is_an_error() -> None:
    with pytest.raises(ToolchainError, match="ran on cpu_float32, not on the DSP"):
        throughput(THROUGHPUT.replace("dsp_fixed8_tf", "cpu_float32"), "ds-cnn rb5/int8")
