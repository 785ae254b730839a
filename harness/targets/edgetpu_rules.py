"""Coral's table of operators: which the Edge TPU takes, since which runtime, and with which limits.

As published for compiler 16, together with what pairs of models and their compiled counterparts show: state of an
LSTM may be a variable, TILE maps, and a resize maps up to a scale of two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from harness.targets.tflite_file import Op, Tensor

QUANTIZED = ("int8", "uint8")
INNERMOST = 3  # dimensions that may be larger than 1
LONGEST_SOFTMAX = 16_000
LARGEST_SCALE = 2  # of a resize that was seen to map; 1 to 33 and 33 to 513 were seen not to
Z_MULTIPLE = 4
NEWEST = {"CONV_2D": 5, "QUANTIZE": 2, "TRANSPOSE_CONV": 3}  # compiler 16 was seen to refuse the next version
CONSTANTS = (*QUANTIZED, "int16", "int32", "int64")  # weights, layer norms, biases and arguments
STATES = {"UNIDIRECTIONAL_SEQUENCE_LSTM": (*QUANTIZED, "int16")}  # dtypes of variables; the cell state is 16 bit

Check = Callable[[Op], str]  # why the operator does not map, or an empty string


def refusal(op: Op) -> str:
    """Why the Edge TPU does not take the operator wherever it stands, or an empty string."""
    if op.kind not in TABLE:
        return f"the Edge TPU does not support {op.custom or op.kind}"
    if op.version > NEWEST.get(op.kind, op.version):
        return f"its version {op.version} is newer than the compiler knows ({NEWEST[op.kind]})"
    for check in (_static, _types, _rank, *TABLE[op.kind][1]):
        if reason := check(op):
            return reason
    return ""


def _tensors(op: Op) -> tuple[Tensor, ...]:
    return (*op.fed, *op.outputs)


def _static(op: Op) -> str:
    for tensor in _tensors(op):
        if tensor.dynamic:
            return f"the shape of {tensor.name} is dynamic, and the Edge TPU takes static shapes only"
    return ""


def _types(op: Op) -> str:
    for tensor in _tensors(op):
        taken = STATES.get(op.kind, QUANTIZED) if tensor.variable else QUANTIZED
        if tensor.dtype not in taken:
            return f"it works on {tensor.dtype}, and the Edge TPU takes int8 and uint8 only"
        if not tensor.scales:
            return f"{tensor.name} is {tensor.dtype} without a scale: it is not quantized"
    for constant in (tensor for tensor in op.inputs if tensor is not None and tensor.constant):
        if constant.dtype not in CONSTANTS:
            why = "it is not quantized" if constant.dtype.startswith("float") else "weights are of 8 bits there"
            return f"its constant {constant.name} is {constant.dtype}: {why}"
    return ""


def _rank(op: Op) -> str:
    for tensor in _tensors(op):
        if math.prod(tensor.shape[:-INNERMOST]) > 1:
            return (
                f"{tensor.name} is {list(tensor.shape)}: only the {INNERMOST} innermost dimensions may be larger than 1"
                + (", and a batch is one too many" if len(tensor.shape) == INNERMOST + 1 else "")
            )
    return ""


def _constant(*places: int) -> Check:
    def check(op: Op) -> str:
        for tensor in (op.inputs[place] for place in places if place < len(op.inputs)):
            if tensor is not None and not tensor.constant:
                return f"{tensor.name}, its weights or biases, is no constant"
        return ""

    return check


def _dilation(op: Op) -> str:
    wide, high = op.options.get("dilationWFactor", 1), op.options.get("dilationHFactor", 1)
    return "" if wide == high else f"it dilates {wide} in x but {high} in y, which must be the same"


def _ungrouped(op: Op) -> str:
    """Convolutions in groups are what CONV_2D's version 6 added, though some converters call them version 1."""
    source, weights = op.inputs[:2]
    if source is None or weights is None or not source.shape or source.shape[-1] == weights.shape[-1]:
        return ""
    return (
        f"it convolves {source.shape[-1]} channels in groups of {weights.shape[-1]}, which is newer than the compiler"
    )


