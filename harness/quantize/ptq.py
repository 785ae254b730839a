"""Post-training quantization: the libraries' own arithmetic, every setting that matters stated."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.agent import steps
from harness.errors import ToolchainError, Unsupported
from harness.onnxfile import inspect
from harness.quantize import mixed, streamed
from harness.quantize.layout import laid
from harness.recipe import Recipe

Features = npt.NDArray[np.float32]

# Not entropy: quantize_static gives it 128 histogram bins for 128 levels, so its only threshold is that of minmax.
# Its calibrator takes more bins and then clips: with 512 or 1024 the logits of models/commands keep 16 or 12 dB of
# SQNR where minmax keeps 32 (onnxruntime 1.32, 200 windows). Not mse: onnxruntime has none.
ENDS = (("min", np.minimum), ("max", np.maximum))
ORT_ALGORITHMS = {"minmax": "MinMax", "percentile": "Percentile"}


def check(recipe: Recipe) -> None:
    """Raise Unsupported where the recipe's library cannot quantize as it asks."""
    algorithm = recipe.calibration.algorithm
    if recipe.runtime == "litert":
        if recipe.activation_bits == 16 and recipe.precision != "int8":
            raise Unsupported(f'{recipe.id}: activation_bits is of int8; remove it, or set precision = "int8".')
        if algorithm != "minmax":
            raise Unsupported(
                f"{recipe.id}: litert-quantizer calibrates activations by minmax only, not {algorithm}. Set "
                'calibration.algorithm = "minmax", or use runtime = "onnxruntime".'
            )
        if recipe.symmetric:
            raise Unsupported(
                f"{recipe.id}: LiteRT's int8 activations are always asymmetric. Leave out symmetric = true, "
                'or use runtime = "onnxruntime".'
            )
    elif recipe.precision == "int8-weight-only":
        raise Unsupported(
            f"{recipe.id}: onnxruntime.quantization keeps int8 weights for float convolutions in no form. Set "
            'runtime = "litert", or precision = "int8-dynamic".'
        )
    elif recipe.activation_bits == 16:
        raise Unsupported(
            f"{recipe.id}: onnxruntime's CPU has no kernel for int16 activations: between its Q/DQ every layer would "
            'compute in float, and pass for int8. Set runtime = "litert", or activation_bits = 8.'
        )
    elif algorithm not in ORT_ALGORITHMS:
        raise Unsupported(
            f"{recipe.id}: onnxruntime has no {algorithm} calibration that differs from minmax. Set "
            f"calibration.algorithm to one of {', '.join(sorted(ORT_ALGORITHMS))}."
        )


