# ruff: noqa: N802, N815 -- CUDA's own names
"""Stand-in for libcudart: see README.md. Copies take 0.01 ms and inferences 0.5 ms of its clock."""

from __future__ import annotations

import ctypes
from typing import Any

import onnx
from onnx.reference import ReferenceEvaluator

COPY_MS, INFERENCE_MS, MALLOCED = 0.01, 0.5, 1 << 20
SUCCESS, INVALID = 0, 1


class Library:
    """What ctypes.CDLL("libcudart.so") gives, as far as the workers call it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.free = 1 << 30
        self.kept: dict[int, Any] = {}
        self.events: dict[int, float] = {}
        self.cudaGetErrorString = lambda code: f"stand-in error {code}".encode()

    def _new(self, pointer: Any, size: int) -> int:
        memory = ctypes.create_string_buffer(size)
        pointer._obj.value = ctypes.addressof(memory)
        self.kept[pointer._obj.value] = memory
        return SUCCESS

    def cudaStreamCreate(self, pointer: Any) -> int:
        return self._new(pointer, 8)

    cudaEventCreate = cudaStreamCreate

    def cudaMalloc(self, pointer: Any, size: Any) -> int:
        self.free -= MALLOCED
        return self._new(pointer, size.value)

    def cudaMallocHost(self, pointer: Any, size: Any) -> int:
        return self._new(pointer, size.value)

    def cudaMemcpyAsync(self, to: Any, source: Any, size: Any, kind: Any, stream: Any) -> int:
        ctypes.memmove(to.value, source.value, size.value)
        self.now += COPY_MS
        return SUCCESS

    def cudaEventRecord(self, event: Any, stream: Any) -> int:
        self.events[event.value] = self.now
        return SUCCESS

    def cudaEventElapsedTime(self, pointer: Any, start: Any, end: Any) -> int:
        if start.value not in self.events or end.value not in self.events:
            return INVALID
        pointer._obj.value = self.events[end.value] - self.events[start.value]
        return SUCCESS

    def cudaStreamSynchronize(self, stream: Any) -> int:
        return SUCCESS

    def cudaMemGetInfo(self, left: Any, total: Any) -> int:
        left._obj.value, total._obj.value = self.free, 1 << 30
        return SUCCESS

    def cudaDeviceGetAttribute(self, pointer: Any, attribute: int, device: int) -> int:
        pointer._obj.value = {75: 8, 76: 7}[attribute]
        return SUCCESS


def evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    """onnx's own evaluator, which knows Q/DQ from opset 19 on."""
    newer = onnx.ModelProto()
    newer.CopyFrom(model)
    newer.opset_import[0].version = max(19, newer.opset_import[0].version)
    return ReferenceEvaluator(newer)


LIBRARY = Library()
_load = ctypes.CDLL


def _loaded(name: Any, *arguments: Any, **more: Any) -> Any:
    return LIBRARY if "libcudart" in str(name) else _load(name, *arguments, **more)


ctypes.CDLL = _loaded  # type: ignore[assignment, misc]
