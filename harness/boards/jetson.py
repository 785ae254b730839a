"""Where an artifact for a Jetson runs: on the Jetson itself by TensorRT, or its arithmetic on this host.

voxgate runs on the Jetson; TensorRT runs in the system's Python, in a process of its own. Single inferences pass
through a pipe between the two, which no product has: :meth:`JetsonBoard.clock` leaves it out, and moves by what CUDA
events say.
"""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import tempfile
import time
import weakref
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.boards import own, tegra
from harness.boards.local import InPlace, require_finite
from harness.errors import InfraError, ToolchainError
from harness.onnxfile import as_inputs, inspect
from harness.targets.base import Artifact, Board, Evidence, Features, Infer, Logits, Progress
from harness.targets.process import KEPT, Child, Limits, last_lines, run_child
from harness.targets.told import DeviceMemory, OwnTime

LIMITS = Limits(seconds=1800, memory_mib=6144)
ANSWER_S = 120.0  # the first answer waits for the engine to load and warm up
PARTS = ("copy_in", "inference", "copy_out", "host")


class OrtNumerics(InPlace):
    """The artifact's arithmetic by onnxruntime: int8 by its Q/DQ, fp16 by rounding every tensor to it."""

    name = "ONNX Runtime on this host, no Jetson"
    evidence = Evidence.HOST

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        numerics = "numerics.onnx" if artifact.recipe.precision == "fp16" else artifact.file.name
        return super().run(replace(artifact, file=artifact.file.with_name(numerics)), features, say)

    @property
    def _no_device_memory(self) -> str:
        return "needs a board, whose engine takes it. Run voxgate on the Jetson itself."

    @property
    def _not_measured(self) -> str:
        return "needs a board; no other machine's time or memory is a Jetson's. Run voxgate on the Jetson itself."


class JetsonBoard(Board):
    name = "this Jetson by TensorRT"
    evidence = Evidence.BOARD

    def __init__(self, jetpack: tegra.Jetpack) -> None:
        self._jetpack = jetpack
        self._apart_ns = 0  # what calls took beside the device's own time
        self._sessions: list[Session] = []
        self._watch: tegra.Watch | None = None
        self._power: tegra.Power | None = None

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        """Logits ``(n, labels)``. Raises ToolchainError where the engine does not load or run."""
        require_finite(artifact, features)
        inputs = as_inputs(features, inspect(artifact.file.with_name("model.onnx")))
        if not len(inputs):
            return np.zeros((0, 0), np.float32)
        with tempfile.TemporaryDirectory(prefix="voxgate-jetson-") as name:
            folder = Path(name)
            np.save(folder / "inputs.npy", inputs, allow_pickle=False)
            self.job(artifact, folder, what="run", inputs="inputs.npy", outputs="outputs.npy")
            outputs = np.load(folder / "outputs.npy", allow_pickle=False)
        if outputs.ndim != 2 or len(outputs) != len(inputs):
            raise ToolchainError(f"{_who(artifact)}: the engine answered {outputs.shape} for {len(inputs)} windows.")
        return np.asarray(outputs, np.float32)

    def open(self, artifact: Artifact) -> Infer:
        """One inference with its copies. Raises NotMeasured unless power mode is known and clocks are pinned."""
        self._unchanged(tegra.pinned(_who(artifact)))
        self._watch = self._watch or tegra.Watch()
        session = Session(artifact, self._jetpack.python, _request(artifact, "serve"))
        self._sessions.append(session)

        def infer(window: Features) -> Logits:
            started = time.perf_counter_ns()
            logits, device_ns = session.infer(window)
            self._apart_ns += time.perf_counter_ns() - started - device_ns
            return logits

        return infer

    def clock(self) -> int:
        """Nanoseconds of this process, less what calls took beside copies and inference on the device."""
        return time.perf_counter_ns() - self._apart_ns

    def rss(self, artifact: Artifact, window: Features) -> int:
        with tempfile.TemporaryDirectory(prefix="voxgate-jetson-") as name:
            return int(self.job(artifact, Path(name), what="memory")["bytes"])

    def device_memory(self, artifact: Artifact) -> DeviceMemory:
        """What CUDA took of the memory that GPU and CPU share, beside the process's own."""
        with tempfile.TemporaryDirectory(prefix="voxgate-jetson-") as name:
            return DeviceMemory(evidence=self.evidence, **self.job(artifact, Path(name), what="memory")["device"])

    def own_time(self, artifact: Artifact, window: Features) -> OwnTime:
        """By trtexec, which leaves copies and launches out."""
        if artifact.file.suffix != ".engine":
            return super().own_time(artifact, window)
        return own.measure(artifact, "tensorrt")

    def vitals(self) -> dict[str, Any]:
        """Board and state that its times depend on, and their parts: copies apart from inference, medians in ms.

        Raises InfraError where power mode or clocks changed while it was timed.
        """
        power = self._unchanged(tegra.power("this run"))
        return {
            "jetpack": {key: str(value) for key, value in asdict(self._jetpack).items()},
            "power_mode": power.mode,
            "clocks": power.clocks,
            "tegrastats": self._watch.taken() if self._watch else None,
            "parts_ms": [session.parts() for session in self._sessions],
        }

    def _unchanged(self, power: tegra.Power) -> tegra.Power:
        before = self._power or power
        if power.settings != before.settings:
            raise InfraError(
                f"this Jetson went from power mode {before.mode} to {power.mode}, clocks "
                f"{'' if power.pinned else 'no longer '}pinned, while it was timed. Leave nvpmodel and jetson_clocks "
                "alone meanwhile, and run again."
            )
        self._power = power
        return power

    def job(self, artifact: Artifact, folder: Path, *, what: str, **more: str) -> dict[str, Any]:
        """One job of the worker, run to its end; see :func:`harness.targets.process.run_child`."""
        child = Child(self._jetpack.python, tegra.WORKER, _who(artifact), {}, LIMITS)
        return run_child(child, {**_request(artifact, what), **more}, folder)