def quantize_onnx(
    model: Path,
    output: Path,
    calibration: Features,
    recipe: Recipe,
    *,
    ops: Sequence[str] | None = None,
    floats: Collection[str] = (),
    options: Mapping[str, Any] = MappingProxyType({}),
    states: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Static int8 in QDQ form by onnxruntime. ``calibration`` is ``(n, frames, bins)``.

    A step with ``states`` is calibrated as it hears the windows in their order; each state has one scale, in and out.

    Weights are symmetric int8, per channel or per tensor; activations int8, or uint8 in a model that branches: on x64,
    whose kernels take uint8, onnxruntime turns int8 activations into it only where one node reads them. ``ops`` are
    the operators whose inputs are quantized (all that onnxruntime knows, where None), ``floats`` the nodes that stay
    in float; ``options`` go over the ``extra_options`` of quantize_static.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    need_windows(calibration, recipe)
    described = inspect(model, states)
    bounds = streamed.ranges(model, described, calibration) if states else {}
    same = {name: [{"rmin": np.float32(low), "rmax": np.float32(high)}] for name, (low, high) in bounds.items()}

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = streamed.feeds(model, described, calibration)

        def get_next(self) -> streamed.Feed | None:
            return next(self.feeds, None)

    prepared = output.with_suffix(".prepared.onnx")
    quant_pre_process(model, prepared, skip_symbolic_shape=True)  # our shapes are static
    kept = kept_nodes(model, recipe)
    _need_nodes(prepared, kept, recipe)
    # A step is unsigned too: its state and gates are read by several nodes, and it would be left half in each.
    unsigned = bool(states) or (ops is None and mixed.branches(prepared))
    quantize_static(
        prepared,
        output,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=recipe.per_channel,
        activation_type=QuantType.QUInt8 if unsigned else QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[ORT_ALGORITHMS[recipe.calibration.algorithm]],
        calibration_providers=["CPUExecutionProvider"],
        op_types_to_quantize=ops,
        nodes_to_exclude=sorted({*kept, *floats}),
        extra_options={
            "ActivationSymmetric": recipe.symmetric,
            "WeightSymmetric": True,
            **({"TensorQuantOverrides": same} if same else {}),
            **options,
        },
    )
    prepared.unlink()


def quantize_onnx_dynamic(model: Path, output: Path, recipe: Recipe) -> None:
    """int8 weights, activations quantized anew at every inference, by onnxruntime."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = output.with_suffix(".prepared.onnx")
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    quantize_dynamic(prepared, output, weight_type=QuantType.QInt8, per_channel=recipe.per_channel)
    prepared.unlink()


def kept_nodes(model: Path, recipe: Recipe) -> tuple[str, ...]:
    """The nodes of an ONNX model that the recipe keeps in float: those it names, and the activations behind them."""
    if not recipe.keep_float:
        return ()
    nodes = mixed.with_fused(model)
    return tuple(
        dict.fromkeys(node.name for layer in mixed.chosen(recipe.keep_float, nodes, recipe.id) for node in nodes[layer])
    )


def _need_nodes(prepared: Path, kept: Sequence[str], recipe: Recipe) -> None:
    names = set(mixed.with_fused(prepared))
    gone = [name for name in kept if name not in names]
    if gone:
        raise ToolchainError(
            f"{recipe.id}: keep_float names {', '.join(gone[:3])}, which onnxruntime merges into another node before "
            "it quantizes. Name the layer with weights beside it."
        )


def quantize_tflite_weights(model: Path, output: Path, recipe: Recipe) -> None:
    """int8 weights alone, by litert-quantizer: int8-dynamic computes in int8, int8-weight-only in float."""
    from litert_quantizer.qtyping import QuantGranularity, TFLOperationName
    from litert_quantizer.quantizer import Quantizer
    from litert_quantizer.recipe_manager import RecipeManager

    entry(model)
    manager = RecipeManager()
    add = manager.add_dynamic_config if recipe.precision == "int8-dynamic" else manager.add_weight_only_config
    granularity = QuantGranularity.CHANNELWISE if recipe.per_channel else QuantGranularity.TENSORWISE
    add(".*", TFLOperationName.ALL_SUPPORTED, num_bits=8, granularity=granularity)
    with contextlib.redirect_stderr(io.StringIO()):
        quantizer = Quantizer(model.read_bytes())
        quantizer.load_quantization_recipe(manager.get_quantization_recipe())
        result = quantizer.quantize(enable_progress_bar=False, enable_progress_report=False)
    output.write_bytes(result.quantized_model)


def quantize_tflite(
    model: Path,
    output: Path,
    calibration: Features,
    recipe: Recipe,
    *,
    dense_per_channel: bool = True,
    floats: Collection[str] = (),
    states: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Full int8, input and output too, by litert-quantizer. ``calibration`` is ``(n, frames, bins)``.

    A step with ``states`` is calibrated as it hears the windows in their order; each state has one scale, in and out.

    With ``activation_bits = 16`` activations, input and output are int16.

    ``dense_per_channel=False`` keeps one scale for the weights of each FULLY_CONNECTED whatever the recipe says;
    ``floats`` are the output tensors of operators that stay in float.
    """
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.calibrator import Calibrator
    from litert_quantizer.qtyping import QuantGranularity, TFLOperationName
    from litert_quantizer.quantizer import Quantizer
    from litert_quantizer.recipe_manager import RecipeManager
    from litert_quantizer.utils import qsv_utils

    need_windows(calibration, recipe)
    signature, inputs, pairs = entry(model, len(states))
    content = model.read_bytes()
    granularity = QuantGranularity.CHANNELWISE if recipe.per_channel else QuantGranularity.TENSORWISE
    manager = RecipeManager()
    manager.add_static_config(
        ".*",
        TFLOperationName.ALL_SUPPORTED,
        activation_num_bits=recipe.activation_bits,
        weight_num_bits=8,
        weight_granularity=granularity,
    )
    if not dense_per_channel:
        manager.add_static_config(
            ".*",
            TFLOperationName.FULLY_CONNECTED,
            activation_num_bits=8,
            weight_num_bits=8,
            weight_granularity=QuantGranularity.TENSORWISE,
        )
    for layer in sorted({*kept_ops(model, recipe), *floats}):
        # The scope of an op is the names of its outputs, each with a semicolon behind it.
        exactly = f"^{re.escape(layer)};*$"
        manager.add_quantization_config(
            exactly, TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():  # progress, advice
        warnings.simplefilter("ignore")
        # Quantizer.calibrate() uses a moving average, which clips peaks; minimum and maximum do not.
        calibrator = Calibrator(content, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
        calibrator.calibrate({signature: list(_tflite_feeds(model, inputs, pairs, calibration))}, manager)
        quantizer = Quantizer(content)
        quantizer.load_quantization_recipe(manager.get_quantization_recipe())
        found = calibrator.get_model_qsvs()
        for given, taken in pairs:
            low, high = (join(found[given][end], found[taken][end]) for end, join in ENDS)
            for name in (given, taken):
                found[name] = {**found[name], "min": low, "max": high}
        result = quantizer.quantize(found, enable_progress_bar=False, enable_progress_report=False)
    output.write_bytes(result.quantized_model)


def kept_ops(model: Path, recipe: Recipe) -> tuple[str, ...]:
    """The operators of a .tflite that the recipe keeps in float, by the names of their outputs."""
    return mixed.chosen(recipe.keep_float, tflite_ops(model), recipe.id) if recipe.keep_float else ()


def tflite_layers(model: Path) -> tuple[str, ...]:
    """The operators of a .tflite that hold weights, in order."""
    return tuple(name for name, kind in tflite_ops(model).items() if kind in mixed.WEIGHTED_OPS)


def tflite_ops(model: Path) -> dict[str, str]:
    """Every operator of a .tflite by the name of its first output, with its kind."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # a delegate adds ops of its own
    interpreter = Interpreter(str(model), num_threads=1, experimental_op_resolver_type=plain)
    names = {int(tensor["index"]): tensor["name"] for tensor in interpreter.get_tensor_details()}
    ops = interpreter._get_ops_details()
    first = {int(op["outputs"][0]): op["op_name"] for op in ops if len(op["outputs"])}
    return {names[index]: kind for index, kind in first.items() if index in names}


def need_windows(calibration: Features, recipe: Recipe) -> None:
    """Raise ToolchainError for windows that set no range: none at all, or NaN among them."""
    if not len(calibration):
        raise ToolchainError(
            f"{recipe.id} is int8 but has no calibration windows; give its corpus a calibration split."
        )
    bad = int((~np.isfinite(calibration).all(axis=(1, 2))).sum())
    if bad:
        raise ToolchainError(
            f"{recipe.id}: {bad} of {len(calibration)} calibration windows hold NaN or infinity; check their clips."
        )


def entry(model: Path, states: int = 0) -> tuple[str, list[tuple[str, list[int]]], list[tuple[str, str]]]:
    """The signature, its inputs in order with their shapes, and each state's tensors, in and out, by name."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=1)  # refuses a damaged file; the quantizer reads on blindly
    signatures = interpreter.get_signature_list()
    if len(signatures) != 1:
        raise ToolchainError(
            f"{model.name} has {len(signatures)} signatures; litert-quantizer calibrates by exactly one. "
            "Export it with litert-torch, which writes it."
        )
    key = next(iter(signatures))
    inputs, outputs = steps.signature(interpreter)
    if len(inputs) != 1 + states or len(outputs) != 1 + states:
        raise ToolchainError(
            f"{model.name} has {len(inputs)} inputs and {len(outputs)} outputs where model.toml names {states} states; "
            "export both files from one module."
        )
    names = sorted(signatures[key]["inputs"], key=steps.place)
    shapes = [[int(size) for size in detail["shape"]] for detail in inputs]
    pairs = [(given["name"], taken["name"]) for given, taken in zip(inputs[1:], outputs[1:], strict=True)]
    return key, list(zip(names, shapes, strict=True)), pairs


def _tflite_feeds(
    model: Path, inputs: list[tuple[str, list[int]]], pairs: list[tuple[str, str]], windows: Features
) -> Iterator[dict[str, Features]]:
    """The inputs of each step by name, as the float model hears the windows in their order."""
    from ai_edge_litert.interpreter import Interpreter

    (first, shape), *kept = inputs
    runner = Interpreter(str(model), num_threads=1).get_signature_runner() if pairs else None
    state = {name: np.zeros(size, np.float32) for name, size in kept}
    for window in windows:
        feed = {first: laid(window, shape), **state}
        yield feed
        if runner is not None:
            answer = runner(**feed)
            state = dict(zip(state, [answer[name] for name in sorted(answer, key=steps.place)][1:], strict=True))
