"""Where a streaming step rounds, and which of these places share a scale. A room of qat_worker.py.

litert-torch's quantizer names weights and most operators of windows. Of a step it leaves the difference, the hyperbolic
tangent and the slice in float, and gives whatever is joined one scale, which a state of one unit would share with
features of twenty. So here every activation is given its place, and places that hold one tensor share a scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ANNOTATION = "quantization_annotation"
INT8 = (-128, 127)


def settle(model: Any, spec: Any, states: int) -> None:
    """Annotate every activation of an exported step, whose weights litert-torch has annotated.

    A tensor that is moved keeps its scale. What is joined takes that of the whole; where it is read elsewhere too, it
    is requantized. Each of the last ``states`` outputs shares the scale of the input that it is given back to.
    """
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation

    places = _Places(model, spec)
    _tie_states(model, places, states)
    for node in model.graph.nodes:
        if node.op not in ("placeholder", "call_function"):
            continue
        known = node.meta.get(ANNOTATION)
        weights = {given: one for given, one in known.input_qspec_map.items() if not _active(given)} if known else {}
        given = {one: places.spec((one, node)) for one in places.read(node)}
        own = None if node in places.fused else places.spec(node)
        node.meta[ANNOTATION] = QuantizationAnnotation(
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
        for given in _activations(node) if joins(node) else ():
            if len(_readers(given)) == 1 and given not in self._fixed and not _clips(given):
                self.same(given, node)
        for given in self.read(node):
            self.same(given, (given, node))
            if _keeps(node):
                self.same(given, node)

    def read(self, node: Any) -> list[Any]:
        """What is rounded before it is read: nothing of a join, which rounds all it makes, nor before a fused Relu."""
        if node.op != "call_function" or joins(node):
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
    return _clips(node) and node.args[0].target in layers and len(_readers(node.args[0])) == 1


def _clips(node: Any) -> bool:
    """A Relu: a scale that begins at zero clips in its place, so it takes no other."""
    import torch

    return node.target in (torch.ops.aten.relu.default, torch.ops.aten.relu_.default)


def joins(node: Any) -> bool:
    import torch

    return node.target in (torch.ops.aten.cat.default, torch.ops.aten.stack.default)


def _keeps(node: Any) -> bool:
    """Values are moved, chosen or averaged, and LiteRT's kernels leave them their scale."""
    import torch

    aten = torch.ops.aten
    return node.target in (
        *(aten.flatten.using_ints, aten.view.default, aten.reshape.default, aten.permute.default, aten.transpose.int),
        *(aten.slice.Tensor, aten.select.int, aten.squeeze.dim, aten.unsqueeze.default, aten.expand.default),
        *(aten.max_pool2d.default, aten.avg_pool2d.default, aten.adaptive_avg_pool2d.default, aten.mean.dim),
        *(aten.clone.default, aten.contiguous.default, aten.dropout.default),
    )


def _active(node: Any) -> bool:
    return getattr(node, "op", None) in ("placeholder", "call_function")


def _activations(node: Any) -> list[Any]:
    given = node.args[0] if joins(node) else node.args
    return [one for one in given if _active(one)]


def _readers(node: Any) -> list[Any]:
    return [user for user in node.users if user.op in ("call_function", "output")]  # torch.export's guards read nothing
