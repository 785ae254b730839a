"""The Edge TPU's boards: a Coral device of this machine, or LiteRT's CPU kernels in its place.

A device is driven by libedgetpu through tflite-runtime, in a worker run by that runtime's own Python
(VOXGATE_EDGETPU_PYTHON): it goes with older Pythons and numpys than voxgate does.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import json
import os
import select
import shutil
import struct
import subprocess
import tempfile
import weakref
from functools import cache
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from harness.boards.local import InPlace, require_finite
from harness.errors import InfraError, NotMeasured, ToolchainError, Unsupported
from harness.targets import toolchain
from harness.targets.base import Artifact, Board, Evidence, Features, Infer, Logits, Progress
from harness.targets.process import Child, Limits, last_lines, run_child

WORKER = Path(toolchain.__file__).with_name("workers") / "coral_worker.py"
PYTHON = "VOXGATE_EDGETPU_PYTHON"
USB = Path("/sys/bus/usb/devices")
USB_IDS = frozenset({("1a6e", "089a"), ("18d1", "9302")})  # before and after its firmware is loaded
PCIE = Path("/dev/apex_0")
REMEDY = f"a Coral device, libedgetpu.so.1, and {PYTHON}=PYTHON of an environment with tflite-runtime and numpy < 2"
UNTOLD = "needs edgetpu_compiler 16.0, which tells what parameters take: put it on PATH, and build in int8."
ANSWER_S = 30.0
BATCH_S, WINDOW_S = 300.0, 0.5
REMEDIES = {
    "Didn't find op for builtin opcode": (
        "The model carries an operator version newer than this tflite-runtime knows: convert it with older versions, "
        "or bring a newer runtime."
    ),
    "Failed to load delegate": "Is the device plugged in, free, and may this user open it (group plugdev or apex)?",
    "unresolved custom op: edgetpu-custom-op": "libedgetpu took no part: a compiled model runs nowhere else.",
}


def board() -> Board:
    """The Coral device of this machine where it can be driven, else the host in its place."""
    return HostInPlace() if lacks() else CoralBoard()


def lacks() -> str:
    """What is missing to drive a Coral device here; an empty string where nothing is."""
    if not device():
        return f"no Coral device is on this machine's USB (1a6e:089a, 18d1:9302) or at {PCIE}"
    if not library():
        return "libedgetpu.so.1 is not installed"
    python = os.environ.get(PYTHON)
    if not python:
        return f"{PYTHON} names no Python with tflite-runtime"
    return "" if shutil.which(python) else f"{PYTHON} is {python}, which cannot be run"


def device() -> str:
    """How a Coral device shows on this machine, or an empty string."""
    for place in sorted(USB.glob("*")):
        try:
            found = tuple((place / f"id{part}").read_text(encoding="ascii").strip() for part in ("Vendor", "Product"))
        except (OSError, ValueError):
            continue
        if found in USB_IDS:
            return f"USB {':'.join(found)}"
    return str(PCIE) if PCIE.exists() else ""


@cache
def library() -> str | None:
    """The name by which libedgetpu can be loaded here."""
    return ctypes.util.find_library("edgetpu")


class HostInPlace(InPlace):
    """LiteRT's CPU kernels on the int8 file: the Edge TPU's numbers to within rounding, none of its time."""

    name = "LiteRT on this CPU"

    @property
    def _no_device_memory(self) -> str:
        return UNTOLD

    @property
    def _not_measured(self) -> str:
        return f"needs a board, as this host's time and memory are not the Edge TPU's; {lacks()}. Bring {REMEDY}."


class CoralBoard(Board):
    name = "Coral Edge TPU"
    evidence = Evidence.BOARD

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        """Logits ``(n, labels)``. Raises Unsupported without a compiled model, ToolchainError where a run fails."""
        require_finite(artifact, features)
        subject = _subject(artifact)
        with tempfile.TemporaryDirectory(prefix="voxgate-coral-") as name:
            folder = Path(name)
            np.save(folder / "inputs.npy", features, allow_pickle=False)
            self._call(artifact, {"inputs": "inputs.npy"}, folder, BATCH_S + WINDOW_S * len(features))
            try:
                outputs = np.load(folder / "outputs.npy", allow_pickle=False)
                times = np.load(folder / "times.npy", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise ToolchainError(f"{subject}: the board's worker left no readable outputs ({error}).") from error
        if outputs.ndim != 2 or len(outputs) != len(features) or times.shape != (len(features),):
            raise ToolchainError(
                f"{subject}: the board answered {outputs.shape} in {times.shape} times for {len(features)} windows; "
                "run it again."
            )
        if len(times):
            say(f"{subject} on the {self.name}: {np.median(times) / 1e6:.2f} ms an inference, median of {len(times)}")
        return np.asarray(outputs, dtype=np.float32)

    def open(self, artifact: Artifact) -> Infer:
        """One inference, the way to the runtime's Python and back (some 0.1 ms) within it."""
        return Served(artifact, _request(artifact)).infer

    def rss(self, artifact: Artifact, window: Features) -> int:
        """Bytes of this machine's memory that loading and running takes; the Edge TPU's own is told by the compiler."""
        with tempfile.TemporaryDirectory(prefix="voxgate-coral-") as name:
            folder = Path(name)
            np.save(folder / "inputs.npy", window[np.newaxis], allow_pickle=False)
            rss = self._call(artifact, {"inputs": "inputs.npy"}, folder, BATCH_S)["rss"]
        if rss is None:
            raise NotMeasured(f"memory of {_subject(artifact)}: this kernel lets no process reset its peak.")
        return int(rss)

    @property
    def _no_device_memory(self) -> str:
        return UNTOLD

    def _call(self, artifact: Artifact, more: dict[str, Any], folder: Path, seconds: float) -> dict[str, Any]:
        child = Child(_python(), WORKER, _subject(artifact), {}, Limits(seconds))
        try:
            return run_child(child, _request(artifact) | more, folder)
        except ToolchainError as error:
            raise ToolchainError(" ".join([str(error), *_remedies(str(error))])) from error


