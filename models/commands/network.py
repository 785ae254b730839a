"""The commands network (DS-CNN after Zhang et al., *Hello Edge*, 2017) and its two exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

STEM, BODY = 64, 96
OPSET = 17
Logits = npt.NDArray[np.float32]


def _conv(
    inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int], groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel[0] // 2, kernel[1] // 2), groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        _conv(inputs, inputs, (3, 3), (stride, stride), groups=inputs), _conv(inputs, outputs, (1, 1), (1, 1))
    )


class CommandNet(nn.Module):
    """Features ``(n, 1, frames, bins)`` to logits ``(n, classes)``."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = _conv(1, STEM, (9, 7), (2, 4))
        self.body = nn.Sequential(
            _separable(STEM, STEM), _separable(STEM, BODY, stride=2), _separable(BODY, BODY), _separable(BODY, BODY)
        )
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(BODY, classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        pooled = self.body(self.stem(features)).mean(dim=(2, 3))
        return self.head(self.dropout(pooled))  # type: ignore[no-any-return]


def folded(network: CommandNet) -> CommandNet:
    """The same function with every batch normalization folded into its convolution."""
    network = network.eval()
    for module in network.modules():
        if isinstance(module, nn.Sequential) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
            module[0] = fuse_conv_bn_eval(module[0], module[1])
            module[1] = nn.Identity()
    return network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]


def export_onnx(network: nn.Module, example: torch.Tensor, path: Path) -> Logits:
    """Write ``path`` (static batch 1) and return its own logits for ``example``."""
    import onnx
    import onnxruntime

    names = {"input_names": ["features"], "output_names": ["logits"]}
    torch.onnx.export(network, (example,), str(path), opset_version=OPSET, dynamo=False, **names)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"features": example.numpy()})[0])


def export_tflite(network: nn.Module, example: torch.Tensor, path: Path) -> Logits:
    """Write ``path`` as float TFLite and return its own logits for ``example``."""
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    litert_torch.convert(network.eval(), (example,)).export(str(path))
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], example.numpy())
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
