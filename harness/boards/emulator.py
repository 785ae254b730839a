"""rknn-toolkit2's simulator as a board: the NPU's arithmetic, without its time.

It runs only a graph built in its own process, so every run builds again from the artifact's inputs
and holds the new layer table against the artifact's own.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import ToolchainError
from harness.onnxfile import Onnx, as_inputs, inspect
from harness.targets import rknn_table, toolchain
from harness.targets.base import Artifact, Board, Evidence, Features, Logits, Progress, Scores
from harness.targets.process import Limits

WORKER = Path(toolchain.__file__).with_name("workers") / "rknn_worker.py"
ENVIRONMENT = {"RKNN_LOG_LEVEL": "3"}  # at this level the compiler prints its layer table
SPLIT = 1500  # windows worth a second process, which imports and builds anew (about 4 s)
BUILD_S, WINDOW_S = 600.0, 0.25


class RknnSimulator(Board):
    name = "rk3588 simulator"
    evidence = Evidence.EMULATOR

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        """Logits ``(n, labels)``. Raises ToolchainError where a rebuild fails or places a layer elsewhere."""
        part = self._part(artifact)
        who = f"{part.subject} on the {self.name}"
        return spread(part.simulate, as_inputs(features, part.model), part.model.labels, SPLIT, who, say)

    def stream(self, artifact: Artifact, features: Features, say: Progress, starts: Sequence[int] = (0,)) -> Scores:
        """One process, which passes the state on. Raises ToolchainError as :meth:`run`."""
        part = self._part(artifact)
        say(f"{part.subject} on the {self.name}: {len(features)} steps in their order")
        return part.simulate(as_inputs(features, part.model), starts).reshape(-1)

    def _part(self, artifact: Artifact) -> _Part:
        model = inspect(artifact.file.with_name("model.onnx"), artifact.states)
        return _Part(artifact, model, f"{artifact.candidate} {artifact.recipe.id}")


def spread(
    simulate: Callable[[npt.NDArray[np.float32]], Logits],
    inputs: npt.NDArray[np.float32],
    labels: int,
    split: int,
    who: str,
    say: Progress,
) -> Logits:
    """Logits ``(n, labels)`` of all inputs, by two processes where each has ``split`` windows or more."""
    if not len(inputs):
        return np.zeros((0, labels), np.float32)
    parts = np.array_split(inputs, min(2, os.cpu_count() or 1) if len(inputs) >= 2 * split else 1)
    say(f"{who}: {len(inputs)} windows in {len(parts)} process(es)")
    started = time.monotonic()
    with ThreadPoolExecutor(len(parts)) as pool:
        outputs = list(pool.map(simulate, parts))
    say(f"{who}: done in {time.monotonic() - started:.0f} s")
    return np.concatenate(outputs)


def read_outputs(path: Path, count: int, labels: int, subject: str) -> Logits:
    """What a simulator's process left: ``(count, labels)`` float32. Raises ToolchainError for anything else."""
    try:
        outputs = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ToolchainError(f"{subject}: the simulator left no readable outputs ({error}).") from error
    if outputs.shape != (count, labels):
        raise ToolchainError(
            f"{subject}: the simulator answered {outputs.shape} for {count} windows and {labels} labels; build it anew."
        )
    return np.asarray(outputs, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Part:
    """One simulator process, for some of the windows."""

    artifact: Artifact
    model: Onnx
    subject: str

    def simulate(self, inputs: npt.NDArray[np.float32], starts: Sequence[int] = ()) -> Logits:
        with tempfile.TemporaryDirectory(prefix="voxgate-simulate-") as name:
            folder = Path(name)
            np.save(folder / "inputs.npy", inputs, allow_pickle=False)
            toolchain.run_worker(
                toolchain.needed("rk3588"),
                WORKER,
                self._request(starts),
                folder,
                subject=self.subject,
                environment=ENVIRONMENT,
                limits=Limits(BUILD_S + WINDOW_S * len(inputs)),
            )
            self._same_placement(folder / "stdout.log")
            return read_outputs(folder / "outputs.npy", len(inputs), self.model.labels, self.subject)

    def _request(self, starts: Sequence[int] = ()) -> dict[str, Any]:
        """The build's own request, its files named where they lie, with windows to simulate."""
        home = self.artifact.file.parent
        try:
            request: dict[str, Any] = json.loads((home / "request.json").read_text(encoding="utf-8"))
            files = {
                "model": str((home / Path(request["model"]).name).resolve()),
                "calibration": [str((home / Path(name).name).resolve()) for name in request["calibration"]],
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ToolchainError(
                f"{self.subject}: the build in {home} is unusable ({error}); remove that folder and run again."
            ) from error
        states = [list(state.shape) for state in self.model.states]
        told = {"export": None, "inputs": "inputs.npy", "outputs": "outputs.npy"}
        return {**request, **files, **told, "states": states, "starts": list(starts)}

    def _same_placement(self, log: Path) -> None:
        told = self._request()
        again = rknn_table.read_log(log, self.subject).placement(
            quantized=told["integers"], kept=told["keep_float"], subject=self.subject
        )
        differing = _differing(self.artifact.placement.nodes, again.nodes)
        if differing:
            raise ToolchainError(
                f"{self.subject}: building it again placed {differing}, so what was simulated is not what was judged. "
                "Remove .voxgate/cache/artifacts and run again."
            )


def _differing(before: Sequence[Any], after: Sequence[Any]) -> str:
    """The first layer that differs, in words, or an empty string."""
    for old, new in zip(before, after, strict=False):
        if old != new:
            return f"{new.name} ({new.dtype} on {new.where}) where {old.name} ({old.dtype} on {old.where}) was"
    return "" if len(before) == len(after) else f"{len(after)} layers instead of {len(before)}"
