"""Resident memory of a streaming step and a windowed model in one process: what a pipeline keeps loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.agent import rss as weighing
from harness.agent.runtimes import SUFFIXES
from harness.boards.runtimes import open_model, open_step
from harness.errors import InfraError, NotMeasured, ToolchainError
from harness.targets.base import Artifact

Shape = tuple[int, int]  # frames, bins


def measure(who: str, artifacts: tuple[Artifact, Artifact], shapes: tuple[Shape, Shape]) -> int:
    """Bytes by which loading and running both raises a fresh process's peak. Raises NotMeasured where none is told."""
    missing = f"memory of {who}: not measured, needs a Linux kernel that lets a process reset its peak."
    if not weighing.CLEAR.exists():
        raise NotMeasured(missing)
    trigger, command = artifacts
    given = {"files": [str(trigger.file), str(command.file)], "states": trigger.states, "shapes": shapes}
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=weighing.TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InfraError(f"memory of {who}: its process gave no answer in {weighing.TIMEOUT_S:g} s.") from error
    if done.returncode == weighing.NO_PEAK:
        raise NotMeasured(missing)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ToolchainError(f"{who} does not run in a process of its own (exit {done.returncode}): {last}")
    without, both = json.loads(done.stdout.splitlines()[-1])
    return max(0, int(both) - int(without))


def main(files: Sequence[str], states: dict[str, str], shapes: Sequence[Sequence[int]]) -> None:
    """Print peaks in bytes before and after; the runtimes themselves are nobody's model."""
    for name in {Path(file).suffix for file in files}:
        __import__(weighing.IMPORTS[SUFFIXES[name]])
    trigger, command = (np.zeros(tuple(shape), np.float32) for shape in shapes)
    try:
        weighing.CLEAR.write_text("5")
    except OSError:  # some containers forbid it
        sys.exit(weighing.NO_PEAK)
    without = weighing.peak()
    step, infer = open_step(Path(files[0]), states), open_model(Path(files[1]))
    for _ in range(weighing.RUNS):
        step(trigger)
        infer(command)
    print(json.dumps([without, weighing.peak()]))


if __name__ == "__main__":
    main(**json.load(sys.stdin))