def _dense(op: Op) -> str:
    if op.options.get("weightsFormat", 0) != 0:
        return "its weights are not in the default format"
    weights = op.inputs[1] if len(op.inputs) > 1 else None
    if weights is not None and weights.scales > 1:
        return "its weights are quantized per channel; a FULLY_CONNECTED must be quantized per tensor"
    return _flat("output", op.outputs)


def _flat(what: str, tensors: Iterable[Tensor | None]) -> str:
    for tensor in tensors:
        if tensor is not None and math.prod(tensor.shape[:-1]) > 1:
            return f"its {what} {list(tensor.shape)} is not one-dimensional"
    return ""


def _unfused(op: Op) -> str:
    return "it has a fused activation" if op.options.get("fusedActivationFunction", 0) != 0 else ""


def _padding(op: Op) -> str:
    """A concatenation with a constant maps as padding only: two inputs, and the constant all zeros."""
    constants = [tensor for tensor in op.inputs if tensor is not None and tensor.constant]
    if not constants:
        return ""
    if len(op.inputs) != 2:
        return f"it joins a constant with {len(op.inputs) - 1} others, where one is allowed"
    values = constants[0].values()
    zeros = values is not None and bool(np.all(values == constants[0].zero_point))
    return "" if zeros else f"it joins the constant {constants[0].name}, which is not all zeros"


def _axes(tensor: Tensor | None, rank: int) -> list[int] | None:
    values = tensor.values() if tensor is not None else None
    return None if values is None else [int(value) % max(rank, 1) for value in values]


def _no_batch(place: int, of: int) -> Check:
    """The axes in input ``place`` must spare the batch of input ``of``."""

    def check(op: Op) -> str:
        tensor = op.inputs[of]
        axes = _axes(op.inputs[place], len(tensor.shape) if tensor is not None else 0)
        if axes is None:
            return "its axes are no constant"
        return "it works along the batch" if 0 in axes and tensor is not None and len(tensor.shape) > 1 else ""

    return check


def _mean(op: Op) -> str:
    tensor = op.inputs[0]
    if tensor is None or len(tensor.shape) < 2:
        return ""
    z = len(tensor.shape) - 1
    if z in (_axes(op.inputs[1], len(tensor.shape)) or ()) and tensor.shape[z] % Z_MULTIPLE:
        return f"it reduces z, the innermost dimension, of {tensor.shape[z]}, which is no multiple of {Z_MULTIPLE}"
    return ""


def _pad(op: Op) -> str:
    amounts = op.inputs[1].values() if op.inputs[1] is not None else None
    tensor = op.inputs[0]
    if amounts is None:
        return "its padding is no constant"
    return "it pads the batch" if tensor is not None and len(tensor.shape) > 1 and np.any(amounts[:2]) else ""


def _pack(op: Op) -> str:
    axis = op.options.get("axis", 0) % max(len(op.outputs[0].shape), 1)
    return "it packs along the batch" if axis == 0 else ""


def _resize(op: Op) -> str:
    source, made = op.inputs[0], op.outputs[0]
    if source is None or len(source.shape) != 4 or len(made.shape) != 4:
        return "it resizes no image of four dimensions"
    before, after = source.shape[1:3], made.shape[1:3]
    if any(size > LARGEST_SCALE * old for old, size in zip(before, after, strict=True)):
        sizes = f"{before[0]} x {before[1]} to {after[0]} x {after[1]}"
        return f"it resizes {sizes}, and a scale above {LARGEST_SCALE} loses too much precision to map"
    return ""


