"""What Qualcomm documents of SNPE's DSP runtime on Hexagon V66, as rules over an ONNX graph.

From "Supported Network Layers", column DSP (v66), and "Supported ONNX Ops" of the Qualcomm Neural Processing SDK,
80-63442-2 Rev. BL, June 11, 2025 (docs.qualcomm.com/doc/80-63442-2/topic/network_layers.html and
.../supported_onnx_ops.html). The first names what the runtime has an implementation for, not for which
parameters: a graph that keeps these rules may still fall back, which only snpe-diagview on the board tells. The
second's lists of operator versions are not used: they end before the versions that common exports carry (Relu 6).

An operator that neither names is a fallback, "not known to run on V66", never silently fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import onnx

from harness.errors import CandidateError
from harness.targets.base import Evidence, Node, Placement

SOURCE = "SNPE DSP V66 rules, static (80-63442-2 Rev. BL)"

WITH_LAYER = """
Abs Add ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Conv ConvTranspose DepthToSpace
DequantizeLinear Div Elu Equal Exp Flatten Floor Gather Gemm GlobalAveragePool GlobalMaxPool Greater
GreaterOrEqual HardSwish InstanceNormalization LRN LSTM LeakyRelu Less LessOrEqual Log LpNormalization MatMul Max
MaxPool MaxRoiPool Min Mul Neg PRelu Pad Pow QuantizeLinear Reciprocal ReduceLogSumExp ReduceMax ReduceMean
ReduceMin ReduceSum Relu Reshape Resize RoiAlign Round Sigmoid Slice Softmax SpaceToDepth Split Sqrt Squeeze Sub
Sum Tanh Tile Transpose Unsqueeze Upsample Where
"""
ELSEWHERE = """
And Asin Atan Cos CumSum GatherElements GatherND Gelu GridSample GroupNormalization LayerNormalization LogSoftmax
LpPool Mod NonMaxSuppression NonZero Not OneHot Or ReduceProd Scatter ScatterElements ScatterND Sign Sin Softplus
TopK Xor
"""
RUNS = frozenset(WITH_LAYER.split())
OTHER_UNITS = frozenset(ELSEWHERE.split())  # SNPE has them for the CPU, the GPU or V68 and newer: not for V66
VANISHES = frozenset({"Constant", "Dropout", "Identity"})  # the converter folds them: no layer is left
REASONS = {
    "Erf": "the converter takes Erf only as part of a GELU, which the V66's DSP has not: use Relu",
    "GRU": "no runtime of SNPE has a GRU: unroll it into MatMul, Sigmoid and Tanh, or use an LSTM",
    "Gelu": "the V66's DSP has no GELU: use Relu",
    "LayerNormalization": "the V66's DSP has no LayerNormalization: use BatchNormalization",
}

Attributes = dict[str, object]


def placement(model: Path) -> Placement:
    """Every node that stays a layer, with those that the rules do not place on the DSP marked.

    Raises CandidateError where the shapes of the graph contradict each other.
    """
    graph = _inferred(model)
    shapes = {value.name: _static(value) for value in (*graph.value_info, *graph.output, *graph.input)}
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    nodes = tuple(_node(node, shapes, ranks) for node in graph.node if node.op_type not in VANISHES)
    if not nodes:
        raise CandidateError(f"{model} has no node that computes anything; export it again.")
    partitions = sum(where == "dsp" for where, _ in groupby(node.where for node in nodes))
    return Placement(nodes, Evidence.STATIC, partitions, SOURCE)


def _inferred(model: Path) -> onnx.GraphProto:
    try:
        return onnx.shape_inference.infer_shapes(onnx.load(model), strict_mode=True).graph
    except onnx.shape_inference.InferenceError as error:
        first = str(error).strip().splitlines()[0]
        raise CandidateError(f"{model}: its shapes contradict each other ({first}); export it again.") from error


def _static(value: onnx.ValueInfoProto) -> bool:
    return all(dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)


def _node(node: onnx.NodeProto, shapes: dict[str, bool], ranks: dict[str, int]) -> Node:
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    name = node.name or node.output[0]
    reasons = list(_reasons(node, attributes, shapes, ranks))
    if not reasons:
        return Node(name, node.op_type, "int8", "dsp", False)
    where = "cpu" if node.op_type in OTHER_UNITS else "unknown"
    return Node(name, node.op_type, "float32", where, True, "; ".join(reasons))


def _reasons(
    node: onnx.NodeProto, attributes: Attributes, shapes: dict[str, bool], ranks: dict[str, int]
) -> Iterator[str]:
    """Why a node is not known to run on the DSP; none where it is."""
    if node.domain not in ("", "ai.onnx"):
        yield f"an operator of {node.domain} is not known to run on V66"
    elif node.op_type in REASONS:
        yield REASONS[node.op_type]
    elif node.op_type in OTHER_UNITS:
        yield f"SNPE has {node.op_type}, but not on the V66's DSP"
    elif node.op_type not in RUNS:
        yield f"{node.op_type} is not known to run on V66"
    elif node.op_type in LIMITS and (limit := LIMITS[node.op_type](node, attributes, ranks)):
        yield limit
    if not all(shapes.get(name, True) for name in node.output):
        yield "its shape is dynamic, and the DSP needs static ones"


def _gemm(node: onnx.NodeProto, attributes: Attributes, ranks: dict[str, int]) -> str:
    as_layer = attributes.get("transA", 0) == 0 and attributes.get("transB", 0) == 1 and node.input[1] in ranks
    return "" if as_layer else "the converter takes Gemm only as a fully connected layer (transA=0, transB=1)"


def _max_pool(node: onnx.NodeProto, attributes: Attributes, ranks: dict[str, int]) -> str:
    dilations = attributes.get("dilations", [1])
    plain = isinstance(dilations, list) and set(dilations) == {1} and len(node.output) == 1
    return "" if plain else "the converter takes MaxPool only without dilations and indices"


def _conv_transpose(node: onnx.NodeProto, attributes: Attributes, ranks: dict[str, int]) -> str:
    return "" if ranks.get(node.input[1], 4) < 5 else "the V66's DSP has no transposed convolution in 3-D"


def _resize(node: onnx.NodeProto, attributes: Attributes, ranks: dict[str, int]) -> str:
    mode = attributes.get("mode", b"nearest")
    return "" if mode in (b"nearest", b"linear") else "the V66's DSP resizes by nearest neighbour or bilinearly only"


def _lp(node: onnx.NodeProto, attributes: Attributes, ranks: dict[str, int]) -> str:
    return "" if attributes.get("p", 2) == 2 else "the converter takes LpNormalization only with p=2"


LIMITS: dict[str, Callable[[onnx.NodeProto, Attributes, dict[str, int]], str]] = {
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "LpNormalization": _lp,
    "MaxPool": _max_pool,
    "Resize": _resize,
    "Upsample": _resize,
}
