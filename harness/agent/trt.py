"""TensorRT on the machine it runs on: an engine built from an ONNX file, opened, run, timed by CUDA events, weighed.

Everything comes with JetPack: the ``tensorrt`` package of the system's Python, 10.3 to 11, and libcudart, which is
called through its C interface, so that neither cuda-python nor pycuda need be there. This file stands alone: the jetson
target's worker runs it by itself on a Jetson, the agent runs it on a board of a lab.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

CUDART = ("libcudart.so", "libcudart.so.12", "libcudart.so.13", "/usr/local/cuda/lib64/libcudart.so")
TO_DEVICE, TO_HOST = 1, 2  # of cudaMemcpyKind
NVMAP = Path("/sys/kernel/debug/nvmap/iovmm/clients")  # of Tegra's allocator; its reader must be root
CLIENT = re.compile(r"^\s*\S+\s+\S+\s+(\d+)\s+(\d+)K", re.MULTILINE)  # client, process, process id, size


class Cuda:
    """The few calls of the CUDA runtime that are needed, each checked."""

    def __init__(self) -> None:
        for name in CUDART:
            try:
                self.library = ctypes.CDLL(name)
                break
            except OSError:
                continue
        else:
            raise ImportError(f"none of {', '.join(CUDART)} can be loaded")
        self.library.cudaGetErrorString.restype = ctypes.c_char_p
        self.stream = ctypes.c_void_p()
        self("cudaStreamCreate", ctypes.byref(self.stream))
        self.events = [ctypes.c_void_p() for _ in range(4)]
        for event in self.events:
            self("cudaEventCreate", ctypes.byref(event))

    def __call__(self, name: str, *arguments: Any) -> None:
        code = getattr(self.library, name)(*arguments)
        if code != 0:
            raise RuntimeError(f"{name} failed: {self.library.cudaGetErrorString(code).decode()} ({code})")

    def mark(self, number: int) -> None:
        self("cudaEventRecord", self.events[number], self.stream)

    def between(self, number: int) -> float:
        """Milliseconds from one mark to the next."""
        elapsed = ctypes.c_float()
        self("cudaEventElapsedTime", ctypes.byref(elapsed), self.events[number], self.events[number + 1])
        return elapsed.value

    def buffers(self, shape: Any) -> Any:
        """Device memory, and pinned host memory as an array: float32 of one shape."""
        device, host = ctypes.c_void_p(), ctypes.c_void_p()
        size = int(np.prod(shape)) * 4
        self("cudaMalloc", ctypes.byref(device), ctypes.c_size_t(size))
        self("cudaMallocHost", ctypes.byref(host), ctypes.c_size_t(size))
        memory = (ctypes.c_float * (size // 4)).from_address(host.value or 0)
        return device, np.ctypeslib.as_array(memory).reshape(shape)

    def copy(self, to: Any, source: Any, size: int, kind: int) -> None:
        self("cudaMemcpyAsync", to, source, ctypes.c_size_t(size), ctypes.c_int(kind), self.stream)

    def attributes(self, *wanted: int) -> Any:
        """Attributes of the first device, by their numbers."""
        found = [ctypes.c_int() for _ in wanted]
        for value, attribute in zip(found, wanted):
            self("cudaDeviceGetAttribute", ctypes.byref(value), attribute, 0)
        return [value.value for value in found]

    def free(self) -> int:
        left, total = ctypes.c_size_t(), ctypes.c_size_t()
        self("cudaMemGetInfo", ctypes.byref(left), ctypes.byref(total))
        return left.value


class Engine:
    """A TensorRT engine with one float32 input and one float32 output."""

    def __init__(self, plan: Path, cuda: Cuda | None = None) -> None:
        trt = importlib.import_module("tensorrt")  # by name: no other machine has it
        self.trt = trt
        self.runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        self.engine = self.runtime.deserialize_cuda_engine(plan.read_bytes())
        if self.engine is None:
            raise RuntimeError(f"{plan.name} does not load: it was built by another TensorRT or for another GPU")
        self.cuda = cuda = cuda or Cuda()
        self.context = self.engine.create_execution_context()
        names = [self.engine.get_tensor_name(number) for number in range(self.engine.num_io_tensors)]
        feed = [name for name in names if self.engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self.feed, self.fetch = feed[0], next(name for name in names if name not in feed)
        self.shape = tuple(self.engine.get_tensor_shape(self.feed))
        self.labels = tuple(self.engine.get_tensor_shape(self.fetch))
        self.input, self.source = cuda.buffers(self.shape)
        self.output, self.sink = cuda.buffers(self.labels)
        self.context.set_tensor_address(self.feed, self.input.value)
        self.context.set_tensor_address(self.fetch, self.output.value)

    def infer(self, window: Any) -> Any:
        """Output, and milliseconds: copy in, inference, copy out by CUDA events; the whole by this process's clock."""
        cuda = self.cuda
        self.source[...] = window.reshape(self.shape)
        started = time.perf_counter()
        cuda.mark(0)
        cuda.copy(self.input, self.source.ctypes.data_as(ctypes.c_void_p), self.source.nbytes, TO_DEVICE)
        cuda.mark(1)
        if not self.context.execute_async_v3(cuda.stream.value):
            raise RuntimeError("execute_async_v3 refused to run")
        cuda.mark(2)
        cuda.copy(self.sink.ctypes.data_as(ctypes.c_void_p), self.output, self.sink.nbytes, TO_HOST)
        cuda.mark(3)
        cuda("cudaStreamSynchronize", cuda.stream)
        host = 1e3 * (time.perf_counter() - started)
        return self.sink.reshape(-1).copy(), (cuda.between(0), cuda.between(1), cuda.between(2), host)

    def profile(self, window: Any, runs: int) -> dict[str, float]:
        """Mean milliseconds of each layer over so many inferences."""
        total: dict[str, float] = {}

        class Profiler(self.trt.IProfiler):  # type: ignore[misc, name-defined]
            def __init__(self, base: Any) -> None:
                base.__init__(self)

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                total[layer_name] = total.get(layer_name, 0.0) + ms

        self.context.profiler = Profiler(self.trt.IProfiler)
        for _ in range(runs):
            self.infer(window)
        return {name: ms / runs for name, ms in total.items()}


