"""A streaming step in training: heard over sequences, its states quantized alike in and out. A room of qat_worker.py.

litert-torch's quantizer names weights and most operators of windows. Of a step it leaves the difference, the hyperbolic
tangent and the slice in float, and gives whatever is joined one scale, which a state of one unit would share with
features of twenty. So here every activation is given its place, and places that hold one tensor share a scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

PASSES = 5  # of the first batch, before fake quantization sets in: a moving average is then within 2 % of a range
ANNOTATION = "quantization_annotation"
INT8 = (-128, 127)
MOST = 127  # of a constant 1 that joins are multiplied by
INNER = "_inner"
TO_UNSIGNED = 128


def begin(kept: Sequence[Any], fresh: Any, shapes: Sequence[Sequence[int]]) -> list[Any]:
    """States a batch begins in: where its place ended before, but silence for ``fresh`` ``(n,)`` or another ``n``."""
    import torch

    if kept and len(kept[0]) == len(fresh):
        return [torch.where(fresh.view(-1, *[1] * (state.dim() - 1)), 0.0, state) for state in kept]
    return [torch.zeros(len(fresh), *shape[1:]) for shape in shapes]


def unrolled(network: Any, inputs: Any, states: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Outputs ``(n, steps, ...)`` of sequences ``(n, steps, ...)``, and the states they end in, without gradient."""
    import torch

    said = []
    for step in range(inputs.shape[1]):
        output, *states = network(inputs[:, step], *states)
        said.append(output)
    return torch.stack(said, 1), [state.detach() for state in states]


def find_ranges(network: Any, batch: tuple[Any, ...], shapes: Sequence[Sequence[int]]) -> None:
    """Let observers see the float step: a state's own begins at nothing, and grows by a hundredth a step."""
    import torch
    from torchao.quantization.pt2e import disable_fake_quant, enable_fake_quant

    inputs, _, fresh = batch
    network.apply(disable_fake_quant)
    states: list[Any] = []
    with torch.no_grad():
        for _ in range(PASSES):
            _, states = unrolled(network, inputs, begin(states, fresh, shapes))
    network.apply(enable_fake_quant)


def settle(model: Any, spec: Any, states: int) -> None:
    """Annotate every activation of an exported step, whose weights litert-torch has annotated.

    A tensor that is moved keeps its scale. What is joined takes that of the whole; where it is read elsewhere too, it
    is requantized. Each of the last ``states`` outputs shares the scale of the input that it is given back to.
    """
    places = _Places(model, spec)
    _tie_states(model, places, states)
    annotation = _annotations()
    for node in model.graph.nodes:
        if node.op not in ("placeholder", "call_function"):
            continue
        known = node.meta.get(ANNOTATION)
        weights = {given: one for given, one in known.input_qspec_map.items() if not _active(given)} if known else {}
        given = {one: places.spec((one, node)) for one in places.read(node)}
        own = None if node in places.fused else places.spec(node)
        node.meta[ANNOTATION] = annotation(
            input_qspec_map={**weights, **given}, output_qspec=own, allow_implicit_sharing=False, _annotated=True
        )


class _Places:
    """Where activations are rounded: a node for what it makes, a pair for what it reads; those of one scale as one."""

    def __init__(self, model: Any, spec: Any) -> None:
        nodes = [node for node in model.graph.nodes if node.op == "call_function"]
        self._general, self._fixed = spec, _fixed(nodes)
        self._parent: dict[Any, Any] = {}
        self._shown: dict[Any, Any] = {}
        self.fused = {node.args[0] for node in nodes if _fuses(node)}
        for node in nodes:
            self._tie(node)

    def _tie(self, node: Any) -> None:
        for given in _activations(node) if _joins(node) else ():
            if len(_readers(given)) == 1 and given not in self._fixed:
                self.same(given, node)
        for given in self.read(node):
            self.same(given, (given, node))
            if _moves(node):
                self.same(given, node)

    def read(self, node: Any) -> list[Any]:
        """What is rounded before it is read: nothing of a join, which rounds all it makes, nor before a fused Relu."""
        if node.op != "call_function" or _joins(node):
            return []
        return [given for given in _activations(node) if given not in self.fused]

    def same(self, one: Any, other: Any) -> None:
        first, second = self._root(one), self._root(other)
        if first != second:
            self._parent[second] = first

    def spec(self, place: Any) -> Any:
        """The first place of a scale says what it is, the others that they share it."""
        from torchao.quantization.pt2e.quantizer import SharedQuantizationSpec

        root = self._root(place)
        if root in self._shown:
            return SharedQuantizationSpec(self._shown[root])
        self._shown[root] = place
        return next((spec for node, spec in self._fixed.items() if self._root(node) == root), self._general)

    def _root(self, place: Any) -> Any:
        while self._parent.get(place, place) != place:
            place = self._parent[place]
        return place


