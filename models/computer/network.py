"""The network: causal convolutions over chunks of features, then a gated recurrent unit written out.

One function in two forms: whole sequences, as it is trained, and one step with its state passed in and out, as it is
exported. tests/models/test_computer.py holds the two together. The recurrent unit is Linear, sigmoid and tanh rather
than one GRU operator, so that its gates and its state are visible to a quantizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CHUNK = 4  # frames a step: 80 ms
CONTEXT = 4  # frames before them that the first convolution still sees
BINS = 40
STEM, BODY, HIDDEN = 32, 64, 64
PLACES = 9  # that the stem leaves of 40 bins
OPSET = 17
STATES = {"context": (1, 1, CONTEXT, BINS), "hidden": (1, HIDDEN)}

Array = npt.NDArray[np.float32]
State = dict[str, torch.Tensor]


class Cell(nn.Module):
    """A gated recurrent unit (Cho et al. 2014): the new state is ``h + z * (c - h)``, with ``c`` seeing ``r * h``."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.update = nn.Linear(inputs + hidden, hidden)
        self.reset = nn.Linear(inputs + hidden, hidden)
        self.candidate = nn.Linear(inputs + hidden, hidden)

    def forward(self, heard: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        both = torch.cat((heard, hidden), 1)
        update, reset = torch.sigmoid(self.update(both)), torch.sigmoid(self.reset(both))
        candidate = torch.tanh(self.candidate(torch.cat((heard, reset * hidden), 1)))
        return hidden + update * (candidate - hidden)


class WakeNet(nn.Module):
    """Features to one score a chunk: the logit of "the wake word has just ended"."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, STEM, (6, 8), (2, 4), bias=False), nn.BatchNorm2d(STEM), nn.ReLU())
        self.depth = nn.Sequential(
            nn.Conv2d(STEM, STEM, (2, 3), (2, 1), (0, 1), groups=STEM, bias=False), nn.BatchNorm2d(STEM), nn.ReLU()
        )
        self.point = nn.Sequential(nn.Conv2d(STEM, BODY, 1, bias=False), nn.BatchNorm2d(BODY), nn.ReLU())
        self.dropout = nn.Dropout(0.1)
        self.squeeze = nn.Conv2d(BODY, HIDDEN, (1, PLACES))  # a flatten before a Linear would leave RK3588's NPU
        self.cell = Cell(HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, 1)

    def forward(
        self, features: torch.Tensor, context: torch.Tensor, hidden: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One step: ``(1, 1, 4, 40)`` and the state to the score ``(1, 1)`` and the next state."""
        window = torch.cat((context, features), 2)
        heard = self.point(self.depth(self.stem(window)))
        after = self.cell(torch.relu(self.squeeze(heard)).flatten(1), hidden)
        return self.head(after), window[:, :, CHUNK:], after

    def whole(self, features: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """``(n, 1, 4 * steps, 40)`` at once: scores ``(n, steps)`` and the state they end in."""
        window = torch.cat((state["context"], features), 2)
        heard = self.point(self.depth(self.stem(window)))  # (n, channels, steps, places)
        heard = self.dropout(heard.transpose(1, 2).flatten(2))
        heard = torch.relu(nn.functional.linear(heard, self.squeeze.weight.flatten(1), self.squeeze.bias))
        hidden, along = state["hidden"], []
        for step in range(heard.shape[1]):
            hidden = self.cell(heard[:, step], hidden)
            along.append(hidden)
        scores = self.head(torch.stack(along, 1)).squeeze(2)
        return scores, {"context": window[:, :, -CONTEXT:], "hidden": hidden}


def silence(streams: int = 1) -> State:
    """The state before anything is heard."""
    return {name: torch.zeros(streams, *shape[1:]) for name, shape in STATES.items()}


def folded(network: WakeNet) -> WakeNet:
    """The same function with every batch normalization folded into its convolution."""
    network = network.eval()
    for part in (network.stem, network.depth, network.point):
        part[0], part[1] = fuse_conv_bn_eval(part[0], part[1]), nn.Identity()
    return network


def example(seed: int) -> tuple[torch.Tensor, ...]:
    """Inputs of one step, drawn."""
    own = torch.Generator().manual_seed(seed)
    shapes = [(1, 1, CHUNK, BINS), *STATES.values()]
    return tuple(torch.randn(shape, generator=own) * 0.5 for shape in shapes)


def export_onnx(network: nn.Module, inputs: Sequence[torch.Tensor], path: Path) -> list[npt.NDArray[np.float32]]:
    """Write the step as ``path`` and return its own outputs for ``inputs``."""
    import onnxruntime

    names = ["features", *STATES]
    outputs = ["score", *(f"{name}_next" for name in STATES)]
    torch.onnx.export(
        network, tuple(inputs), str(path), opset_version=OPSET, dynamo=False, input_names=names, output_names=outputs
    )
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return list(session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)}))


