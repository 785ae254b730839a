"""Stand-in for onnxruntime with its TensorRT provider: see README.md."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import libcudart
import onnx

STATE = json.loads(Path(__file__).with_name("state.json").read_text())
__version__ = "1.24.0"


def get_available_providers() -> list[str]:
    return (["TensorrtExecutionProvider"] if STATE["provider"] else []) + ["CPUExecutionProvider"]


class SessionOptions:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class InferenceSession:
    def __init__(self, path: str, options: Any, providers: Any) -> None:
        self.model = onnx.load(path)
        self.recorded = options.entries.get("session.record_ep_graph_assignment_info") == "1"
        self.evaluator = libcudart.evaluator(self.model)

    def get_inputs(self) -> list[Any]:
        return [self._described(value) for value in self.model.graph.input]

    def get_outputs(self) -> list[Any]:
        return [self._described(value) for value in self.model.graph.output]

    @staticmethod
    def _described(value: Any) -> Any:
        return SimpleNamespace(name=value.name, shape=[dim.dim_value for dim in value.type.tensor_type.shape.dim])

    def run(self, names: Any, feeds: dict[str, Any]) -> list[Any]:
        return list(self.evaluator.run(None, feeds))

    def get_provider_graph_assignment_info(self) -> list[Any]:
        """All nodes to TensorRT, but those whose operator it is told to leave."""
        left = [node for node in self.model.graph.node if node.op_type in STATE["refuses"]]
        taken = [node for node in self.model.graph.node if node not in left]
        parts = {"TensorrtExecutionProvider": taken, "CPUExecutionProvider": left} if self.recorded else {}
        return [self._part(provider, nodes) for provider, nodes in parts.items()]

    @staticmethod
    def _part(provider: str, nodes: list[Any]) -> Any:
        return SimpleNamespace(ep_name=provider, get_nodes=lambda: nodes)