class Session:
    """A worker that holds one engine and answers a window at a time."""

    def __init__(self, artifact: Artifact, python: Path, request: dict[str, Any]) -> None:
        self._who = _who(artifact)
        scratch = tempfile.TemporaryDirectory(prefix="voxgate-jetson-")
        folder = Path(scratch.name)
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        self._log = folder / "stderr.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, "-I", tegra.WORKER, folder, "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env={key: os.environ[key] for key in KEPT if key in os.environ},
            )
        self._close = weakref.finalize(self, _end, self._process, scratch)
        self._times: list[tuple[float, ...]] = []
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()  # type: ignore[union-attr]
        header = json.loads(self._line())
        self._labels = int(np.prod(header["labels"]))

    def infer(self, window: Features) -> tuple[Logits, int]:
        """Logits, and the nanoseconds that copies and inference took on the device."""
        self._write(np.ascontiguousarray(window, "<f4").tobytes())
        said = self._read(32 + 4 * self._labels)
        times = struct.unpack("<4d", said[:32])
        self._times.append(times)
        return np.frombuffer(said[32:], "<f4").astype(np.float32), int(1e6 * sum(times[:3]))

    def parts(self) -> dict[str, float]:
        """Medians in milliseconds, of all inferences after the worker's own warm-up."""
        medians = np.median(np.array(self._times or [(0.0,) * len(PARTS)]), axis=0)
        return dict(zip(PARTS, medians.tolist(), strict=True))

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            line += self._read(1)
        return line

    def _write(self, said: bytes) -> None:
        try:
            while said:
                said = said[os.write(self._input, said) :]
        except OSError as error:
            raise self._lost("takes no window") from error

    def _read(self, size: int) -> bytes:
        said = b""
        while len(said) < size:
            ready, _, _ = select.select([self._output], [], [], ANSWER_S)
            part = os.read(self._output, size - len(said)) if ready else b""
            if not part:
                raise self._lost("ended" if ready else f"gave no answer in {ANSWER_S:g} s")
            said += part
        return said

    def _lost(self, what: str) -> ToolchainError:
        lines = " | ".join(last_lines(self._log, 3)) or "(none)"
        self._close()
        return ToolchainError(f"{self._who}: the worker that holds its engine {what}. Its last words: {lines}")


def _request(artifact: Artifact, what: str) -> dict[str, Any]:
    """What the worker is asked. Raises ToolchainError for a model that TensorRT refused, which left no engine."""
    provider = artifact.recipe.runtime == "onnxruntime"
    if not provider and artifact.file.suffix != ".engine":
        raise ToolchainError(f"{_who(artifact)}: TensorRT refused this model: nothing can run. See its placement.")
    return {
        "what": what,
        "artifact": str(artifact.file.resolve()),
        "provider": provider,
        "precision": artifact.recipe.precision,
    }


def _who(artifact: Artifact) -> str:
    return f"{artifact.candidate} on {artifact.recipe.id}"


def _end(process: subprocess.Popen[bytes], scratch: tempfile.TemporaryDirectory[str]) -> None:
    process.kill()
    process.wait()
    scratch.cleanup()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