def whole_model(weights: Mapping[str, Array]) -> onnx.ModelProto:
    """The same function over ``(1, 1, frames, 40)`` of any length, from silence: scores ``(1, steps)``.

    Not the step unrolled, but another way to compute it: one convolution over all frames and ONNX's own GRU, whose
    update gate is one less ours. What streaming is held to must not share its state handling.
    """
    told = {
        name.replace(".0.", "."): np.ascontiguousarray(value)
        for name, value in weights.items()
        if not name.startswith(("cell", "head.weight"))
    }
    told |= _gru(weights)
    told |= {
        "silence": np.zeros((1, 1, CONTEXT, BINS), np.float32),
        "head.t": weights["head.weight"].T.copy(),
        "line": np.array([1, -1], np.int64),
        "last": np.array([3], np.int64),
    }
    node = onnx.helper.make_node
    nodes = [node("Concat", ["silence", "features"], ["window"], axis=2)]
    heard = "window"
    for name, options in (
        ("stem", {"strides": [2, 4]}),
        ("depth", {"strides": [2, 1], "pads": [0, 1, 0, 1], "group": STEM}),
        ("point", {}),
        ("squeeze", {}),
    ):
        nodes += [
            node("Conv", [heard, f"{name}.weight", f"{name}.bias"], [f"{name}.conv"], **options),
            node("Relu", [f"{name}.conv"], [name]),
        ]
        heard = name
    nodes += [
        node("Squeeze", [heard, "last"], ["channels"]),  # (1, channels, steps)
        node("Transpose", ["channels"], ["sequence"], perm=[2, 0, 1]),
        node("GRU", ["sequence", "gru.w", "gru.r", "gru.b"], ["hidden"], hidden_size=HIDDEN),
        node("MatMul", ["hidden", "head.t"], ["scored"]),
        node("Add", ["scored", "head.bias"], ["logits"]),
        node("Reshape", ["logits", "line"], ["score"]),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "whole",
        [value("features", onnx.TensorProto.FLOAT, [1, 1, "frames", BINS])],
        [value("score", onnx.TensorProto.FLOAT, [1, "steps"])],
        [onnx.numpy_helper.from_array(array, name) for name, array in told.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def _gru(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Weights of ONNX's GRU, gates in its order z, r, h; its z keeps what ours takes in, so ours is negated."""
    gates = [("update", -1), ("reset", 1), ("candidate", 1)]
    both = np.concatenate([sign * weights[f"cell.{gate}.weight"] for gate, sign in gates])
    bias = np.concatenate([sign * weights[f"cell.{gate}.bias"] for gate, sign in gates])
    return {
        "gru.w": both[None, :, :HIDDEN].copy(),
        "gru.r": both[None, :, HIDDEN:].copy(),
        "gru.b": np.concatenate([bias, np.zeros_like(bias)])[None],
    }


def export_tflite(network: nn.Module, inputs: Sequence[torch.Tensor], path: Path) -> list[npt.NDArray[np.float32]]:
    """Write the step as float TFLite and return its own outputs for ``inputs``."""
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    litert_torch.convert(network.eval(), tuple(inputs)).export(str(path))
    runner = Interpreter(str(path), num_threads=1).get_signature_runner()
    told = {f"args_{index}": value.numpy() for index, value in enumerate(inputs)}
    answer = runner(**told)
    return [answer[f"output_{index}"] for index in range(len(answer))]