class Served:
    """A worker that holds the loaded model and answers window by window, until nobody holds it."""

    def __init__(self, artifact: Artifact, request: dict[str, Any]) -> None:
        self.subject = _subject(artifact)
        self.folder = Path(tempfile.mkdtemp(prefix="voxgate-coral-"))
        (self.folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        with (self.folder / "stderr.log").open("wb") as log:
            self.process = subprocess.Popen(
                [_python(), "-I", WORKER, self.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self.feed, self.answers = cast(IO[bytes], self.process.stdin), cast(IO[bytes], self.process.stdout)
        self.close = weakref.finalize(self, _end, self.process, self.folder)
        self.labels: int = struct.unpack("<I", self._read(4))[0]

    def infer(self, window: Features) -> Logits:
        try:
            self.feed.write(struct.pack("<II", *window.shape))
            self.feed.write(np.ascontiguousarray(window, np.float32).tobytes())
            self.feed.flush()
        except (OSError, ValueError) as error:  # it ended, or was ended when it was lost before
            raise self._lost() from error
        return np.frombuffer(self._read(4 * self.labels), np.float32)

    def _read(self, count: int) -> bytes:
        answer = b""
        while len(answer) < count:
            ready, _, _ = select.select([self.answers], [], [], ANSWER_S)
            part = os.read(self.answers.fileno(), count - len(answer)) if ready else b""
            if not part:
                raise self._lost()
            answer += part
        return answer

    def _lost(self) -> InfraError | ToolchainError:
        words = " | ".join(last_lines(self.folder / "stderr.log", 2)) or "(none)"
        self.close()
        remedies = _remedies(words)
        message = f"{self.subject}: the {CoralBoard.name} answers no more. Its last words: {words}."
        return ToolchainError(" ".join([message, *remedies])) if remedies else InfraError(f"{message} Plug it in anew.")


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was never sent
                pipe.close()
    shutil.rmtree(folder, ignore_errors=True)


def _request(artifact: Artifact) -> dict[str, Any]:
    """Which file runs: the compiled one by libedgetpu, or the float one on the board's CPU."""
    if artifact.recipe.precision != "int8":
        return {"model": str(artifact.file.resolve()), "delegate": None}
    compiled = artifact.file.with_name(f"{artifact.file.stem}_edgetpu.tflite")
    if not compiled.is_file():
        raise Unsupported(
            f"{_subject(artifact)}: a {CoralBoard.name} runs what edgetpu_compiler makes, and it was not there at the "
            "build. Put edgetpu_compiler 16.0 on PATH (x86-64 Debian package edgetpu-compiler of Coral) and run again."
        )
    return {"model": str(compiled.resolve()), "delegate": library()}


def _python() -> Path:
    found = shutil.which(os.environ.get(PYTHON, ""))
    if found is None:
        raise Unsupported(f"no Coral device can be driven here: {lacks()}. Bring {REMEDY}.")
    return Path(found)


def _subject(artifact: Artifact) -> str:
    return f"{artifact.candidate} {artifact.recipe.id}"


def _remedies(words: str) -> list[str]:
    return [remedy for sign, remedy in REMEDIES.items() if sign in words]