def _softmax(op: Op) -> str:
    longest = op.outputs[0].shape[-1] if op.outputs[0].shape else 1
    if longest > LONGEST_SOFTMAX:
        return f"it has {longest} elements, at most {LONGEST_SOFTMAX} map"
    return _flat("input", op.inputs[:1])


def _squeeze(op: Op) -> str:
    """Only dimensions before the first that is larger than 1: any other squeeze would move data."""
    source = op.inputs[0]
    if source is None:
        return ""
    shape = source.shape
    given = op.options.get("squeezeDims")
    dims = [i for i, size in enumerate(shape) if size == 1] if given is None or not len(given) else list(given)
    leading = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    late = any(int(dim) % max(len(shape), 1) > leading for dim in dims)
    return f"it squeezes {list(shape)} other than by leading ones" if late else ""


def _strided(op: Op) -> str:
    strides = op.inputs[3].values() if len(op.inputs) > 3 and op.inputs[3] is not None else None
    if strides is None or np.any(strides != 1):
        return "its strides are not all 1"
    masked = op.options.get("ellipsisMask", 0) or op.options.get("newAxisMask", 0)
    return "it has an ellipsis or new-axis mask" if masked else ""


def _tile(op: Op) -> str:
    times, source = op.inputs[1].values() if op.inputs[1] is not None else None, op.inputs[0]
    if times is None:
        return "its multiples are no constant"
    return "it repeats the batch" if source is not None and len(source.shape) > 1 and times[0] != 1 else ""


WEIGHTS = _constant(1, 2)
TABLE: dict[str, tuple[int, tuple[Check, ...]]] = {  # operator to (least runtime, its limits)
    "ADD": (0, ()),
    "AVERAGE_POOL_2D": (0, (_unfused,)),
    "CONCATENATION": (0, (_unfused, _padding)),
    "CONV_2D": (0, (WEIGHTS, _dilation, _ungrouped)),
    "DEPTHWISE_CONV_2D": (0, (WEIGHTS, _dilation)),
    "EXPAND_DIMS": (13, ()),
    "FULLY_CONNECTED": (0, (WEIGHTS, _dense)),
    "L2_NORMALIZATION": (0, ()),
    "LOGISTIC": (0, ()),
    "MAXIMUM": (0, ()),
    "MAX_POOL_2D": (0, (_unfused,)),
    "MEAN": (0, (_no_batch(1, 0), _mean)),
    "MINIMUM": (0, ()),
    "MUL": (0, ()),
    "PACK": (13, (_pack,)),
    "PAD": (0, (_pad,)),
    "PRELU": (13, (_constant(1), lambda op: _flat("slope", op.inputs[1:2]))),
    "QUANTIZE": (13, ()),
    "REDUCE_MAX": (14, (_no_batch(1, 0),)),
    "REDUCE_MIN": (14, (_no_batch(1, 0),)),
    "RELU": (0, ()),
    "RELU6": (0, ()),
    "RELU_N1_TO_1": (0, ()),
    "RESHAPE": (0, ()),  # large ones may not map: how large only the compiler tells
    "RESIZE_BILINEAR": (0, (_resize,)),
    "RESIZE_NEAREST_NEIGHBOR": (0, (_resize,)),
    "RSQRT": (14, ()),
    "SLICE": (0, ()),
    "SOFTMAX": (0, (_softmax,)),
    "SPACE_TO_DEPTH": (0, ()),
    "SPLIT": (0, (_no_batch(0, 1),)),
    "SQUARED_DIFFERENCE": (14, ()),
    "SQUEEZE": (0, (_squeeze,)),
    "STRIDED_SLICE": (0, (_strided,)),
    "SUB": (0, ()),
    "SUM": (13, (_no_batch(1, 0),)),
    "TANH": (0, ()),
    "TILE": (0, (_tile,)),
    "TRANSPOSE": (14, ()),
    "TRANSPOSE_CONV": (13, (_constant(1, 3),)),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (14, (_constant(*range(1, 18)),)),
}
