"""AIMET's simulation of the Hexagon V66 as a board: its 8-bit rounding and ranges, without its time.

It runs in floating point with a quantizer after every node, so sums do not saturate as the DSP's may.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.boards.emulator import read_outputs, spread
from harness.errors import ToolchainError
from harness.onnxfile import as_inputs, inspect
from harness.targets import toolchain
from harness.targets.base import Artifact, Board, Evidence, Features, Logits, Progress
from harness.targets.process import Limits

TOOLCHAIN = "rb5"
WORKER = Path(toolchain.__file__).with_name("workers") / "aimet_worker.py"
SPLIT = 4000  # windows worth a second process, which imports AIMET anew (about 5 s; a window takes 1.2 ms)
START_S, WINDOW_S = 300.0, 0.1


class AimetSimulation(Board):
    name = "AIMET v66 simulation"
    evidence = Evidence.EMULATOR

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        """Logits ``(n, labels)`` of the exported encodings. Raises ToolchainError where they do not load or run."""
        home = artifact.file.parent
        model = inspect(home / "model.onnx")
        subject = f"{artifact.candidate} {artifact.recipe.id}"
        part = _Part(home, model.labels, subject)
        return spread(part.simulate, as_inputs(features, model), model.labels, SPLIT, f"{subject} on {self.name}", say)


@dataclass(frozen=True, slots=True)
class _Part:
    """One simulating process, for some of the windows, of the build in ``home``."""

    home: Path
    labels: int
    subject: str

    def simulate(self, inputs: npt.NDArray[np.float32]) -> Logits:
        with tempfile.TemporaryDirectory(prefix="voxgate-simulate-") as name:
            folder = Path(name)
            request = self._fetch(folder)
            np.save(folder / "inputs.npy", inputs, allow_pickle=False)
            toolchain.run_worker(
                toolchain.needed(TOOLCHAIN),
                WORKER,
                {**request, "inputs": "inputs.npy", "outputs": "outputs.npy"},
                folder,
                subject=self.subject,
                limits=Limits(START_S + WINDOW_S * len(inputs)),
            )
            return read_outputs(folder / "outputs.npy", len(inputs), self.labels, self.subject)

    def _fetch(self, folder: Path) -> dict[str, object]:
        """Copy what the build left into ``folder``, and return its request."""
        try:
            request: dict[str, object] = json.loads((self.home / "request.json").read_text(encoding="utf-8"))
            for name in ("model.onnx", *(["model.encodings"] if request["quantize"] else [])):
                shutil.copyfile(self.home / name, folder / name)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ToolchainError(
                f"{self.subject}: the build in {self.home} is unusable ({error}); remove that folder and run again."
            ) from error
        return request
