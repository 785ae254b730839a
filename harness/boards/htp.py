"""QNN's HTP emulator as a board: the compiled context binary itself, in the HTP's arithmetic, without its time."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.boards.emulator import read_outputs, spread
from harness.errors import ToolchainError
from harness.onnxfile import Onnx, as_inputs, inspect
from harness.targets import toolchain
from harness.targets.base import Artifact, Board, Evidence, Features, Logits, Progress
from harness.targets.process import Limits

WORKER = Path(toolchain.__file__).with_name("workers") / "htp_worker.py"
PROVIDER = "QNNExecutionProvider"
FILES = ("context.onnx", "context_qnn.bin")  # what runs; the first names the second
SPLIT = 250  # windows worth a second process, which starts in about 2 s
START_S, WINDOW_S = 120.0, 1.0


class HtpEmulator(Board):
    name = "HTP emulator"
    evidence = Evidence.EMULATOR

    def __init__(self, arch: int) -> None:
        self.name = f"HTP emulator v{arch}"

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        """Logits ``(n, labels)``. Raises ToolchainError where the binary does not load, or runs elsewhere."""
        model = inspect(artifact.file.with_name("model.onnx"))
        part = _Part(artifact, model, f"{artifact.candidate} {artifact.recipe.id}")
        return spread(
            part.emulate, as_inputs(features, model), model.labels, SPLIT, f"{part.subject} on the {self.name}", say
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """One emulator process, for some of the windows."""

    artifact: Artifact
    model: Onnx
    subject: str

    def emulate(self, inputs: npt.NDArray[np.float32]) -> Logits:
        with tempfile.TemporaryDirectory(prefix="voxgate-emulate-") as name:
            folder = Path(name)
            np.save(folder / "inputs.npy", inputs, allow_pickle=False)
            request = self._request(folder)
            limits = Limits(START_S + WINDOW_S * len(inputs))
            needed = toolchain.needed("htp")
            answer = toolchain.run_worker(needed, WORKER, request, folder, subject=self.subject, limits=limits)
            self._same_placement(answer)
            return read_outputs(folder / "outputs.npy", len(inputs), self.model.labels, self.subject)

    def _request(self, folder: Path) -> dict[str, Any]:
        """The build's own request for its chip, with the compiled files beside it."""
        home = self.artifact.file.parent
        try:
            request: dict[str, Any] = json.loads((home / "request.json").read_text(encoding="utf-8"))
            for file in FILES:
                shutil.copyfile(home / file, folder / file)
        except (OSError, ValueError) as error:
            raise ToolchainError(
                f"{self.subject}: the build in {home} is unusable ({error}); remove that folder and run again."
            ) from error
        return {**request, "context": FILES[0], "inputs": "inputs.npy", "outputs": "outputs.npy"}

    def _same_placement(self, answer: dict[str, Any]) -> None:
        """Every compiled partition must run on QNN: each is one node of the context model."""
        assigned = answer.get("assigned") or []
        ran = sum(each.get("provider") == PROVIDER for each in assigned)
        if ran != self.artifact.placement.partitions:
            raise ToolchainError(
                f"{self.subject}: {ran} of {self.artifact.placement.partitions} compiled partitions ran on QNN, so "
                "what was emulated is not what was judged. Remove .voxgate/cache/artifacts and run again."
            )
