"""The documented rules of SNPE's DSP runtime on V66: what runs there, and the reason for all that does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.targets import v66_rules
from harness.targets.base import Evidence, Node
from tests.targets.models import ds_cnn, gru

SHIPPED = Path(__file__).parents[2] / "models"


def one(tmp_path: Path, op: str, shape: list[int | str] | None = None, **settings: object) -> Node:
    """The verdict on one operator between two tensors."""
    domain = str(settings.pop("domain", ""))
    weight = settings.pop("weight", None)
    shape = shape or [1, 4, 8, 8]
    inputs = ["x", *(["w"] if weight is not None else [])]
    node = helper.make_node(op, inputs, ["y"], name="it", domain=domain, **settings)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(weight, np.float32), "w")] if weight is not None else [],  # type: ignore[call-overload]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("own", 1)])
    path = tmp_path / "one.onnx"
    path.write_bytes(model.SerializeToString())
    (found,) = v66_rules.placement(path).nodes
    return found


@pytest.mark.parametrize("name", ["commands", "wakewords"])
def test_the_shipped_models_keep_them(name: str) -> None:
    placed = v66_rules.placement(SHIPPED / name / "model.onnx")
    assert placed.fallbacks == ()
    assert (placed.evidence, placed.partitions) == (Evidence.STATIC, 1)
    assert "SNPE DSP V66 rules, static" in placed.source
    assert {(node.where, node.dtype) for node in placed.nodes} == {("dsp", "int8")}
    assert len(placed.nodes) == len(onnx.load(SHIPPED / name / "model.onnx").graph.node)


def test_an_operator_in_the_middle_is_named_and_cuts_the_graph(tmp_path: Path) -> None:
    placed = v66_rules.placement(ds_cnn(tmp_path / "m.onnx", channels=8, blocks=1, tail="Softplus"))
    (fallback,) = placed.fallbacks
    assert (fallback.name, fallback.op, fallback.where) == ("tail", "Softplus", "cpu")
    assert "not on the V66's DSP" in fallback.reason
    assert placed.partitions == 2


def test_a_gru_is_named_with_what_to_do(tmp_path: Path) -> None:
    (fallback,) = v66_rules.placement(gru(tmp_path / "m.onnx")).fallbacks
    assert (fallback.name, fallback.op) == ("gru", "GRU")
    assert "no runtime of SNPE has a GRU: unroll it" in fallback.reason


@pytest.mark.parametrize("op", ["Erf", "Gelu", "Sin", "Softplus"])
def test_what_the_table_denies_the_dsp(tmp_path: Path, op: str) -> None:
    assert one(tmp_path, op).fallback


@pytest.mark.parametrize("op", ["Mish", "HardSigmoid", "Selu", "Det"])
def test_what_the_table_does_not_name_is_never_silently_fine(tmp_path: Path, op: str) -> None:
    found = one(tmp_path, op)
    assert (found.fallback, found.where) == (True, "unknown")
    assert found.reason == f"{op} is not known to run on V66"


def test_an_operator_of_another_domain(tmp_path: Path) -> None:
    assert one(tmp_path, "Relu", domain="own").reason == "an operator of own is not known to run on V66"


@pytest.mark.parametrize(
    ("op", "settings", "said"),
    [
        ("Gemm", {"weight": [4, 3], "shape": [1, 4]}, "fully connected layer"),
        ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 2]}, "without dilations"),
        ("ConvTranspose", {"weight": [4, 2, 3, 3, 3], "shape": [1, 4, 8, 8, 8]}, "transposed convolution in 3-D"),
        ("LpNormalization", {"p": 1}, "with p=2"),
    ],
)
def test_limits_of_what_is_named(tmp_path: Path, op: str, settings: dict[str, object], said: str) -> None:
    found = one(tmp_path, op, **settings)  # type: ignore[arg-type]
    assert found.fallback
    assert said in found.reason


@pytest.mark.parametrize(
    ("op", "settings"),
    [
        ("Gemm", {"weight": [3, 4], "shape": [1, 4], "transB": 1}),
        ("MaxPool", {"kernel_shape": [2, 2]}),
        ("ConvTranspose", {"weight": [4, 2, 3, 3]}),
        ("LpNormalization", {}),
    ],
)
def test_within_their_limits_they_run(tmp_path: Path, op: str, settings: dict[str, object]) -> None:
    assert not one(tmp_path, op, **settings).fallback  # type: ignore[arg-type]


def test_a_dynamic_shape_is_named(tmp_path: Path) -> None:
    assert "its shape is dynamic" in one(tmp_path, "Relu", shape=[1, "frames", 8, 8]).reason


def test_no_operator_is_in_two_lists() -> None:
    lists = (v66_rules.RUNS, v66_rules.OTHER_UNITS, v66_rules.VANISHES)
    assert sum(map(len, lists)) == len(frozenset.union(*lists))
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    assert frozenset.union(*lists) <= known
