"""Quantization taken apart: which layers a model has, and what becomes of it with some of them left in float.

Runs in a process of its own (targets/workers/probe_worker.py), as every quantizer does.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.onnxfile import as_inputs, inspect
from harness.quantize import ptq
from harness.quantize.layout import laid
from harness.recipe import Recipe

Array = npt.NDArray[np.float32]

# Operators with weights: each opens a layer, and what follows it (activation, pooling, ...) belongs to it.
ONNX_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "GRU", "LSTM", "MatMul", "RNN"})
TFLITE_WEIGHTED = frozenset(
    {
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "TRANSPOSE_CONV",
        "BATCH_MATMUL",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
    }
)


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator with weights and what follows it. ``parts`` are nodes (ONNX) or output tensors (LiteRT)."""

    name: str
    op: str
    parts: tuple[str, ...]


def prepare(model: Path, output: Path) -> Path:
    """The float model as it will be quantized: folded, and every node of an ONNX file named."""
    if model.suffix == ".tflite":
        return model
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(model, output, skip_symbolic_shape=True)
    loaded = onnx.load(output)
    for node in loaded.graph.node:
        node.name = node.name or f"{node.op_type}:{node.output[0]}"
    output.write_bytes(loaded.SerializeToString())
    return output


def layers(prepared: Path) -> list[Layer]:
    """The layers of a prepared model, in the order they run."""
    steps = _tflite_steps(prepared) if prepared.suffix == ".tflite" else _onnx_steps(prepared)
    home: dict[str, int] = {}  # tensor to the layer that makes it
    groups: list[tuple[str, str, list[str]]] = []
    for name, op, inputs, outputs, weighted in steps:
        if weighted or not groups:
            groups.append((name, op, []))
            where = len(groups) - 1
        else:
            where = max((home[each] for each in inputs if each in home), default=0)
        groups[where][2].append(name)
        home.update(dict.fromkeys(outputs, where))
    return [Layer(name, op, tuple(parts)) for name, op, parts in groups]


Step = tuple[str, str, Sequence[str], Sequence[str], bool]


def _onnx_steps(model: Path) -> list[Step]:
    import onnx

    nodes = onnx.load(model).graph.node
    return [(n.name, n.op_type, list(n.input), list(n.output), n.op_type in ONNX_WEIGHTED) for n in nodes]


def _tflite_steps(model: Path) -> list[Step]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(model), experimental_op_resolver_type=plain)
    names = {int(tensor["index"]): str(tensor["name"]) for tensor in interpreter.get_tensor_details()}
    steps: list[Step] = []
    for op in interpreter._get_ops_details():  # the only way to see operators
        inputs = [names.get(int(i), "") for i in op["inputs"]]
        outputs = [names[int(i)] for i in op["outputs"]]
        steps.append((outputs[0], op["op_name"], inputs, outputs, op["op_name"] in TFLITE_WEIGHTED))
    return steps


def quantized(prepared: Path, output: Path, calibration: Array, recipe: Recipe, floats: Collection[str]) -> Path:
    """``prepared`` in int8 but for the parts ``floats``; the float model itself where every part is among them."""
    if prepared.suffix == ".tflite":
        ptq.quantize_tflite(prepared, output, calibration, recipe, floats=floats)
    else:
        ptq.quantize_onnx(prepared, output, calibration, recipe, floats=floats)
    return output


def spreads(prepared: Path, windows: Array, found: Sequence[Layer]) -> dict[str, float]:
    """How unequal the channels of each layer's output are: the widest range over a narrow (10th percentile).

    One scale serves all channels of an activation, so a channel of a small range gets few of its levels.
    """
    if prepared.suffix == ".tflite":
        return _tflite_spreads(prepared, windows, found)
    import onnx

    inferred = onnx.shape_inference.infer_shapes(onnx.load(prepared)).graph.value_info
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inferred}
    spread = {}
    flat = {name: values for name, values in _activations(prepared, windows).items() if len(shapes.get(name, ())) > 2}
    for name, (tensor, values) in _last({name: (name, each) for name, each in flat.items()}, prepared, found).items():
        ratio = _unequal(np.abs(values.reshape(len(windows), shapes[tensor][1], -1)).max(axis=(0, 2)))
        if ratio is not None:
            spread[name] = ratio
    return spread


def _unequal(highest: Array) -> float | None:
    """The widest of the channels' ranges ``(channels,)`` over a narrow one; None where fewer than two are alive."""
    alive = highest[highest > 0]
    return float(alive.max() / np.percentile(alive, 10)) if len(alive) > 1 else None


