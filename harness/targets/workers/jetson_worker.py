"""Runs one engine on a Jetson: outputs, times by CUDA events, a profile, memory; or serves single inferences.

    python -I jetson_worker.py FOLDER            one job: FOLDER/request.json in, FOLDER/result.json out
    python -I jetson_worker.py FOLDER --serve    windows on standard input, times and outputs on standard output
    python -I jetson_worker.py --probe           versions on standard output

Runs in the Python that has JetPack's tensorrt. The copies into and out of the device are timed apart from the inference
between them, and a profile is a run of its own, since profiling slows every layer. Needs Python 3.10, numpy, libcudart,
and TensorRT or onnxruntime with its TensorRT provider.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

WARM_S = 0.2  # of inferences before anything counts
PROFILED, MEASURED = 50, 10  # inferences
CUDART = ("libcudart.so", "libcudart.so.12", "libcudart.so.13", "/usr/local/cuda/lib64/libcudart.so")
TO_DEVICE, TO_HOST = 1, 2  # of cudaMemcpyKind
MAJOR, MINOR = 75, 76  # of cudaDeviceAttr: the compute capability


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
            raise RuntimeError(f"none of {', '.join(CUDART)} can be loaded")
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

    def attributes(self, *wanted: int) -> list[int]:
        """Attributes of the first device, by their numbers."""
        found = [ctypes.c_int() for _ in wanted]
        for value, attribute in zip(found, wanted, strict=True):
            self("cudaDeviceGetAttribute", ctypes.byref(value), attribute, 0)
        return [value.value for value in found]

    def free(self) -> int:
        left, total = ctypes.c_size_t(), ctypes.c_size_t()
        self("cudaMemGetInfo", ctypes.byref(left), ctypes.byref(total))
        return left.value


class Engine:
    """A TensorRT engine with one float32 input and one float32 output."""

    def __init__(self, plan: Path, cuda: Cuda) -> None:
        import tensorrt as trt

        self.cuda, self.trt = cuda, trt
        self.runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        self.engine = self.runtime.deserialize_cuda_engine(plan.read_bytes())
        if self.engine is None:
            raise RuntimeError(f"{plan.name} does not load: it was built by another TensorRT or for another GPU")
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

    def profile(self, window: Any) -> Any:
        """Mean milliseconds of each layer over PROFILED inferences."""
        total: dict[str, float] = {}

        class Profiler(self.trt.IProfiler):  # type: ignore[misc, name-defined]
            def __init__(self, base: Any) -> None:
                base.__init__(self)

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                total[layer_name] = total.get(layer_name, 0.0) + ms

        self.context.profiler = Profiler(self.trt.IProfiler)
        for _ in range(PROFILED):
            self.infer(window)
        return {name: ms / PROFILED for name, ms in total.items()}


class Provider:
    """onnxruntime with its TensorRT provider; what that one leaves goes to CUDA or to the CPU."""

    def __init__(self, model: Path, precision: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        flags = {"trt_int8_enable": precision == "int8", "trt_fp16_enable": precision == "fp16"}
        wanted = [("TensorrtExecutionProvider", flags), "CUDAExecutionProvider", "CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(str(model), options, providers=wanted)
        self.feed = self.session.get_inputs()[0]
        self.shape, self.labels = tuple(self.feed.shape), tuple(self.session.get_outputs()[0].shape)

    def infer(self, window: Any) -> Any:
        """Output, and milliseconds by this process's clock: the provider copies within its own run."""
        source = np.ascontiguousarray(window, np.float32).reshape(self.shape)
        started = time.perf_counter()
        output = self.session.run(None, {self.feed.name: source})[0]
        host = 1e3 * (time.perf_counter() - started)
        return np.asarray(output, np.float32).reshape(-1), (0.0, host, 0.0, host)

    def assigned(self) -> Any:
        """Every node with the provider that took it."""
        return [
            {"node": node.name, "op": node.op_type, "provider": part.ep_name}
            for part in self.session.get_provider_graph_assignment_info()
            for node in part.get_nodes()
        ]


def peak() -> int:
    """Peak resident bytes of this process since the last reset (proc(5))."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024


def opened(request: dict[str, Any], folder: Path, cuda: Cuda) -> Any:
    """The artifact, warm: WARM_S of inferences of a window of zeros."""
    path = folder / request["artifact"]
    runner = Provider(path, request["precision"]) if request["provider"] else Engine(path, cuda)
    window, end = np.zeros(runner.shape, np.float32), time.perf_counter() + WARM_S
    while time.perf_counter() < end:
        runner.infer(window)
    return runner


def job(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    cuda = Cuda()
    if request["what"] == "memory":
        Path("/proc/self/clear_refs").write_text("5")
    resident, free = peak(), cuda.free()
    runner = opened(request, folder, cuda)
    result: dict[str, Any] = {"ok": True}
    if request["what"] == "run":
        windows = np.load(folder / request["inputs"], mmap_mode="r", allow_pickle=False)
        np.save(folder / request["outputs"], np.stack([runner.infer(window)[0] for window in windows]))
    elif request["what"] == "memory":
        for _ in range(MEASURED):
            runner.infer(np.zeros(runner.shape, np.float32))
        # Host and device share one memory, but what CUDA takes of it is resident in no process.
        result["bytes"] = max(0, peak() - resident) + max(0, free - cuda.free())
    elif request["provider"]:
        result["assigned"] = runner.assigned()
    else:
        result["profile"] = runner.profile(np.zeros(runner.shape, np.float32))
    return result


def serve(request: dict[str, Any], folder: Path) -> None:
    """Four float64 (milliseconds, as infer gives them) and the output for every window, until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what TensorRT prints must not stand between the answers
    runner = opened(request, folder, Cuda())
    answers.write(json.dumps({"shape": runner.shape, "labels": runner.labels}).encode() + b"\n")
    answers.flush()
    size = int(np.prod(runner.shape)) * 4
    while True:
        said = sys.stdin.buffer.read(size)
        if len(said) < size:
            return
        output, times = runner.infer(np.frombuffer(said, np.float32))
        answers.write(struct.pack("<4d", *times) + output.astype("<f4").tobytes())
        answers.flush()


def probe() -> dict[str, str]:
    """TensorRT's version, the compute capability without its point, and the version of an onnxruntime that has it."""
    import tensorrt as trt

    capability = Cuda().attributes(MAJOR, MINOR)
    try:
        import onnxruntime

        provider = "TensorrtExecutionProvider" in onnxruntime.get_available_providers()
        version = onnxruntime.__version__ if provider else ""
    except ImportError:
        version = ""
    return {"tensorrt": trt.__version__, "sm": "".join(map(str, capability)), "provider": version}


def main(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    if "--serve" in sys.argv:
        serve(request, folder)
        return
    try:
        result = job(request, folder)
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or ["without a word"]
        result = {"ok": False, "error": f"{type(error).__name__}: {lines[-1].strip()}"}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "--probe":
        print(json.dumps(probe()))
    else:
        main(Path(sys.argv[1]))
