"""onnxruntime's own record of which provider took which node."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import ToolchainError
from harness.targets.base import Evidence
from harness.targets.trt_provider import placement

OPS = {"conv": "Conv", "nonzero": "NonZero", "fc": "Gemm"}
PROVIDERS = {"conv": "Tensorrt", "nonzero": "CPU", "fc": "Tensorrt"}


def record(**providers: str) -> list[dict[str, str]]:
    named = {**PROVIDERS, **providers}
    return [{"node": name, "op": OPS[name], "provider": f"{named[name]}ExecutionProvider"} for name in OPS]


def test_a_node_left_to_another_provider_is_found() -> None:
    placed = placement(record(), OPS, "onnxruntime 1.24", "small")
    assert [(node.name, node.op, node.where) for node in placed.fallbacks] == [("nonzero", "NonZero", "cpu")]
    assert placed.fallbacks[0].reason == "onnxruntime's TensorRT provider left it"
    assert (placed.partitions, placed.evidence, placed.source) == (2, Evidence.BOARD, "onnxruntime 1.24")


def test_all_taken_is_healthy_and_one_partition() -> None:
    placed = placement(record(nonzero="Tensorrt"), OPS, "onnxruntime 1.24", "small")
    assert (placed.fallbacks, placed.partitions) == ((), 1)


@pytest.mark.parametrize(
    ("assigned", "fault"),
    [
        ([], "recorded who took 0 nodes, none of them the model's own"),
        ([{"node": "else", "op": "Conv", "provider": "TensorrtExecutionProvider"}], "took 1 nodes, none of them"),
        ([{"node": "conv", "op": "Conv"}], "is malformed .KeyError"),
        (None, "is malformed .TypeError"),
        ("conv", "is malformed .TypeError"),
    ],
)
def test_a_record_that_proves_nothing_is_an_error(assigned: Any, fault: str) -> None:
    with pytest.raises(ToolchainError, match=f"small: onnxruntime.*{fault}"):
        placement(assigned, OPS, "onnxruntime 1.24", "small")
