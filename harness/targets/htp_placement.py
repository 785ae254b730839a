"""Placement of one HTP build: what onnxruntime assigned, what QNN compiled, and why the rest stayed out.

The session's assignment is the only word on placement: with a wrong backend path the QNN provider is listed as ever,
and every node runs on the CPU. The graphs QNN recorded then tell what each operator computes in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import ToolchainError
from harness.quantize import mixed
from harness.targets import htp_graph, htp_log
from harness.targets.base import Evidence, Node, Placement
from harness.targets.htp_socs import Soc

PROVIDER = "QNNExecutionProvider"
LOG = "qnn-log.jsonl"
MOST_GRAPHS = 1000
RENAMED = re.compile(r"(_token_\d+)+$")
CONVERSIONS = frozenset({"DequantizeLinear", "QuantizeLinear"})


@dataclass(frozen=True, slots=True)
class Built:
    """One finished build: its worker's answer, and the folder with QNN's records."""

    answer: dict[str, Any]
    folder: Path
    subject: str

    def read(self, soc: Soc, activation_bits: int | None) -> tuple[Placement, int]:
        """Placement and bytes of weights. ``activation_bits`` of an int8 recipe, None for float.

        Raises ToolchainError where a record is missing or not understood, or they contradict each other.
        """
        try:
            assigned = [(str(each["provider"]), str(each["op"]), str(each["name"])) for each in self.answer["assigned"]]
            count, contexts, version = int(self.answer["graphs"]), int(self.answer["contexts"]), str(self.answer["qnn"])
            dtypes = {str(name): str(dtype) for name, dtype in self.answer["dtypes"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._not_trusted(f"the worker's answer lacks {error}") from error
        lines = htp_log.read(self.folder / LOG, self.subject)
        left = [(op, name) for provider, op, name in assigned if provider != PROVIDER]
        self._require_qnn(assigned, left, count, contexts, lines)
        graphs = [htp_graph.read(self.folder / f"graph-{i}.json", self.subject) for i in range(count)]
        reasons = htp_log.reasons(lines, self.subject)
        taken = [op.node(activation_bits) for graph in graphs for op in graph.ops]
        source = f"QNN {short(version)} validator for {soc}"
        placement = Placement((*taken, *_on_cpu(left, dtypes, reasons)), Evidence.STATIC, count, source)
        return placement, sum(graph.weights for graph in graphs)

    def _require_qnn(
        self, assigned: list[Any], left: list[Any], count: int, contexts: int, lines: list[htp_log.Line]
    ) -> None:
        if not assigned:
            raise self._not_trusted("onnxruntime recorded no assignment")
        if len(left) == len(assigned):
            tried = any(place.endswith("LogNodeSupport") for _, place, _ in lines)
            why = "QNN refused each one" if tried else "QNN's HTP backend was never asked: is its library whole?"
            said = max(lines, default=(0, "", "(nothing)"), key=lambda line: line[0])[2].strip()
            raise ToolchainError(
                f"{self.subject}: all {len(assigned)} nodes are on the CPU, so nothing was compiled for the HTP: {why} "
                f"The worst it said: {said[:300]}. To install the toolchain anew: voxgate toolchain install htp"
            )
        if not 0 < count == contexts <= MOST_GRAPHS:
            raise self._not_trusted(f"QNN recorded {count} graphs and the compiled model holds {contexts}")

    def _not_trusted(self, fault: str) -> ToolchainError:
        return ToolchainError(
            f"{self.subject}: where nodes run is unknown ({fault}), so this build is not judged. Is this "
            "onnxruntime-qnn 2.7.0? Run: voxgate toolchain install htp"
        )


def keeping(placed: Placement, kept: Collection[str], weighted: Collection[str], subject: str) -> Placement:
    """Operators in float that ``keep_float`` names, asked for instead of fallen back.

    Raises ToolchainError where one of them that is ``weighted`` computes in integers all the same.
    """
    if not kept:
        return placed
    floats = {_own(node) for node in placed.nodes if node.dtype.startswith("float")}
    mixed.require_float([name for name in kept if name in weighted], floats, subject)
    nodes = tuple(
        replace(node, fallback=False, reason="keep_float asks for it")
        if node.fallback and node.where == "npu" and node.dtype.startswith("float") and _own(node) in kept
        else node
        for node in placed.nodes
    )
    return replace(placed, nodes=nodes)


def _own(node: Node) -> str:
    """The model's name of an operator, which onnxruntime lays out anew for QNN."""
    return RENAMED.sub("", node.name)


def short(version: str) -> str:
    """``2.51`` of ``v2.51.0.260929181845``."""
    return ".".join(version.removeprefix("v").split(".")[:2]) or "of unknown version"


def _on_cpu(left: list[tuple[str, str]], dtypes: dict[str, str], reasons: dict[str, str]) -> Iterator[Node]:
    """What onnxruntime kept: operators first, then the conversions around them."""
    for op, name in sorted(left, key=lambda each: each[0] in CONVERSIONS):
        reason = reasons.get(name, "QNN was not asked for it, or did not say why")
        yield Node(name, op, dtypes.get(name, "unknown"), "cpu", True, reason)
