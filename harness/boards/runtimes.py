"""A compiled model as a function: onnxruntime and LiteRT, on one thread of this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import ToolchainError
from harness.quantize.layout import laid
from harness.targets.base import Features, Infer, Logits


def open_model(file: Path) -> Infer:
    """A loaded model as a function of one window, float32 in and out. Raises ToolchainError."""
    openers = {".onnx": _open_onnx, ".tflite": _open_tflite}
    if file.suffix not in openers:
        raise ToolchainError(f"{file.name} is neither .onnx nor .tflite: the host runs nothing else.")
    if not file.is_file():
        raise ToolchainError(f"the artifact {file} is gone; remove its folder and run again.")
    try:
        return openers[file.suffix](file)
    except Exception as error:  # each runtime has its own ways to say no
        raise ToolchainError(f"{file.name} does not load: {str(error).splitlines()[0]}") from error


def _open_onnx(file: Path) -> Infer:
    import onnxruntime

    from harness.targets.ort_graph import session_options

    session = onnxruntime.InferenceSession(str(file), session_options(), providers=["CPUExecutionProvider"])
    feed, result = session.get_inputs()[0], session.get_outputs()[0].name
    name, shape = feed.name, feed.shape

    def infer(window: Features) -> Logits:
        logits: Logits = session.run([result], {name: window.reshape(shape)})[0][0]
        return logits

    return infer


def _open_tflite(file: Path) -> Infer:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    feed, fetch = source["index"], sink["index"]
    shape = tuple(int(size) for size in source["shape"])
    quantize, dequantize = _quantizer(source), _dequantizer(sink)

    def infer(window: Features) -> Logits:
        interpreter.set_tensor(feed, quantize(laid(window, shape)))
        interpreter.invoke()
        return dequantize(interpreter.get_tensor(fetch)[0])

    return infer


def _quantizer(detail: dict[str, Any]) -> Callable[[Features], npt.NDArray[Any]]:
    """Float to the tensor's own type: ``round(x / scale) + zero point``, saturating."""
    if detail["dtype"] == np.float32:
        return lambda window: window
    scale, zero = _affine(detail)
    dtype = detail["dtype"]
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return lambda window: np.clip(np.rint(window / scale) + zero, low, high).astype(dtype)


def _dequantizer(detail: dict[str, Any]) -> Callable[[npt.NDArray[Any]], Logits]:
    if detail["dtype"] == np.float32:
        return lambda logits: logits
    scale, zero = _affine(detail)
    return lambda logits: (logits.astype(np.float32) - zero) * scale


def _affine(detail: dict[str, Any]) -> tuple[np.float32, np.float32]:
    scale, zero = detail["quantization"]
    if not scale > 0:
        raise ValueError(f"{detail['name']} is {np.dtype(detail['dtype']).name} without a scale")
    return np.float32(scale), np.float32(zero)
