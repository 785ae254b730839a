"""A trained step in the form that the targets read, of the same function. A room of qat_worker.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.targets.workers.qat_places import INT8, joins

MOST = 127  # of a constant 1 that joins are multiplied by
INNER = "_inner"
TO_UNSIGNED = 128
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def carry_across_scales(model: Any) -> Any:
    """A multiplication by one before each join of another scale; for LiteRT, in a converted step.

    LiteRT joins what has one scale. litert-converter 0.5 drops a requantization that stands by itself ("'tfl.concat'
    op quantization parameters violate the same scale constraint"); a product may have a scale of its own. Ones of
    different scales keep two of them from being taken for one product.
    """
    import torch

    made = torch.ops.quantized_decomposed
    undo, redo = made.dequantize_per_tensor.default, made.quantize_per_tensor.default
    graph = model.graph
    model.register_buffer("carried_one", torch.ones(1))
    joined = [node for node in graph.nodes if node.op == "call_function" and joins(node)]
    apart = [
        (given, node, after.args[1:])
        for node in joined
        for after in list(node.users)[:1]
        for given in node.args[0]
        if given.target == undo and given.args[1:3] != after.args[1:3]
    ]
    for count, (given, node, scale) in enumerate(apart):
        whole = MOST - count % MOST
        one = (1 / whole, 0, *INT8, torch.int8)
        with graph.inserting_before(node):
            stored = graph.call_function(redo, (graph.get_attr("carried_one"), *one))
            product = graph.call_function(torch.ops.aten.mul.Tensor, (given, graph.call_function(undo, (stored, *one))))
            carried = graph.call_function(undo, (graph.call_function(redo, (product, *scale)), *scale))
        node.replace_input_with(given, carried)
    model.recompile()
    return model


def finish_onnx(path: Path, *, unsigned: bool) -> None:
    """Q/DQ as the targets read them, of the same function.

    rknn-toolkit2 2.5.0 loses an output that is read within the graph too (KeyError: '<output>_dup'). onnxruntime on x64
    computes int8 activations that several nodes read in float, where uint8 has kernels.
    """
    import onnx

    model = onnx.load(path)
    _give_outputs_their_own(model.graph)
    if unsigned:
        _make_unsigned(model.graph)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _give_outputs_their_own(graph: Any) -> None:
    outputs = {value.name for value in graph.output}
    nodes = []
    for node in graph.node:
        nodes.append(node)
        name = node.output[0]
        readers = _readers(graph, name)
        if node.op_type != "DequantizeLinear" or name not in outputs or not readers:
            continue
        inner = type(node).FromString(node.SerializeToString())
        inner.name, inner.output[0] = f"{node.name}{INNER}", f"{name}{INNER}"
        nodes.append(inner)
        for reader in readers:
            reader.input[:] = [inner.output[0] if given == name else given for given in reader.input]
    _replace(graph.node, nodes)


def _make_unsigned(graph: Any) -> None:
    """uint8 in place of int8 wherever an operator computes, 128 added to values and zero points; weights stay."""
    from onnx import TensorProto

    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        if node.input[0] in constants:
            if any(reader.op_type in WEIGHTED for reader in _readers(graph, node.output[0])):
                continue
            node.input[0] = _shifted(graph, constants, node.input[0])
        node.input[2] = _shifted(graph, constants, node.input[2])
    for value in graph.value_info:
        if value.type.tensor_type.elem_type == TensorProto.INT8 and value.name not in constants:
            value.type.tensor_type.elem_type = TensorProto.UINT8
    _drop_relus_behind_gemms(graph, constants)
    read = {name for node in graph.node for name in node.input}
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in read])


def _shifted(graph: Any, constants: dict[str, Any], name: str) -> str:
    import numpy as np
    from onnx import numpy_helper

    other = f"{name}_unsigned"
    if other not in constants:
        values = numpy_helper.to_array(constants[name]).astype(np.int16) + TO_UNSIGNED
        constants[other] = numpy_helper.from_array(values.astype(np.uint8), other)
        graph.initializer.append(constants[other])
    return other


def _drop_relus_behind_gemms(graph: Any, constants: dict[str, Any]) -> None:
    """What is quantized from zero on clips as a Relu does; with it, onnxruntime would compute both in float."""
    from onnx import numpy_helper

    makers = {node.output[0]: node for node in graph.node}
    gone = []
    for relu in [node for node in graph.node if node.op_type == "Relu"]:
        before, readers = makers.get(relu.input[0]), _readers(graph, relu.output[0])
        clipped = [node.op_type == "QuantizeLinear" and node.input[2] in constants for node in readers]
        if before is None or before.op_type != "Gemm" or not all(clipped):
            continue
        if all(not numpy_helper.to_array(constants[node.input[2]]).any() for node in readers):
            for node in readers:
                node.input[0] = relu.input[0]
            gone.append(relu.output[0])
    _replace(graph.node, [node for node in graph.node if node.output[0] not in gone])


def _readers(graph: Any, name: str) -> list[Any]:
    return [node for node in graph.node if name in node.input]


def _replace(held: Any, wanted: list[Any]) -> None:
    """The repeated field holds copies of ``wanted``, which may be its own."""
    copies = [type(each).FromString(each.SerializeToString()) for each in wanted]
    del held[:]
    held.extend(copies)
