"""Resident memory of one artifact, measured in a process of its own.

The child imports the runtime, notes its peak, loads and runs the model, and reports both; run as
``python -m harness.boards.rss FILE FRAMES BINS``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from harness.boards.runtimes import open_model
from harness.errors import InfraError, NotMeasured, ToolchainError, VoxgateError
from harness.targets.base import Artifact, Features

RUNS = 10
TIMEOUT_S = 120.0
NO_PEAK = 77  # the child's exit status where the peak cannot be reset
STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")  # writing 5 resets the peak (proc(5))


def measure(artifact: Artifact, window: Features) -> int:
    """Bytes by which loading and running the artifact raises a fresh process's peak resident memory.

    ``window`` is one ``(frames, bins)``; its values do not matter. Raises NotMeasured where the
    system does not report peaks (only Linux does).
    """
    who = f"{artifact.candidate} on {artifact.recipe.id}"
    missing = f"rss of {who}: not measured, needs a Linux kernel that lets a process reset its peak ({CLEAR})."
    if not CLEAR.exists():
        raise NotMeasured(missing)
    command = [sys.executable, "-m", __name__, str(artifact.file), *map(str, window.shape)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise InfraError(f"rss of {who}: its process gave no answer in {TIMEOUT_S:g} s.") from error
    if done.returncode == NO_PEAK:
        raise NotMeasured(missing)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ToolchainError(f"{who} does not run in a process of its own (exit {done.returncode}): {last}")
    without, with_model = json.loads(done.stdout.splitlines()[-1])
    return max(0, int(with_model) - int(without))


def peak() -> int:
    """Peak resident bytes of this process since the last reset."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main(file: Path, shape: tuple[int, ...]) -> None:
    if file.suffix == ".tflite":
        import ai_edge_litert.interpreter  # noqa: F401  (the runtime itself is not the artifact's)
    else:
        import onnxruntime  # noqa: F401

        import harness.targets.ort_graph  # noqa: F401
    window = np.zeros(shape, np.float32)
    try:
        CLEAR.write_text("5")
    except OSError:  # some containers forbid it
        sys.exit(NO_PEAK)
    without = peak()
    infer = open_model(file)
    for _ in range(RUNS):
        infer(window)
    print(json.dumps([without, peak()]))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), tuple(map(int, sys.argv[2:])))
    except VoxgateError as error:
        sys.exit(str(error))
