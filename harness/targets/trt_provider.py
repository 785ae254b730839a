"""Which nodes onnxruntime's TensorRT provider took, and which it left to CUDA or the CPU without a word.

Read from onnxruntime's own record of the assignment (``session.record_ep_graph_assignment_info``).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from harness.errors import ToolchainError
from harness.targets.base import Evidence, Node, Placement

WANTED = "TensorrtExecutionProvider"
UNITS = {WANTED: "tensorrt", "CUDAExecutionProvider": "cuda", "CPUExecutionProvider": "cpu"}


def placement(assigned: Any, ops: Mapping[str, str], source: str, subject: str) -> Placement:
    """Every node with the unit that took it; ``ops`` are the model's own operators by node name.

    Raises ToolchainError where the record is empty, malformed, or is of other nodes than the model's.
    """
    try:
        nodes = tuple(_node(str(each["node"]), str(each["op"]), str(each["provider"])) for each in assigned)
    except (KeyError, TypeError) as error:
        raise ToolchainError(
            f"{subject}: onnxruntime's record of who took which node is malformed ({error!r})."
        ) from error
    if not {node.name for node in nodes} & set(ops):
        raise ToolchainError(
            f"{subject}: onnxruntime recorded who took {len(nodes)} nodes, none of them the model's own, which proves "
            "nothing. The record needs an onnxruntime of 1.24 or newer on the Jetson."
        )
    partitions = sum(unit == UNITS[WANTED] for unit, _ in groupby(node.where for node in nodes))
    return Placement(nodes, Evidence.BOARD, partitions, source)


def _node(name: str, op: str, provider: str) -> Node:
    left = provider != WANTED
    reason = "onnxruntime's TensorRT provider left it" if left else ""
    return Node(name, op, "unknown", UNITS.get(provider, provider), left, reason)