def _tie_states(model: Any, places: _Places, states: int) -> None:
    inputs = [node for node in model.graph.nodes if node.op == "placeholder"]
    (outputs,) = next(node for node in model.graph.nodes if node.op == "output").args
    for given, taken in zip(inputs[-states:], outputs[-states:], strict=True):
        places.same(given, taken)


def _fixed(nodes: Sequence[Any]) -> dict[Any, Any]:
    """Scales that LiteRT's kernels of these operators demand of their outputs."""
    import torch
    from torchao.quantization.pt2e.quantizer import FixedQParamsQuantizationSpec

    aten = torch.ops.aten
    known = {aten.sigmoid.default: (1 / 256, -128), aten.softmax.int: (1 / 256, -128), aten.tanh.default: (1 / 128, 0)}
    return {
        node: FixedQParamsQuantizationSpec(
            dtype=torch.int8,
            scale=known[node.target][0],
            zero_point=known[node.target][1],
            quant_min=INT8[0],
            quant_max=INT8[1],
            qscheme=torch.per_tensor_affine,
        )
        for node in nodes
        if node.target in known
    }


def _fuses(node: Any) -> bool:
    """A Relu that is computed together with the layer before it."""
    import torch

    aten = torch.ops.aten
    layers = (aten.conv1d.default, aten.conv2d.default, aten.linear.default, aten.add.Tensor)
    before = node.args[0] if node.target in (aten.relu.default, aten.relu_.default) else None
    return before is not None and before.target in layers and len(_readers(before)) == 1


def _joins(node: Any) -> bool:
    import torch

    return bool(node.target == torch.ops.aten.cat.default)


def _moves(node: Any) -> bool:
    """Values go elsewhere and stay what they are."""
    import torch

    aten = torch.ops.aten
    return node.target in (
        *(aten.flatten.using_ints, aten.view.default, aten.reshape.default, aten.permute.default, aten.transpose.int),
        *(aten.slice.Tensor, aten.squeeze.dim, aten.unsqueeze.default, aten.select.int, aten.max_pool2d.default),
    )


def _active(node: Any) -> bool:
    return getattr(node, "op", None) in ("placeholder", "call_function")


def _activations(node: Any) -> list[Any]:
    given = node.args[0] if _joins(node) else node.args
    return [one for one in given if _active(one)]


def _readers(node: Any) -> list[Any]:
    return [user for user in node.users if user.op in ("call_function", "output")]  # torch.export's guards read nothing


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
    joins = [node for node in graph.nodes if node.op == "call_function" and _joins(node)]
    apart = [
        (given, node, after.args[1:])
        for node in joins
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
        readers = [other for other in graph.node if name in other.input]
        if node.op_type != "DequantizeLinear" or name not in outputs or not readers:
            continue
        inner = type(node).FromString(node.SerializeToString())
        inner.name, inner.output[0] = f"{node.name}{INNER}", f"{name}{INNER}"
        nodes.append(inner)
        for reader in readers:
            reader.input[:] = [inner.output[0] if given == name else given for given in reader.input]
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _make_unsigned(graph: Any) -> None:
    import numpy as np
    from onnx import TensorProto, numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or node.input[0] in constants:
            continue
        zero = numpy_helper.to_array(constants[node.input[2]]).astype(np.int16) + TO_UNSIGNED
        name = f"{node.input[2]}_unsigned"
        if name not in constants:
            constants[name] = numpy_helper.from_array(zero.astype(np.uint8), name)
            graph.initializer.append(constants[name])
        node.input[2] = name
    for value in graph.value_info:
        if value.type.tensor_type.elem_type == TensorProto.INT8 and value.name not in constants:
            value.type.tensor_type.elem_type = TensorProto.UINT8
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def said(path: Path, states: dict[str, str], sequences: Any) -> Any:
    """Scores ``(n, steps)`` of an exported step, each sequence from silence."""
    import numpy as np

    from harness.agent.steps import open_step

    step = open_step(path, states)
    scores = []
    for sequence in sequences:
        step.reset()
        scores.append([step(features) for features in sequence])
    return np.array(scores)


def _annotations() -> Any:
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation

    return QuantizationAnnotation
