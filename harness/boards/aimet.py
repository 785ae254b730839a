"""AIMET's simulation of the Hexagon V66 as a board: its 8-bit rounding and ranges, without its time.

It runs in floating point with a quantizer after every node, so sums do not saturate as the DSP's may.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from harness.boards.emulator import read_outputs
from harness.errors import ToolchainError
from harness.onnxfile import as_inputs, inspect
from harness.targets import toolchain
from harness.targets.base import Artifact, Board, Evidence, Features, Logits, Progress
from harness.targets.process import Limits

TOOLCHAIN = "rb5"
WORKER = Path(toolchain.__file__).with_name("workers") / "aimet_worker.py"
START_S, WINDOW_S = 300.0, 0.1


class AimetSimulation(Board):
    name = "AIMET v66 simulation"
    evidence = Evidence.EMULATOR

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        """Logits ``(n, labels)`` of the exported encodings. Raises ToolchainError where they do not load or run."""
        home = artifact.file.parent
        model = inspect(home / "model.onnx")
        inputs = as_inputs(features, model)
        if not len(inputs):
            return np.zeros((0, model.labels), np.float32)
        subject = f"{artifact.candidate} {artifact.recipe.id}"
        say(f"{subject} on {self.name}: {len(inputs)} windows")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="voxgate-simulate-") as name:
            folder = Path(name)
            request = _fetch(home, folder, subject)
            np.save(folder / "inputs.npy", inputs, allow_pickle=False)
            toolchain.run_worker(
                toolchain.needed(TOOLCHAIN),
                WORKER,
                {**request, "inputs": "inputs.npy", "outputs": "outputs.npy"},
                folder,
                subject=subject,
                limits=Limits(START_S + WINDOW_S * len(inputs)),
            )
            outputs = read_outputs(folder / "outputs.npy", len(inputs), model.labels, subject)
        say(f"{subject} on {self.name}: done in {time.monotonic() - started:.0f} s")
        return outputs


def _fetch(home: Path, folder: Path, subject: str) -> dict[str, object]:
    """Copy what the build left, and return its request."""
    try:
        request: dict[str, object] = json.loads((home / "request.json").read_text(encoding="utf-8"))
        for name in ("model.onnx", *(["model.encodings"] if request["quantize"] else [])):
            shutil.copyfile(home / name, folder / name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolchainError(
            f"{subject}: the build in {home} is unusable ({error}); remove that folder and run again."
        ) from error
    return request
