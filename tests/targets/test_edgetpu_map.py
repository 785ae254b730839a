"""Where a model would run: against what the real compiler made of public models, and chains that break it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ToolchainError
from harness.targets import edgetpu_map, tflite_file
from harness.targets.base import Evidence, Placement
from tests.targets.models import ds_cnn
from tests.targets.tflite_models import tflite_of
from tests.targets.tflite_ops import Chain, compiled

PAIRS = Path(__file__).parents[3] / "shared" / "data" / "edgetpu_pairs"
ORIGINALS = [path for path in sorted(PAIRS.glob("*.tflite")) if not path.stem.endswith("_edgetpu")]
ABSENT = f"{PAIRS} is absent: Coral's public test models and their compiled counterparts are not on this machine"


def placed(chain: Chain, folder: Path) -> Placement:
    return edgetpu_map.placement(tflite_file.read(chain.save(folder / "m.tflite")))


def where(placement: Placement) -> dict[str, str]:
    return {node.op: node.where for node in placement.nodes}


def reasons(placement: Placement) -> dict[str, str]:
    return {node.op: node.reason for node in placement.fallbacks}


@pytest.mark.skipif(not ORIGINALS, reason=ABSENT)
@pytest.mark.parametrize("original", ORIGINALS, ids=lambda path: path.stem)
def test_what_the_real_compiler_left_to_the_cpu(original: Path) -> None:
    real = tflite_file.read(original.with_name(f"{original.stem}_edgetpu.tflite"))
    left = Counter((op.kind, op.name) for op in real.ops if op.custom != edgetpu_map.COMPILED)
    placement = edgetpu_map.placement(tflite_file.read(original))
    assert Counter((node.op, node.name) for node in placement.nodes if node.where == edgetpu_map.CPU) == left
    assert all(node.reason for node in placement.fallbacks)
    assert placement.partitions == sum(op.custom == edgetpu_map.COMPILED for op in real.ops)


def test_a_gelu_in_the_middle_sends_everything_after_it_to_the_cpu(tmp_path: Path) -> None:
    chain = Chain()
    chain.op("RELU", name="/before")
    chain.op("GELU", name="/x")
    chain.op("TANH", name="/after")
    chain.op("LOGISTIC", name="/last")
    placement = placed(chain, tmp_path)
    assert where(placement) == {"RELU": "edgetpu", "GELU": "cpu", "TANH": "cpu", "LOGISTIC": "cpu"}
    after = "after GELU /x, which the Edge TPU does not support: everything after it runs on the CPU"
    assert reasons(placement) == {"GELU": "the Edge TPU does not support GELU", "TANH": after, "LOGISTIC": after}
    assert (placement.evidence, placement.source) == (Evidence.STATIC, "Coral's operator rules, static")


def test_an_operator_beyond_its_limits_is_named_with_them(tmp_path: Path) -> None:
    chain = Chain((1, 8, 8, 5))
    chain.op("MEAN", chain.ints(3), shape=(1, 8, 8), name="/pool")
    chain.op("RELU", name="/r")
    assert reasons(placed(chain, tmp_path))["RELU"] == (
        "after MEAN /pool, which does not map (it reduces z, the innermost dimension, of 5, which is no multiple of "
        "4): everything after it runs on the CPU"
    )


def test_a_branch_beside_it_still_maps(tmp_path: Path) -> None:
    chain = Chain()
    chain.op("GELU", name="/left")
    left, chain.last = chain.last, chain.source
    chain.op("RELU", name="/right")
    chain.op("ADD", left, name="/join")
    assert where(placed(chain, tmp_path)) == {"GELU": "cpu", "RELU": "edgetpu", "ADD": "cpu"}


def test_only_what_quantizes_a_float_input_may_come_first(tmp_path: Path) -> None:
    for kind, expected in (("QUANTIZE", "edgetpu"), ("CAST", "cpu")):
        chain = Chain(dtype="float32")
        chain.op(kind, name="/in")
        chain.op("RELU", name="/r")
        chain.op("DEQUANTIZE", dtype="float32", name="/out")
        assert where(placed(chain, tmp_path)) == {kind: "cpu", "RELU": expected, "DEQUANTIZE": "cpu"}


def test_a_recurrent_layer_unrolled_is_caught_at_its_first_product(tmp_path: Path) -> None:
    chain = Chain((1, 16))
    for step in range(3):
        chain.op("BATCH_MATMUL", chain.weights(16, 16), name=f"/gru/{step}")
        chain.op("LOGISTIC", name=f"/gru/gate{step}")
    found = placed(chain, tmp_path).fallbacks
    assert len(found) == 6
    assert found[1].reason.startswith("after BATCH_MATMUL /gru/0, which the Edge TPU does not support")


def test_a_float_model_is_not_quantized(tmp_path: Path) -> None:
    model = tflite_of(ds_cnn(tmp_path / "m.onnx", channels=8, blocks=1), tmp_path / "m.tflite")
    placement = edgetpu_map.placement(tflite_file.read(model))
    assert placement.partitions == 0
    assert len(placement.fallbacks) == len(placement.nodes)
    assert {node.reason.partition(":")[0] for node in placement.nodes} == {"Model not quantized"}
    assert {node.dtype for node in placement.nodes} == {"float32"}


def test_a_batch_keeps_all_of_it_off(tmp_path: Path) -> None:
    chain = Chain((4, 8, 8, 4))
    chain.op("RELU")
    chain.op("TANH")
    found = reasons(placed(chain, tmp_path))
    assert "a batch is one too many" in found["RELU"]
    assert "a batch is one too many" in found["TANH"]


def test_more_than_one_subgraph_keeps_all_of_it_off(tmp_path: Path) -> None:
    chain = Chain()
    chain.op("RELU")
    model = tflite_file.read(chain.save(tmp_path / "m.tflite"))
    two = tflite_file.Tflite(model.path, model.ops, 2)
    assert "has 2 subgraphs" in edgetpu_map.placement(two).nodes[0].reason


def test_a_file_out_of_order_is_named_so(tmp_path: Path) -> None:
    chain = Chain()
    chain.op("RELU")
    chain.op("TANH")
    chain.writer.graph.operators.reverse()
    found = reasons(placed(chain, tmp_path))
    assert list(found) == ["TANH"]
    assert "out of order" in found["TANH"]


def test_what_is_compiled_already_cannot_be_placed(tmp_path: Path) -> None:
    chain = Chain()
    chain.op("RELU")
    chain.op("GELU")
    made = compiled(chain.save(tmp_path / "m.tflite"), tmp_path / "m_edgetpu.tflite", 1)
    with pytest.raises(ToolchainError, match="is compiled for the Edge TPU already"):
        edgetpu_map.placement(tflite_file.read(made))


def test_a_mapped_operator_says_which_runtime_it_needs(tmp_path: Path) -> None:
    chain = Chain()
    chain.op("TRANSPOSE", chain.ints(0, 3, 1, 2), shape=(1, 4, 8, 8))
    (node,) = placed(chain, tmp_path).nodes
    assert (node.fallback, node.reason) == (False, "needs Edge TPU runtime 14")


def test_parameters_count_each_buffer_once(tmp_path: Path) -> None:
    chain = Chain((1, 16))
    shared = chain.weights(16, 16)
    for _ in range(2):
        chain.op("FULLY_CONNECTED", shared, chain.constant(f"bias{chain.count}", np.ones(16, np.int32)))
    model = tflite_file.read(chain.save(tmp_path / "m.tflite"))
    assert edgetpu_map.parameters(model.ops) == 16 * 16 + 2 * 16 * 4


def test_parameters_beyond_the_chip_are_a_finding() -> None:
    assert edgetpu_map.streamed(edgetpu_map.ON_CHIP, 0) == ()
    (node,) = edgetpu_map.streamed(edgetpu_map.ON_CHIP, 2**20)
    assert (node.op, node.where, node.fallback) == ("PARAMETERS", "off-chip", True)
    assert "1.00 MiB of its 8.70 MiB of parameters do not fit on the chip" in node.reason


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["RELU", "TANH", "LOGISTIC", "GELU", "ELU"]), min_size=1, max_size=8))
def test_in_a_chain_the_cpu_begins_at_the_first_that_does_not_map(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str]
) -> None:
    chain = Chain()
    for kind in kinds:
        chain.op(kind)
    folder = tmp_path_factory.getbasetemp()
    first = next((i for i, kind in enumerate(kinds) if kind in ("GELU", "ELU")), len(kinds))
    units = [node.where for node in placed(chain, folder).nodes]
    assert units == ["edgetpu"] * first + ["cpu"] * (len(kinds) - first)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\0\0\0TFL3" + b"\xff" * 60, b"\x08\0\0\0ONNX"])
def test_what_is_no_tflite(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(ToolchainError, match=r"m\.tflite is no readable \.tflite"):
        tflite_file.read(tmp_path / "m.tflite")


@settings(max_examples=60, deadline=None)
@given(st.integers(0), st.binary(min_size=1, max_size=8))
def test_a_damaged_file_is_an_error_or_is_read(
    tmp_path_factory: pytest.TempPathFactory, place: int, junk: bytes
) -> None:
    chain = Chain()
    chain.op("RELU")
    path = chain.save(tmp_path_factory.getbasetemp() / "m.tflite")
    content = bytearray(path.read_bytes())
    start = place % len(content)
    content[start : start + len(junk)] = junk
    path.write_bytes(content)
    try:
        model = tflite_file.read(path)
    except ToolchainError:
        return
    assert model.ops