def _tflite_spreads(model: Path, windows: Array, found: Sequence[Layer]) -> dict[str, float]:
    """LiteRT keeps channels last."""
    from litert_quantizer.utils import tfl_interpreter_utils as utils

    signature, ((name, shape),), _ = ptq.entry(model)
    highest: dict[str, Array] = {}
    interpreter = utils.create_tfl_interpreter(str(model), use_xnnpack=False, num_threads=1)
    for window in windows:
        utils.invoke_interpreter_signature(interpreter, {name: laid(window, shape)}, signature)
        for tensor, values in utils.get_tensor_name_to_content_map(interpreter, 0).items():
            if values.ndim == 4:
                peak = np.abs(values).max(axis=(0, 1, 2))
                highest[tensor] = np.maximum(highest.get(tensor, peak), peak)
    told = {layer.name: next((part for part in layer.parts if part in highest), None) for layer in found}
    ratios = {layer: _unequal(highest[part]) for layer, part in told.items() if part is not None}
    return {layer: ratio for layer, ratio in ratios.items() if ratio is not None}


def layer_sqnr(prepared: Path, int8: Path, windows: Array, found: Sequence[Layer]) -> dict[str, float]:
    """SQNR in dB of each layer's output against its float value, by onnxruntime's debugger or litert-quantizer's."""
    if prepared.suffix == ".tflite":
        return _tflite_sqnr(prepared, int8, windows, found)
    from onnxruntime.quantization import qdq_loss_debug as debug

    plain = {name: [value] for name, value in _activations(prepared, windows).items()}
    quant = {name: [value] for name, value in _activations(int8, windows).items()}
    matched = {name: pair for name, pair in debug.create_activation_matching(quant, plain).items() if "float" in pair}
    errors = debug.compute_activation_error(matched)
    told = {name: np.float64(error["xmodel_err"]) for name, error in errors.items()}
    return {name: float(each) for name, each in _last(told, prepared, found).items() if np.isfinite(each)}


def _tflite_sqnr(prepared: Path, int8: Path, windows: Array, found: Sequence[Layer]) -> dict[str, float]:
    from litert_quantizer import model_validator
    from litert_quantizer.utils.validation_utils import ValidationErrorMetric

    signature, ((name, shape),), _ = ptq.entry(prepared)
    told = model_validator.compare_model(
        prepared.read_bytes(),
        int8.read_bytes(),
        {signature: [{name: laid(window, shape)} for window in windows]},
        [ValidationErrorMetric.SNR],
        use_xnnpack=False,
        num_threads=1,
    ).get_all_tensor_results()
    ratios = {tensor: each[ValidationErrorMetric.SNR.value] for tensor, each in told.items()}
    last = {layer.name: next((part for part in reversed(layer.parts) if part in ratios), None) for layer in found}
    return {layer: 10 * math.log10(ratios[part]) for layer, part in last.items() if part and ratios[part] > 0}


def _last(values: Mapping[str, Any], model: Path, found: Sequence[Layer]) -> dict[str, Any]:
    """For each layer what ``values`` has for the last of its outputs."""
    import onnx

    nodes = onnx.load(model).graph.node
    made = {layer.name: [o for n in nodes if n.name in layer.parts for o in n.output] for layer in found}
    last = {name: next((o for o in reversed(outputs) if o in values), None) for name, outputs in made.items()}
    return {name: values[output] for name, output in last.items() if output is not None}


def _activations(model: Path, windows: Array) -> dict[str, Array]:
    """Every activation between nodes, over all windows stacked, by tensor name."""
    from onnxruntime.quantization import qdq_loss_debug as debug

    described = inspect(model)
    fed = as_inputs(windows, described)
    augmented = model.with_suffix(".augmented.onnx")
    debug.modify_model_output_intermediate_tensors(str(model), str(augmented))
    found: dict[str, list[Any]] = debug.collect_activations(
        str(augmented), iter([{described.input_name: window[np.newaxis]} for window in fed])
    )
    augmented.unlink()
    return {name: np.stack(values) for name, values in found.items()}  # (windows, values): the debugger flattens


def run_plain(model: Path, windows: Array) -> Array:
    """Logits of an ONNX file as it is written: nothing fused, no integer kernel, a QDQ pair rounds and no more.

    With its optimizer on, leaving one Conv in float was seen to lose more than int8: 10.9 dB to 2.0, 2.6 and 5.0;
    without it 10.8 to 11.0. That it quantizes such weights anew, one scale for all channels, is likely and not shown.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    feed, result = session.get_inputs()[0], session.get_outputs()[0].name
    return np.stack([session.run([result], {feed.name: window.reshape(feed.shape)})[0][0] for window in windows])
