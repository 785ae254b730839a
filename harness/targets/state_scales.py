"""In what steps a quantized build writes each state, and in what it reads it back: the same, or it drifts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter

from harness.agent.steps import signature
from harness.errors import NotMeasured
from harness.targets.base import Artifact

Affine = tuple[float, int]  # scale, zero point


@dataclass(frozen=True, slots=True)
class StateScale:
    """One state as it is written at the end of a step and read at the begin of the next; None for float."""

    name: str
    written: Affine | None
    read: Affine | None

    @property
    def agree(self) -> bool:
        return self.written == self.read


def state_scales(artifact: Artifact) -> list[StateScale]:
    """Every state of a streaming build that passes it out. Raises NotMeasured where the file does not tell."""
    if artifact.states and artifact.file.suffix == ".onnx":
        return _onnx(artifact)
    if artifact.states and artifact.file.suffix == ".tflite":
        return _tflite(artifact)
    raise NotMeasured(
        f"state scales of {artifact.candidate} on {artifact.recipe.id}: {artifact.file.name} keeps them to itself; its "
        "drift over the stream is judged all the same."
    )


def _onnx(artifact: Artifact) -> list[StateScale]:
    graph = onnx.load(artifact.file).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    reads = {node.input[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    writes = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}

    def affine(node: onnx.NodeProto | None) -> Affine | None:
        if node is None:
            return None
        scale, zero = (np.asarray(constants[name]).reshape(-1)[0] for name in node.input[1:3])
        return float(scale), int(zero)

    return [
        StateScale(name, affine(writes.get(after)), affine(reads.get(name))) for name, after in artifact.states.items()
    ]


def _tflite(artifact: Artifact) -> list[StateScale]:
    interpreter = Interpreter(str(artifact.file), num_threads=1)
    inputs, outputs = signature(interpreter)

    def affine(detail: dict[str, Any]) -> Affine | None:
        scale, zero = detail["quantization"]
        return (float(scale), int(zero)) if detail["dtype"] != np.float32 else None

    pairs = zip(artifact.states, outputs[1:], inputs[1:], strict=True)
    return [StateScale(name, affine(taken), affine(given)) for name, taken, given in pairs]
