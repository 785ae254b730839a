"""A .tflite as plain values: operators in order, with the tensors they take and make.

A model is untrusted input: its size is bounded, and whatever a damaged file does to the reader is one error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from harness.candidate import MAX_MODEL
from harness.errors import ToolchainError

NO_TENSOR = -1  # stands for an optional input that is left out
IDENTIFIER = b"TFL3"
NUMBERS = {"int8": np.int8, "uint8": np.uint8, "int16": np.int16, "int32": np.int32, "int64": np.int64}


def _names(of: Any) -> dict[int, str]:
    return {value: name for name, value in vars(of).items() if isinstance(value, int)}


BUILTINS, DTYPES = _names(schema.BuiltinOperator), _names(schema.TensorType)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor. ``data`` is None unless it is constant; ``scales`` counts those of its quantization."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    dynamic: bool  # a size is known only when the model runs
    scales: int
    zero_point: int
    variable: bool  # keeps its value between inferences
    buffer: int
    data: bytes | None = field(repr=False)

    @property
    def constant(self) -> bool:
        return self.data is not None

    def values(self) -> npt.NDArray[Any] | None:
        """The numbers of a constant of whole numbers, else None."""
        if self.data is None or self.dtype not in NUMBERS:
            return None
        return np.frombuffer(self.data, NUMBERS[self.dtype])


@dataclass(frozen=True, slots=True)
class Op:
    """One operator: its builtin name (CUSTOM for those that are not), version and builtin options."""

    index: int
    kind: str
    version: int
    custom: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """Its first output's, as models name no operators."""
        return (self.outputs[0].name if self.outputs else "") or f"{self.kind}:{self.index}"

    @property
    def fed(self) -> tuple[Tensor, ...]:
        """What it takes that is no constant."""
        return tuple(tensor for tensor in self.inputs if tensor is not None and not tensor.constant)


@dataclass(frozen=True, slots=True)
class Tflite:
    """The first subgraph of a file, and how many there are."""

    path: Path
    ops: tuple[Op, ...]
    subgraphs: int


def read(path: Path) -> Tflite:
    """Raises ToolchainError for a file that is no .tflite, is damaged or is larger than models are."""
    if not path.is_file() or path.stat().st_size > MAX_MODEL:
        raise ToolchainError(f"{path.name} is not there, or is larger than {MAX_MODEL >> 20} MiB; convert it again.")
    content = path.read_bytes()
    try:
        if content[4:8] != IDENTIFIER:
            raise ValueError("it does not begin as a .tflite does")
        model = _model(content)
        graph = model.subgraphs[0]
        tensors = [_tensor(index, tensor, model) for index, tensor in enumerate(graph.tensors)]
        ops = tuple(_op(index, op, model, tensors) for index, op in enumerate(graph.operators))
    except Exception as error:  # the schema's reader raises whatever a damaged offset leads it to
        raise ToolchainError(f"{path.name} is no readable .tflite ({error}); convert or compile it again.") from error
    if not ops:
        raise ToolchainError(f"{path.name} holds no operator: there is nothing to place. Convert it again.")
    return Tflite(path, ops, len(model.subgraphs))


def inline(path: Path) -> None:
    """Rewrite a file whose large buffers lie behind its graph, where litert-quantizer puts 256 KiB and more.

    Runtimes before TensorFlow 2.14 do not look there: neither edgetpu_compiler nor those that libedgetpu goes with.
    """
    content = path.read_bytes()
    stored = schema.Model.GetRootAs(content)
    if any(stored.Buffers(i).Offset() > 1 for i in range(stored.BuffersLength())):
        builder = flatbuffers.Builder(len(content))
        builder.Finish(_model(content).Pack(builder), IDENTIFIER)
        path.write_bytes(bytes(builder.Output()))


def _model(content: bytes) -> Any:
    """The whole file, with every buffer's bytes in it."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    for buffer in model.buffers:
        if buffer.offset > 1:  # 0 and 1 stand for none
            if buffer.offset + buffer.size > len(content):
                raise ValueError("a buffer lies beyond its end")
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def _tensor(index: int, tensor: Any, model: Any) -> Tensor:
    shape, signature = _sizes(tensor.shape), _sizes(tensor.shapeSignature)
    data = model.buffers[tensor.buffer].data if tensor.buffer else None
    quantization = tensor.quantization
    scale = quantization.scale if quantization is not None else None
    zero = quantization.zeroPoint if quantization is not None else None
    return Tensor(
        index=index,
        name=_text(tensor.name),
        shape=shape,
        dtype=DTYPES[tensor.type].lower(),
        dynamic=any(size < 0 for size in (*shape, *signature)),
        scales=0 if scale is None else len(scale),
        zero_point=int(zero[0]) if zero is not None and len(zero) else 0,
        variable=bool(tensor.isVariable),
        buffer=int(tensor.buffer),
        data=bytes(data) if data is not None and len(data) else None,
    )


def _op(index: int, op: Any, model: Any, tensors: list[Tensor]) -> Op:
    code = model.operatorCodes[op.opcodeIndex]
    inputs = () if op.inputs is None else op.inputs
    outputs = () if op.outputs is None else op.outputs
    return Op(
        index=index,
        kind=BUILTINS[max(code.builtinCode, code.deprecatedBuiltinCode)],  # older files have the latter alone
        version=int(code.version),
        custom=_text(code.customCode),
        inputs=tuple(None if i == NO_TENSOR else tensors[_place(i)] for i in inputs),
        outputs=tuple(tensors[_place(i)] for i in outputs),
        options=dict(vars(op.builtinOptions)) if op.builtinOptions is not None else {},
    )


def _place(index: Any) -> int:
    if index < 0:
        raise ValueError(f"it names a tensor {index}")
    return int(index)


def _sizes(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(value) for value in values)


def _text(value: bytes | None) -> str:
    return value.decode("utf-8", "replace") if value else ""
