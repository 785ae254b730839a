"""Runs one engine on a Jetson: outputs, times by CUDA events, a profile, memory; or serves single inferences.

    python -I jetson_worker.py FOLDER            one job: FOLDER/request.json in, FOLDER/result.json out
    python -I jetson_worker.py FOLDER --serve    windows on standard input, times and outputs on standard output
    python -I jetson_worker.py --probe           versions on standard output

Runs in the Python that has JetPack's tensorrt. The copies into and out of the device are timed apart from the inference
between them, and a profile is a run of its own, since profiling slows every layer. Needs Python 3.10, numpy, libcudart,
and TensorRT or onnxruntime with its TensorRT provider.
"""

from __future__ import annotations

import importlib.util
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
MAJOR, MINOR = 75, 76  # of cudaDeviceAttr: the compute capability
TRT = Path(__file__).resolve().parents[2] / "agent" / "trt.py"


def by_itself(path: Path) -> Any:
    """The module of a file: its package is no part of this Python, and must not become one."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


trt = by_itself(TRT)


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


def opened(request: dict[str, Any], folder: Path, cuda: Any) -> Any:
    """The artifact, warm: WARM_S of inferences of a window of zeros."""
    path = folder / request["artifact"]
    runner = Provider(path, request["precision"]) if request["provider"] else trt.Engine(path, cuda)
    window, end = np.zeros(runner.shape, np.float32), time.perf_counter() + WARM_S
    while time.perf_counter() < end:
        runner.infer(window)
    return runner


def job(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    cuda = trt.Cuda()
    if request["what"] == "memory":
        Path("/proc/self/clear_refs").write_text("5")
    resident, scale = peak(), trt.Scale(cuda)
    runner = opened(request, folder, cuda)
    result: dict[str, Any] = {"ok": True}
    if request["what"] == "run":
        windows = np.load(folder / request["inputs"], mmap_mode="r", allow_pickle=False)
        np.save(folder / request["outputs"], np.stack([runner.infer(window)[0] for window in windows]))
    elif request["what"] == "memory":
        for _ in range(MEASURED):
            runner.infer(np.zeros(runner.shape, np.float32))
        # Host and device share one memory, but what CUDA takes of it is resident in no process.
        result["bytes"] = max(0, peak() - resident) + max(0, scale.free - cuda.free())
        result["device"] = scale.read(getattr(runner, "engine", None))
    elif request["provider"]:
        result["assigned"] = runner.assigned()
    else:
        result["profile"] = runner.profile(np.zeros(runner.shape, np.float32), PROFILED)
    return result


def serve(request: dict[str, Any], folder: Path) -> None:
    """Four float64 (milliseconds, as infer gives them) and the output for every window, until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what TensorRT prints must not stand between the answers
    runner = opened(request, folder, trt.Cuda())
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
    import tensorrt

    capability = trt.Cuda().attributes(MAJOR, MINOR)
    try:
        import onnxruntime

        provider = "TensorrtExecutionProvider" in onnxruntime.get_available_providers()
        version = onnxruntime.__version__ if provider else ""
    except ImportError:
        version = ""
    return {"tensorrt": tensorrt.__version__, "sm": "".join(map(str, capability)), "provider": version}


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
