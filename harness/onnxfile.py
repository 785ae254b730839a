"""What an ONNX file says of itself, read once and refused early.

A model is untrusted input: its size is bounded, it may reach for no other file, and it must have
the one shape the house knows: one static float input, one static float output, and beside them only the
states that model.toml names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from harness.candidate import MAX_MODEL
from harness.errors import CandidateError, nearest

EXPORT = "Export it again with torch.onnx.export (static shapes, batch 1, weights inside the file)."
MAX_DEPTH = 8  # of graphs within If, Loop and Scan


@dataclass(frozen=True, slots=True)
class State:
    """What a step is given back at the next one: its input, the output it comes from, and the shape of both."""

    name: str
    next: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Onnx:
    """One input, one output, the opset of the standard domain, and the kinds of operators used."""

    path: Path
    opset: int
    input_name: str
    input_shape: tuple[int, ...]
    output_name: str
    output_shape: tuple[int, ...]  # (1, labels), or (1, frames, labels)
    ops: tuple[str, ...]
    states: tuple[State, ...] = ()

    @property
    def labels(self) -> int:
        """Outputs of one window, in one row: its labels, in every frame where it has frames."""
        return math.prod(self.output_shape[1:])


def inspect(path: Path, states: Mapping[str, str] = MappingProxyType({})) -> Onnx:
    """Read and check an ONNX file. Raises CandidateError naming the fault and the remedy.

    ``states`` maps the inputs of a streaming step that are its state to the outputs they come from.
    """
    model = _load(path)
    _refuse_outside_data(path, model)
    _refuse_odd_names(path, model)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise CandidateError(f"{path} is not a valid ONNX model: {_first_line(error)}. {EXPORT}") from error
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = _named(path, "inputs", [value for value in model.graph.input if value.name not in weights])
    outputs = _named(path, "outputs", model.graph.output)
    kept = tuple(_state(path, *pair, inputs, outputs) for pair in states.items())
    feed = _only(path, "input", list(inputs.values()))
    out = _only(path, "output", list(outputs.values()))
    input_shape, output_shape = _shape(path, "input", feed), _shape(path, "output", out)
    if len(input_shape) != 4 or input_shape[0] != 1:
        raise CandidateError(
            f"{path}: input {feed.name!r} has shape {list(input_shape)}; four dimensions with batch 1 are "
            f"needed, as [1,1,frames,bins] or [1,frames,bins,1]. {EXPORT}"
        )
    if len(output_shape) not in (2, 3) or output_shape[0] != 1:
        raise CandidateError(
            f"{path}: output {out.name!r} has shape {list(output_shape)}; logits of shape [1,labels], or "
            f"[1,frames,labels] of a command model, are needed. {EXPORT}"
        )
    return Onnx(
        path=path,
        opset=_opset(path, model),
        input_name=feed.name,
        input_shape=input_shape,
        output_name=out.name,
        output_shape=output_shape,
        ops=tuple(sorted({node.op_type for graph in _graphs(model.graph) for node in graph.node})),
        states=kept,
    )


def as_inputs(features: npt.NDArray[np.float32], model: Onnx) -> npt.NDArray[np.float32]:
    """``(n, frames, bins)`` features in the model's own input shape: ``(n, *input_shape[1:])``.

    Raises CandidateError when the input does not hold exactly ``(frames, bins)``, or a value is not finite:
    vendor tools turn NaN into plausible figures without a word.
    """
    if features.ndim != 3:
        raise ValueError(f"features are (n, frames, bins), not {features.shape}")
    wanted = [size for size in features.shape[1:] if size != 1]
    if [size for size in model.input_shape if size != 1] != wanted:
        raise CandidateError(
            f"{model.path}: input {model.input_name!r} is {list(model.input_shape)}, but the front end makes "
            f"{features.shape[1]} frames of {features.shape[2]} bins. Make [frontend] in model.toml agree."
        )
    finite = np.isfinite(features).all(axis=(1, 2))
    if not finite.all():
        raise CandidateError(
            f"{model.path}: {int((~finite).sum())} of {len(features)} feature windows hold NaN or infinity "
            f"(first: window {int(np.argmin(finite))}). Check the clips and the [frontend] of its model.toml."
        )
    return np.ascontiguousarray(features, dtype=np.float32).reshape(len(features), *model.input_shape[1:])


def makers_of(path: Path) -> dict[str, str]:
    """The name of the node that makes each tensor of the outermost graph."""
    return {name: node.name for node in _load(path).graph.node for name in node.output if node.name}


def _load(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise CandidateError(f"{path} does not exist. {EXPORT}")
    size = path.stat().st_size
    if size > MAX_MODEL:
        raise CandidateError(f"{path} is larger than {MAX_MODEL >> 20} MiB; models for edge boards are not.")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise CandidateError(f"{path} is truncated or not ONNX at all ({size} bytes). {EXPORT}") from error
    if not model.graph.node:
        raise CandidateError(f"{path} holds no graph ({size} bytes): truncated, or not ONNX at all. {EXPORT}")
    return model


def _graphs(graph: onnx.GraphProto, depth: int = 0) -> Iterator[onnx.GraphProto]:
    if depth > MAX_DEPTH:
        raise CandidateError(f"graph {graph.name!r} nests more than {MAX_DEPTH} deep. {EXPORT}")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs] if attribute.type in (5, 10) else ():
                yield from _graphs(inner, depth + 1)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors


def _refuse_outside_data(path: Path, model: onnx.ModelProto) -> None:
    for graph in _graphs(model.graph):
        for tensor in _tensors(graph):
            if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
                raise CandidateError(f"{path}: weight {tensor.name!r} lies in another file. {EXPORT}")


def _refuse_odd_names(path: Path, model: onnx.ModelProto) -> None:
    """Vendor compilers print names into the tables we read: a name may not forge a line of one."""
    for graph in _graphs(model.graph):
        names = (
            name for node in graph.node for name in (node.name, node.op_type, node.domain, *node.input, *node.output)
        )
        values = (*graph.input, *graph.output, *graph.initializer)
        for name in (*names, *(value.name for value in values)):
            if not isinstance(name, str) or not name.isprintable():  # protobuf gives bytes for what is no UTF-8
                raise CandidateError(f"{path}: the name {name[:40]!r} holds control characters. {EXPORT}")


def _named(path: Path, what: str, values: Iterable[onnx.ValueInfoProto]) -> dict[str, onnx.ValueInfoProto]:
    found: dict[str, onnx.ValueInfoProto] = {}
    for value in values:
        if value.name in found:
            raise CandidateError(f"{path} has two {what} named {value.name!r}; each needs its own. {EXPORT}")
        found[value.name] = value
    return found


def _only(path: Path, what: str, values: list[onnx.ValueInfoProto]) -> onnx.ValueInfoProto:
    if len(values) != 1:
        names = ", ".join(value.name for value in values[:5]) or "none"
        raise CandidateError(f"{path} has {len(values)} {what}s ({names}); exactly one is needed. {EXPORT}")
    return values[0]


def _state(
    path: Path,
    name: str,
    after: str,
    inputs: dict[str, onnx.ValueInfoProto],
    outputs: dict[str, onnx.ValueInfoProto],
) -> State:
    """One state, taken out of the inputs and outputs that are left. Raises CandidateError where it is none."""
    for what, one, known in (("input", name, inputs), ("output", after, outputs)):
        if one not in known:
            raise CandidateError(
                f"{path} has no {what} {one!r} that model.toml calls a state{nearest(one, known)}; it has "
                f"{', '.join(known) or 'none left'}. Correct states in model.toml."
            )
    shape, back = _shape(path, "input", inputs.pop(name)), _shape(path, "output", outputs.pop(after))
    if shape != back:
        raise CandidateError(
            f"{path}: state {name!r} goes in as {list(shape)} and comes out of {after!r} as {list(back)}: it could not "
            f"be given back. {EXPORT}"
        )
    return State(name, after, shape)


def _shape(path: Path, what: str, value: onnx.ValueInfoProto) -> tuple[int, ...]:
    tensor = value.type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise CandidateError(f"{path}: {what} {value.name!r} is {kind}; float (32 bit) is needed. {EXPORT}")
    sizes = [dim.dim_value for dim in tensor.shape.dim]  # 0 where a size is named or absent
    if not sizes or min(sizes) < 1:
        said = [dim.dim_value or dim.dim_param or "?" for dim in tensor.shape.dim]
        raise CandidateError(f"{path}: {what} {value.name!r} has a dynamic shape {said}; it must be static. {EXPORT}")
    return tuple(sizes)


def _opset(path: Path, model: onnx.ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions:
        raise CandidateError(f"{path} imports no standard opset. {EXPORT}")
    return int(max(versions))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
