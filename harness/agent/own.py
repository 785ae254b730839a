"""What the toolchain's own benchmark says one inference takes: the vendor's number, to stand beside ours."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from . import lock, npu, snpe, store, trt
from .faults import MISSING, MODEL, Fault
from .runtimes import first_line
from .tool import call

ROUNDS = 100
LITERT = "ai_edge_litert.tools.benchmark_litert_model"
TRTEXEC = "/usr/src/tensorrt/bin"  # where JetPack's libnvinfer-bin puts it
GPU = re.compile(r"GPU Compute Time: .*?\bmedian = ([\d.]+) ms")
RATE = re.compile(r"Throughput: ([\d.e+]+) qps")
WALL = re.compile(r"Total Host Walltime: ([\d.]+) s")
TOOL_S = 150.0
MOST = 1 << 20  # bytes of what a tool writes
NONE = {
    "onnxruntime": "its wheel brings no benchmark, and its profiler doubles the time of a small model",
    "edgetpu": "benchmark_model is not part of tflite-runtime",
    "snpe-cpu": "snpe-throughput-net-run is asked of the DSP alone",
}


def measure(name: str, token: str, runtime: str, shape: Sequence[int]) -> dict[str, Any]:
    """Of an artifact on this board: ``ms``, ``n`` and ``source``. Raises Fault ``missing`` where there is no tool."""
    lock.check(token)
    if runtime == "rknnlite" or name.endswith(".rknn"):
        us = npu.durations(name, token, int(np.prod(shape)), ROUNDS)
        told = f"RKNN_QUERY_PERF_RUN of {npu.LIBRARY}, without inputs and outputs"
        return {"ms": float(np.median(us)) / 1e3, "n": len(us), "source": told}
    return tell(store.artifact(name), runtime)


def tell(file: Path, runtime: str) -> dict[str, Any]:
    """Of a file on this machine. Raises Fault ``missing``, or ``model`` where the tool fails."""
    tools = {"litert": _litert, "tensorrt": _trtexec, "snpe": snpe.steady}
    if runtime not in tools:
        raise Fault(MISSING, NONE.get(runtime, f"none is known for {runtime}"))
    try:
        return tools[runtime](file)
    except ImportError as error:
        raise Fault(MISSING, str(error)) from error
    except Exception as error:  # each tool has its own ways to say no
        raise Fault(MODEL, f"does not run in its toolchain's benchmark: {first_line(error)}") from error


def _litert(file: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="voxgate-own-") as name:
        result = Path(name) / "result.json"
        words = ["--model", str(file), "--num_runs", str(ROUNDS), "--num_threads", "1", "--result_json", str(result)]
        _call([sys.executable, "-m", LITERT, *words])
        if result.stat().st_size > MOST:
            raise ValueError(f"{LITERT} wrote more than {MOST >> 20} MiB")
        said = json.loads(result.read_text(encoding="utf-8"))["latency"]
    tool = "ai-edge-litert's benchmark_litert_model, to 0.01 ms"
    return {"ms": float(said["median_ms"]), "n": int(said["num_runs"]), "source": tool}


def _trtexec(file: Path) -> dict[str, Any]:
    tool = shutil.which("trtexec") or shutil.which("trtexec", path=TRTEXEC)
    if tool is None:
        raise ImportError(f"trtexec is neither on PATH nor in {TRTEXEC}; install libnvinfer-bin")
    plan = trt.built(file) if file.suffix == ".onnx" else file
    return parse_trtexec(_call([tool, f"--loadEngine={plan}", "--warmUp=200", "--duration=3"]))


def parse_trtexec(said: str) -> dict[str, Any]:
    """The median of its GPU compute time, and how many inferences it made. Raises ValueError where it tells neither."""
    gpu, rate, wall = GPU.search(said), RATE.search(said), WALL.search(said)
    if gpu is None or rate is None or wall is None:
        raise ValueError("trtexec prints no performance summary")
    return {"ms": float(gpu[1]), "n": round(float(rate[1]) * float(wall[1])), "source": "trtexec, GPU compute time"}


def _call(words: Sequence[str]) -> str:
    code, said, last = call(words, TOOL_S)
    if code != 0 and "No module named" in last:
        raise ImportError(last)
    if code != 0:
        raise ValueError(f"exit code {code}: {last}")
    return said
