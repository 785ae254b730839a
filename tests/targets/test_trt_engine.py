"""Layers against ONNX nodes: what no recorded engine shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ToolchainError
from harness.quantize import ptq
from harness.quantize.trt import COMPUTE, OPTIONS
from harness.recipe import Recipe
from harness.targets.base import Evidence, Node, Placement
from harness.targets.trt_engine import DTYPES, WIDER, Graph, Heard, Layer, Tensor, dtype_of, placement, read_graph
from tests.targets.models import ds_cnn, half_quantized

BOUNDARY = frozenset({"features", "logits"})
HEARD = Heard(Evidence.BOARD, "TensorRT 10.3")


def layer(name: str, reads: str, *nodes: str, kind: str = "CaskConvolution", source: str = "x", to: str = "y") -> Layer:
    return Layer(name, kind, (Tensor(source, reads),), (Tensor(to, "float32"),), nodes)


def placed(layers: list[Layer], ops: dict[str, str], asked: str = "int8", heard: Heard = HEARD) -> Placement:
    return placement(layers, Graph(ops, BOUNDARY), asked, heard, "small jetson/int8")


@pytest.mark.parametrize("op", ["Conv", "Gemm", "MatMul", "ConvTranspose", "GRU", "LSTM"])
def test_a_node_that_no_layer_computes_is_an_error_not_health(op: str) -> None:
    with pytest.raises(ToolchainError, match=f"small jetson/int8: no layer .* computes {op} lost, so their types"):
        placed([layer("other", "int8", "other")], {"lost": op, "other": "Conv"})


def test_an_empty_table_is_an_error() -> None:
    with pytest.raises(ToolchainError, match="is empty, which proves nothing"):
        placed([], {})


def test_every_node_of_a_fused_layer_is_judged() -> None:
    fused = layer("q + k", "float32", "q", "k", kind="gemm")
    assert [node.name for node in placed([fused], {"q": "MatMul", "k": "MatMul"}).fallbacks] == ["q", "k"]


def test_one_of_two_kernels_in_float_is_enough() -> None:
    layers = [layer("c_0", "int8", "c"), layer("c_1", "float16", "c")]
    assert (
        placed(layers, {"c": "Conv"}).fallbacks[0].reason
        == "asked for int8, but layer c_0 (CaskConvolution) reads float16"
    )


@given(st.sampled_from(sorted(WIDER)), st.sampled_from(sorted(set(DTYPES.values()))))
def test_a_kernel_falls_back_exactly_where_it_reads_a_wider_float(asked: str, reads: str) -> None:
    found = placed([layer("c", reads, "c")], {"c": "Conv"}, asked)
    assert bool(found.fallbacks) == (reads in WIDER[asked])
    assert found.nodes[0].dtype == reads


def test_a_generated_kernel_may_convert_the_networks_input_but_a_library_kernel_may_not_read_it() -> None:
    glue = layer("cast_gemm", "float32", "fc", kind="kgen", source="features")
    assert placed([glue], {"fc": "Gemm"}, "fp16").fallbacks == ()
    conv = layer("c", "float32", "c", source="features")
    assert [node.name for node in placed([conv], {"c": "Conv"}, "fp16").fallbacks] == ["c"]


def test_a_reformat_between_layers_is_found_and_one_at_the_boundary_is_not() -> None:
    inner = layer("Reformatting CopyNode for Output Tensor 0 to c", "int8", kind="Reformat")
    outer = layer("Reformatting CopyNode for Input Tensor 0 to c", "float32", kind="Reformat", source="features")
    conv = layer("c", "int8", "c")
    found = placed([outer, conv, inner], {"c": "Conv"})
    assert found.fallbacks == (
        Node(inner.name, "Reformat", "int8", "gpu", True, "copies int8 to float32 between layers whose formats differ"),
    )
    assert found.nodes[0].reason == "copies at the network's boundary"


def test_a_recurrent_layer_that_is_named_is_judged_by_its_own_layers() -> None:
    layers = [layer("gru_0", "float32", "gru", kind="kgen"), layer("c", "int8", "c")]
    ops = {"gru": "GRU", "c": "Conv"}
    assert [node.name for node in placed(layers, ops).fallbacks] == ["gru"]


def test_what_stays_on_the_gpu_is_found_with_the_dlas_reason_and_its_share_of_the_time() -> None:
    heard = Heard(Evidence.BOARD, "TensorRT 10.3", {"fc": 0.25}, {"fc": "the DLA has no MATRIX_MULTIPLY of this kind"})
    layers = [layer("{ForeignNode[a...b]}", "float16", kind="DLA"), layer("fc", "float16", "fc", kind="gemm")]
    found = placed(layers, {"a": "Conv", "b": "Conv", "fc": "Gemm"}, "fp16", heard)
    assert [(node.name, node.where) for node in found.nodes] == [("a", "dla"), ("b", "dla"), ("fc", "gpu")]
    asked, share = found.fallbacks[0].reason.split("; ")
    assert asked == "asked onto the DLA, but runs on the GPU: the DLA has no MATRIX_MULTIPLY of this kind"
    assert share == "25.0 % of the profiled time"
    assert found.partitions == 2


def test_a_layer_off_the_dla_without_a_known_reason_is_found_all_the_same() -> None:
    heard = Heard(Evidence.BOARD, "TensorRT 10.3", left={})
    found = placed([layer("pool", "float16", kind="Pooling"), layer("dla", "float16", "c", kind="DLA")], {"c": "Conv"},
                   "fp16", heard)  # fmt: skip
    assert [node.reason for node in found.fallbacks] == [
        "asked onto the DLA, but runs on the GPU: TensorRT says no why"
    ]


@pytest.mark.parametrize(
    ("said", "dtype"),
    [
        ("Half", "float16"),
        ("Row major linear FP16 format", "float16"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ("Channel major FP16 format where channel % 4 == 0", "float16"),
        ("BFloat16", "bfloat16"),
    ],
)
def test_types_are_read_from_words_and_from_formats(said: str, dtype: str) -> None:
    assert dtype_of(said) == dtype


def test_an_unknown_type_is_no_type() -> None:
    with pytest.raises(ValueError, match="'Row major Posit' names no type"):
        dtype_of("Row major Posit")


@pytest.mark.parametrize("weights", [False, True], ids=["input", "weights"])
def test_a_node_without_qdq_is_float_whatever_its_kernel_reads(tmp_path: Path, weights: bool) -> None:
    graph = read_graph(half_quantized(tmp_path / "m.onnx", weights=weights))
    assert graph.bare == {"first"}
    layers = [
        layer("fused", "float32", "first", kind="kgen", source="features"),
        layer("fc", "int8", "logits", kind="gemm"),
    ]
    nodes = placement(layers, graph, "int8", HEARD, "small jetson/int8").fallbacks
    assert [(node.name, node.dtype) for node in nodes] == [("first", "float32")]
    assert placement(layers, graph, "fp16", HEARD, "small jetson/fp16").fallbacks == ()


def test_a_whole_qdq_graph_leaves_nothing_bare(tmp_path: Path) -> None:
    quantized = tmp_path / "int8.onnx"
    recipe = Recipe(target="jetson", name="int8", precision="int8")
    windows = np.random.default_rng(1).standard_normal((4, 49, 10)).astype(np.float32)
    ptq.quantize_onnx(ds_cnn(tmp_path / "m.onnx", channels=8), quantized, windows, recipe, ops=COMPUTE, options=OPTIONS)
    assert read_graph(quantized).bare == frozenset()
