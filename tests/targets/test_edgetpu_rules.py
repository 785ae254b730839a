"""Coral's table, rule by rule: what each takes, and what it refuses and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.targets import edgetpu_rules as rules
from harness.targets import tflite_file
from harness.targets.tflite_file import Op
from tests.targets.tflite_ops import Chain, options

Make = Callable[[Chain], object]
IMAGE = (1, 8, 8, 4)


def last(chain: Chain, folder: Path) -> Op:
    return tflite_file.read(chain.save(folder / "m.tflite")).ops[-1]


def conv(chain: Chain, **more: int) -> object:
    return chain.op(
        "CONV_2D", chain.weights(4, 1, 1, 4, scales=4), chain.ints(1, 2, 3, 4), options=options("Conv2D", **more)
    )


def dense(chain: Chain, *, width: int = 6, scales: int = 1, **more: int) -> object:
    wide = int(np.prod(chain.shape[1:]))
    chain.op("RESHAPE", chain.ints(1, wide), shape=(1, wide))
    made = options("FullyConnected", **more)
    return chain.op("FULLY_CONNECTED", chain.weights(width, wide, scales=scales), shape=(1, width), options=made)


def lstm(chain: Chain) -> object:
    kernels = [chain.constant(f"k{i}", np.ones((4, 4), np.int8)) for i in range(8)]
    biases = [chain.constant(f"b{i}", np.ones(4, np.int32)) for i in range(4)]
    states = [chain.tensor("h", (1, 4)), chain.tensor("c", (1, 4), "int16")]
    for state in states:
        chain.writer.graph.tensors[state].isVariable = True
    inputs = [*kernels, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1]
    return chain.op("UNIDIRECTIONAL_SEQUENCE_LSTM", *inputs)


TAKEN: dict[str, tuple[tuple[int, ...], Make]] = {
    "ADD": (IMAGE, lambda c: c.op("ADD", c.source)),
    "AVERAGE_POOL_2D": (IMAGE, lambda c: c.op("AVERAGE_POOL_2D", options=options("Pool2D"))),
    "CONCATENATION": (
        IMAGE,
        lambda c: c.op("CONCATENATION", c.source, shape=(1, 8, 8, 8), options=options("Concatenation", axis=3)),
    ),
    "CONCATENATION of zeros": (
        IMAGE,
        lambda c: c.op(
            "CONCATENATION",
            c.constant("zeros", np.zeros((1, 8, 8, 1), np.int8)),
            shape=(1, 8, 8, 5),
            options=options("Concatenation", axis=3),
        ),
    ),
    "CONV_2D": (IMAGE, conv),
    "CONV_2D dilated": (IMAGE, lambda c: conv(c, dilationWFactor=2, dilationHFactor=2)),
    "DEPTHWISE_CONV_2D": (
        IMAGE,
        lambda c: c.op(
            "DEPTHWISE_CONV_2D",
            c.weights(1, 3, 3, 4, scales=4),
            options=options("DepthwiseConv2D", dilationWFactor=2, dilationHFactor=2),
        ),
    ),
    "EXPAND_DIMS": ((8, 4), lambda c: c.op("EXPAND_DIMS", c.ints(0), shape=(1, 8, 4))),
    "FULLY_CONNECTED": (IMAGE, dense),
    "L2_NORMALIZATION": (IMAGE, lambda c: c.op("L2_NORMALIZATION")),
    "LOGISTIC": (IMAGE, lambda c: c.op("LOGISTIC")),
    "MAXIMUM": (IMAGE, lambda c: c.op("MAXIMUM", c.source)),
    "MAX_POOL_2D": (IMAGE, lambda c: c.op("MAX_POOL_2D", options=options("Pool2D"))),
    "MEAN of x and y": (IMAGE, lambda c: c.op("MEAN", c.ints(1, 2), shape=(1, 4))),
    "MEAN of z": ((1, 8, 8, 12), lambda c: c.op("MEAN", c.ints(-1), shape=(1, 8, 8))),
    "MINIMUM": (IMAGE, lambda c: c.op("MINIMUM", c.source)),
    "MUL": (IMAGE, lambda c: c.op("MUL", c.source)),
    "PACK": ((1, 4), lambda c: c.op("PACK", c.source, shape=(1, 2, 4), options=options("Pack", axis=1))),
    "PAD": (IMAGE, lambda c: c.op("PAD", c.ints(0, 0, 1, 1, 1, 1, 0, 0), shape=(1, 10, 10, 4))),
    "PRELU": (IMAGE, lambda c: c.op("PRELU", c.weights(1, 1, 4))),
    "QUANTIZE": (IMAGE, lambda c: c.op("QUANTIZE", dtype="uint8", version=2)),
    "REDUCE_MAX": (IMAGE, lambda c: c.op("REDUCE_MAX", c.ints(1, 2), shape=(1, 4))),
    "REDUCE_MIN": (IMAGE, lambda c: c.op("REDUCE_MIN", c.ints(1, 2), shape=(1, 4))),
    "RELU": (IMAGE, lambda c: c.op("RELU")),
    "RELU6": (IMAGE, lambda c: c.op("RELU6")),
    "RELU_N1_TO_1": (IMAGE, lambda c: c.op("RELU_N1_TO_1")),
    "RESHAPE": (IMAGE, lambda c: c.op("RESHAPE", c.ints(1, 256), shape=(1, 256))),
    "RESIZE_BILINEAR by two": (IMAGE, lambda c: c.op("RESIZE_BILINEAR", c.ints(16, 16), shape=(1, 16, 16, 4))),
    "RESIZE_NEAREST_NEIGHBOR by less": (
        (1, 3, 3, 4),
        lambda c: c.op("RESIZE_NEAREST_NEIGHBOR", c.ints(5, 5), shape=(1, 5, 5, 4)),
    ),
    "RSQRT": (IMAGE, lambda c: c.op("RSQRT")),
    "SLICE": (IMAGE, lambda c: c.op("SLICE", c.ints(0, 0, 0, 0), c.ints(1, 4, 4, 4), shape=(1, 4, 4, 4))),
    "SOFTMAX": ((1, 16_000), lambda c: c.op("SOFTMAX", options=options("Softmax"))),
    "SPACE_TO_DEPTH": (IMAGE, lambda c: c.op("SPACE_TO_DEPTH", shape=(1, 4, 4, 16))),
    "SPLIT": (IMAGE, lambda c: c.op("SPLIT", first=(c.ints(3),), shape=(1, 8, 8, 2))),
    "SQUARED_DIFFERENCE": (IMAGE, lambda c: c.op("SQUARED_DIFFERENCE", c.source)),
    "SQUEEZE": ((1, 1, 1, 10), lambda c: c.op("SQUEEZE", shape=(10,))),
    "STRIDED_SLICE": (
        IMAGE,
        lambda c: c.op(
            "STRIDED_SLICE",
            c.ints(0, 0, 0, 0),
            c.ints(1, 4, 4, 4),
            c.ints(1, 1, 1, 1),
            shape=(1, 4, 4, 4),
            options=options("StridedSlice"),
        ),
    ),
    "SUB": (IMAGE, lambda c: c.op("SUB", c.source)),
    "SUM": (IMAGE, lambda c: c.op("SUM", c.ints(1, 2), shape=(1, 4))),
    "TANH": (IMAGE, lambda c: c.op("TANH")),
    "TILE": (IMAGE, lambda c: c.op("TILE", c.ints(1, 2, 2, 1), shape=(1, 16, 16, 4))),
    "TRANSPOSE": (IMAGE, lambda c: c.op("TRANSPOSE", c.ints(0, 3, 1, 2), shape=(1, 4, 8, 8))),
    "TRANSPOSE_CONV": (
        IMAGE,
        lambda c: c.op(
            "TRANSPOSE_CONV", first=(c.ints(1, 16, 16, 4), c.weights(4, 2, 2, 4, scales=4)), shape=(1, 16, 16, 4)
        ),
    ),
    "UNIDIRECTIONAL_SEQUENCE_LSTM with its states": ((1, 28, 4), lstm),
}

REFUSED: dict[str, tuple[tuple[int, ...], Make, str]] = {
    "an unknown operator": (IMAGE, lambda c: c.op("GELU"), "does not support GELU"),
    "a batched product": (IMAGE, lambda c: c.op("BATCH_MATMUL", c.source), "does not support BATCH_MATMUL"),
    "a leaky relu": (IMAGE, lambda c: c.op("LEAKY_RELU"), "does not support LEAKY_RELU"),
    "an LSTM both ways": ((1, 28, 4), lambda c: c.op("BIDIRECTIONAL_SEQUENCE_LSTM"), "does not support BIDIRECTIONAL"),
    "a newer version": (
        IMAGE,
        lambda c: c.op("QUANTIZE", version=3),
        r"version 3 is newer than the compiler knows \(2\)",
    ),
    "a newer convolution": (
        IMAGE,
        lambda c: c.op("CONV_2D", c.weights(4, 1, 1, 4), options=options("Conv2D"), version=6),
        r"version 6 is newer than the compiler knows \(5\)",
    ),
    "a newer transposed convolution": (
        IMAGE,
        lambda c: c.op("TRANSPOSE_CONV", first=(c.ints(1, 16, 16, 4), c.weights(4, 2, 2, 4)), version=4),
        r"version 4 is newer than the compiler knows \(3\)",
    ),
    "a convolution in groups": (
        IMAGE,
        lambda c: c.op("CONV_2D", c.weights(4, 3, 3, 2, scales=4), options=options("Conv2D")),
        "convolves 4 channels in groups of 2, which is newer than the compiler",
    ),
    "4-bit weights": (
        IMAGE,
        lambda c: c.op("CONV_2D", c.typed(c.weights(4, 1, 1, 4), "int4"), options=options("Conv2D")),
        "constant weights0 is int4: weights are of 8 bits there",
    ),
    "a slope that is computed": (IMAGE, lambda c: c.op("PRELU", c.tensor("slope", (1, 1, 4))), "slope, its weights"),
    "16-bit activations": (IMAGE, lambda c: c.op("RELU", dtype="int16"), "works on int16"),
    "a float input": (IMAGE, lambda c: c.op("ADD", c.tensor("f", IMAGE, "float32")), "works on float32"),
    "float weights": (
        IMAGE,
        lambda c: c.op("MUL", c.constant("half", np.ones(4, np.float32))),
        "constant half is float32",
    ),
    "no scale": (IMAGE, lambda c: c.op("ADD", c.tensor("raw", IMAGE, scales=0)), "raw is int8 without a scale"),
    "a batch": ((2, 8, 8, 4), lambda c: c.op("RELU"), r"\[2, 8, 8, 4\]: only the 3 innermost.*batch"),
    "five dimensions": ((1, 2, 8, 8, 4), lambda c: c.op("RELU"), "only the 3 innermost dimensions may be larger"),
    "a pool with an activation": (
        IMAGE,
        lambda c: c.op("MAX_POOL_2D", options=options("Pool2D", fusedActivationFunction=1)),
        "fused activation",
    ),
    "a mean pool with an activation": (
        IMAGE,
        lambda c: c.op("AVERAGE_POOL_2D", options=options("Pool2D", fusedActivationFunction=3)),
        "fused activation",
    ),
    "a concatenation with an activation": (
        IMAGE,
        lambda c: c.op(
            "CONCATENATION",
            c.source,
            shape=(1, 8, 8, 8),
            options=options("Concatenation", axis=3, fusedActivationFunction=1),
        ),
        "fused activation",
    ),
    "a concatenation with ones": (
        IMAGE,
        lambda c: c.op("CONCATENATION", c.constant("ones", np.ones((1, 8, 8, 1), np.int8)), shape=(1, 8, 8, 5)),
        "the constant ones, which is not all zeros",
    ),
    "zeros and two others": (
        IMAGE,
        lambda c: c.op("CONCATENATION", c.source, c.constant("z", np.zeros((1, 8, 8, 1), np.int8)), shape=(1, 8, 8, 9)),
        "a constant with 2 others",
    ),
    "uneven dilation": (IMAGE, lambda c: conv(c, dilationWFactor=2, dilationHFactor=1), "dilates 2 in x but 1 in y"),
    "weights that are computed": (
        IMAGE,
        lambda c: c.op("CONV_2D", c.source),
        "input, its weights or biases, is no constant",
    ),
    "weights in another format": (IMAGE, lambda c: dense(c, weightsFormat=1), "not in the default format"),
    "dense per channel": (IMAGE, lambda c: dense(c, scales=6), "quantized per channel; a FULLY_CONNECTED must be"),
    "dense over time": (
        (1, 5, 8),
        lambda c: c.op("FULLY_CONNECTED", c.weights(6, 8), shape=(1, 5, 6)),
        r"output \[1, 5, 6\] is not one-dim",
    ),
    "a mean of the batch": (IMAGE, lambda c: c.op("MEAN", c.ints(0), shape=(8, 8, 4)), "works along the batch"),
    "a mean of 5 in z": (
        (1, 8, 8, 5),
        lambda c: c.op("MEAN", c.ints(2, 3), shape=(1, 8)),
        "of 5, which is no multiple of 4",
    ),
    "computed axes": (
        IMAGE,
        lambda c: c.op("SUM", c.tensor("axes", (2,), "int8"), shape=(1, 4)),
        "axes are no constant",
    ),
    "a sum of the batch": (IMAGE, lambda c: c.op("SUM", c.ints(0), shape=(8, 8, 4)), "works along the batch"),
    "a maximum of the batch": (
        IMAGE,
        lambda c: c.op("REDUCE_MAX", c.ints(-4), shape=(8, 8, 4)),
        "works along the batch",
    ),
    "a split of the batch": ((1, 4), lambda c: c.op("SPLIT", first=(c.ints(0),)), "works along the batch"),
    "packing a batch": (
        (1, 4),
        lambda c: c.op("PACK", c.source, shape=(2, 1, 4), options=options("Pack", axis=0)),
        "packs along the batch",
    ),
    "padding the batch": ((1, 4), lambda c: c.op("PAD", c.ints(0, 1, 0, 0), shape=(2, 4)), "pads the batch"),
    "a slope in two dimensions": (
        IMAGE,
        lambda c: c.op("PRELU", c.weights(8, 8, 4)),
        r"slope \[8, 8, 4\] is not one-dim",
    ),
    "a resize from 1 to 33": (
        (1, 1, 1, 4),
        lambda c: c.op("RESIZE_BILINEAR", c.ints(33, 33), shape=(1, 33, 33, 4)),
        "resizes 1 x 1 to 33 x 33",
    ),
    "a softmax over rows": ((1, 8, 4), lambda c: c.op("SOFTMAX"), r"input \[1, 8, 4\] is not one-dimensional"),
    "a long softmax": ((1, 16_001), lambda c: c.op("SOFTMAX"), "16001 elements, at most 16000"),
    "a squeeze in the middle": ((1, 5, 1, 10), lambda c: c.op("SQUEEZE", shape=(5, 10)), "other than by leading ones"),
    "a stride of two": (
        IMAGE,
        lambda c: c.op("STRIDED_SLICE", c.ints(0, 0, 0, 0), c.ints(1, 8, 8, 4), c.ints(1, 2, 2, 1), shape=(1, 4, 4, 4)),
        "strides are not all 1",
    ),
    "a new axis": (
        IMAGE,
        lambda c: c.op(
            "STRIDED_SLICE",
            c.ints(0, 0, 0, 0),
            c.ints(1, 8, 8, 4),
            c.ints(1, 1, 1, 1),
            options=options("StridedSlice", newAxisMask=1),
        ),
        "ellipsis or new-axis mask",
    ),
    "a repeated batch": ((1, 4), lambda c: c.op("TILE", c.ints(2, 1), shape=(2, 4)), "repeats the batch"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_maps(name: str, tmp_path: Path) -> None:
    shape, make = TAKEN[name]
    chain = Chain(shape)
    make(chain)
    op = last(chain, tmp_path)
    assert op.kind == name.split()[0]
    assert rules.refusal(op) == ""


def test_every_operator_of_the_table_has_a_case() -> None:
    assert {name.split()[0] for name in TAKEN} == set(rules.TABLE)


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_map_and_why(name: str, tmp_path: Path) -> None:
    shape, make, reason = REFUSED[name]
    chain = Chain(shape)
    make(chain)
    found = rules.refusal(last(chain, tmp_path))
    assert re.search(reason, found), found or "it maps"


def test_a_dynamic_shape_does_not_map(tmp_path: Path) -> None:
    chain = Chain()
    chain.op("RELU")
    chain.writer.graph.tensors[chain.source].shapeSignature = [-1, 8, 8, 4]
    assert "the shape of input is dynamic" in rules.refusal(last(chain, tmp_path))


@pytest.mark.parametrize(("kind", "runtime"), [("CONV_2D", 0), ("QUANTIZE", 13), ("TRANSPOSE", 14)])
def test_the_runtime_that_an_operator_needs(kind: str, runtime: int) -> None:
    assert rules.TABLE[kind][0] == runtime
