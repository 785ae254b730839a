"""Resident memory of one artifact, by a process of its own: it notes its peak, loads, runs, and notes it again."""

from __future__ import annotations

import contextlib
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from . import lock, store
from .faults import MISSING, MODEL, Fault
from .runtimes import SUFFIXES, open_model

RUNS = 10
SOAK_S = 1.0  # and for so long: what leaks a little at every inference shows
TIMEOUT_S = 120.0
NO_PEAK = 77  # the child's exit status where the peak cannot be reset
STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")  # writing 5 resets the peak (proc(5))
IMPORTS = {
    "onnxruntime": "onnxruntime",
    "litert": "ai_edge_litert.interpreter",
    "rknnlite": "rknnlite.api",
    "tensorrt": "tensorrt",
}
CHILD = """
import json, sys
given = json.load(sys.stdin)
space = {"__name__": "boot"}
exec(given["sources"]["boot"], space)
space["install"](given["sources"])
from voxgate_agent import rss
rss.main(*given["arguments"])
"""


def measure(name: str, token: str, runtime: str, window: Sequence[int], shape: Sequence[int]) -> int:
    """Bytes by which loading and running the artifact raises a fresh process's peak on this board."""
    lock.check(token)
    loader: Any = sys.modules[__package__].__spec__.loader  # type: ignore[union-attr]
    given = {"sources": loader.sources, "arguments": [str(store.artifact(name)), runtime, list(window), list(shape)]}
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode == NO_PEAK:
        raise Fault(MISSING, f"needs a Linux kernel that lets a process reset its peak ({CLEAR})")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Fault(MODEL, f"does not run in a process of its own (exit {done.returncode}): {last[:300]}")
    without, with_model = json.loads(done.stdout.splitlines()[-1])
    return max(0, int(with_model) - int(without))


def peak() -> int:
    """Peak resident bytes of this process since the last reset."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main(file: str, runtime: str, window: Sequence[int], shape: Sequence[int] = ()) -> None:
    """Print peaks before and after, in bytes; the runtime itself is not the artifact's."""
    with contextlib.suppress(ImportError):  # another module has it; importing that then counts as the artifact's
        importlib.import_module(IMPORTS.get(runtime, "numpy"))
    zeros = np.zeros(tuple(window), np.float32)
    try:
        CLEAR.write_text("5")
    except OSError:  # some containers forbid it
        sys.exit(NO_PEAK)
    without = peak()
    infer = open_model(Path(file), runtime, shape)
    end, runs = time.monotonic() + SOAK_S, 0
    while runs < RUNS or time.monotonic() < end:
        infer(zeros)
        runs += 1
    print(json.dumps([without, peak()]))


if __name__ == "__main__":
    try:
        main(sys.argv[1], SUFFIXES[Path(sys.argv[1]).suffix], [int(size) for size in sys.argv[2:]])
    except Fault as error:
        sys.exit(str(error))