class Scale:
    """Weighs what is loaded after it was made: device memory, which on a Jetson is part of the board's own."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.mapped, self.free = mapped(os.getpid()), cuda.free()

    def read(self, engine: Any = None) -> dict[str, Any]:
        """Bytes by Tegra's allocator where this user may read it, else by CUDA's count of what is free."""
        fallen, now = max(0, self.free - self.cuda.free()), mapped(os.getpid())
        scratch = getattr(engine, "device_memory_size_v2", None) or getattr(engine, "device_memory_size", None)
        parts = {} if scratch is None else {"of it activations": int(scratch)}
        if now is None or self.mapped is None:
            return {"bytes": fallen, "parts": parts, "source": "cudaMemGetInfo, whatever else runs there included"}
        return {"bytes": max(0, now - self.mapped), "parts": parts, "source": f"NvMap's clients ({NVMAP})"}


def mapped(pid: int, clients: Path = NVMAP) -> int | None:
    """Bytes that a process has of Tegra's allocator; None where this user may not know."""
    try:
        text = clients.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return sum(int(size) << 10 for who, size in CLIENT.findall(text) if int(who) == pid)


def built(model: Path) -> Path:
    """The engine of an ONNX file for this very board, beside it: built on its first use, which may take minutes.

    Raises RuntimeError in TensorRT's own words where it refuses the model.
    """
    trt = importlib.import_module("tensorrt")
    plan = model.with_name(f"{model.stem}.{trt.__version__}.engine")
    if plan.is_file():
        return plan
    log = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(log)
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)  # on 11 every network is
    flags = 1 << int(typed) if typed is not None and trt.__version__.startswith("10.") else 0
    network = builder.create_network(flags)  # kept: the parser needs it
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model.read_bytes()):
        said = "; ".join(str(parser.get_error(number).desc()) for number in range(parser.num_errors))
        raise RuntimeError(f"TensorRT {trt.__version__} refuses it: {said[:300] or 'no reason given'}")
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    made = builder.build_serialized_network(network, config)
    if made is None:
        raise RuntimeError(f"TensorRT {trt.__version__} builds no engine of it")
    part = plan.with_suffix(".part")
    part.write_bytes(bytes(made))
    part.replace(plan)
    return plan


def open_engine(file: Path) -> Engine:
    """The engine in a file, or that of the ONNX in it."""
    return Engine(built(file) if file.suffix == ".onnx" else file)
