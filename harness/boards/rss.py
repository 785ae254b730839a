"""Resident memory of one artifact on this machine, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

from harness.agent import rss as weighing
from harness.errors import InfraError, NotMeasured, ToolchainError
from harness.targets.base import Artifact, Features


def measure(artifact: Artifact, window: Features) -> int:
    """Bytes by which loading and running the artifact raises a fresh process's peak resident memory.

    ``window`` is one ``(frames, bins)``; its values do not matter. Raises NotMeasured where the
    system does not report peaks (only Linux does).
    """
    who = f"{artifact.candidate} on {artifact.recipe.id}"
    missing = f"rss of {who}: not measured, needs a Linux kernel that lets a process reset its peak ({weighing.CLEAR})."
    if not weighing.CLEAR.exists():
        raise NotMeasured(missing)
    command = [sys.executable, "-m", weighing.__name__, str(artifact.file), *map(str, window.shape)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=weighing.TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise InfraError(f"rss of {who}: its process gave no answer in {weighing.TIMEOUT_S:g} s.") from error
    if done.returncode == weighing.NO_PEAK:
        raise NotMeasured(missing)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ToolchainError(f"{who} does not run in a process of its own (exit {done.returncode}): {last}")
    without, with_model = json.loads(done.stdout.splitlines()[-1])
    return max(0, int(with_model) - int(without))
