"""Small quantized .tflite files of single operators, or short chains of them, for the rules of the Edge TPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from tests.targets.tflite_models import Writer

DTYPES = {"int8": np.int8, "uint8": np.uint8, "int16": np.int16, "int32": np.int32, "float32": np.float32}


class Chain:
    """Operators one after another. Tensors are int8 with a scale unless a test says otherwise."""

    def __init__(self, shape: tuple[int, ...] = (1, 8, 8, 4), dtype: str = "int8") -> None:
        self.writer = Writer()
        self.source = self.last = self.tensor("input", shape, dtype)
        self.shape = shape
        self.count = 0

    def tensor(self, name: str, shape: tuple[int, ...], dtype: str = "int8", scales: int = 1) -> int:
        index = self.writer.tensor(name, shape)
        return self.typed(index, dtype, scales)

    def typed(self, index: int, dtype: str, scales: int = 1) -> int:
        tensor = self.writer.graph.tensors[index]
        tensor.type = getattr(schema.TensorType, dtype.upper())
        if scales and dtype in ("int8", "uint8", "int16"):
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.full(scales, 0.5, np.float32)
            tensor.quantization.zeroPoint = np.zeros(scales, np.int64)
        return index

    def constant(self, name: str, data: npt.NDArray[Any], scales: int = 1) -> int:
        return self.typed(self.writer.constant(name, data), str(data.dtype), scales)

    def weights(self, *shape: int, scales: int = 1) -> int:
        return self.constant(f"weights{self.count}", np.ones(shape, np.int8), scales)

    def ints(self, *values: int) -> int:
        return self.constant(f"ints{self.count}", np.array(values, np.int32))

    def op(
        self,
        kind: str,
        *more: int,
        shape: tuple[int, ...] | None = None,
        dtype: str = "int8",
        options: Any = None,
        first: tuple[int, ...] = (),
        name: str = "",
        version: int = 1,
    ) -> int:
        """Apply ``kind`` to ``first``, the last output and ``more``; its output becomes the last."""
        self.count += 1
        self.shape = self.shape if shape is None else shape
        output = self.tensor(name or f"{kind.lower()}{self.count}", self.shape, dtype)
        table = "NONE" if options is None else type(options).__name__.removesuffix("T")
        self.last = self.writer.op(kind, [*first, self.last, *more], output, options, table)
        self.writer.model.operatorCodes[-1].version = version
        return self.last

    def save(self, path: Path, *, signature: bool = False) -> Path:
        return self.writer.save(path, self.source, self.last, signature)


def options(kind: str, **values: Any) -> Any:
    """A table of builtin options, such as ``options("Pool2D", fusedActivationFunction=1)``."""
    made = getattr(schema, f"{kind}OptionsT")()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def compiled(original: Path, path: Path, mapped: int) -> Path:
    """Stands for what the compiler makes: the first ``mapped`` operators as one of its own, the rest as they are."""
    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(original.read_bytes()))
    graph = content.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = b"edgetpu-custom-op", 1
    content.operatorCodes.append(code)
    custom = schema.OperatorT()
    custom.opcodeIndex = len(content.operatorCodes) - 1
    custom.inputs, custom.outputs = list(graph.inputs), list(graph.operators[mapped - 1].outputs)
    graph.operators = [custom, *graph.operators[mapped:]]
    return write(content, path)


def write(content: Any, path: Path) -> Path:
    import flatbuffers  # type: ignore[import-untyped]

    builder = flatbuffers.Builder(1024)
    builder.Finish(content.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path
