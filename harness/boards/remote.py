"""A board over SSH: the agent there runs, times and weighs; here is what keeps that true when things go wrong.

Every call has a time limit. A board that is lost is reached again, power-cycled where it has a switch, given the agent
and the artifact anew, and asked again for what was not finished. What cannot be recovered is an InfraError that names
the board, the moment and the remedy: never a verdict on a model.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from harness.agent import faults as kinds
from harness.agent.faults import Fault
from harness.agent.wire import pack, unpack
from harness.audio.frontend import Audio, FrontEnd
from harness.boards import vitals
from harness.boards.clock import Stages, Turns, Warmup, sustained_from
from harness.boards.energy import Meter, open_meter
from harness.boards.hold import Hold
from harness.boards.labfile import LabBoard
from harness.boards.local import require_finite
from harness.boards.ssh import CRASH, Lost
from harness.errors import InfraError, NotMeasured, ToolchainError, Unsupported
from harness.onnxfile import inspect
from harness.targets import rknn_perf
from harness.targets.base import Artifact, Board, Evidence, Features, Infer, Logits, Profile, Progress
from harness.targets.told import DeviceMemory, OwnTime

Value = TypeVar("Value")

TRIES = 3  # losses of one measurement before it is given up
LEAST_S = 3.0  # of timing: less would not show a clock that falls
ITEM_S, LOAD_S, RSS_S = 45.0, 120.0, 180.0
BUILD_S = 1800.0  # of an engine, on the board
WARM_S = 150.0  # a warm-up is one item, of a slow board and two artifacts
RUNTIMES = {  # by target: on any other, a CPU's runtime would take its files and pass for its accelerator
    "host": {".onnx": "onnxruntime", ".tflite": "litert"},
    "rk3588": {".rknn": "rknnlite"},
    "edgetpu": {".tflite": "edgetpu"},
    "jetson": {".engine": "tensorrt", ".onnx": "tensorrt"},  # of ONNX the board itself builds its engine
    "rb5": {".dlc": "snpe"},
}
ON_CPU = {"snpe": "snpe-cpu"}  # of what is not quantized, where the accelerator takes nothing else
CHUNK = 1 << 20  # bytes of an artifact sent at a time
WINDOWS = 2000  # sent at a time


class RemoteBoard(Board):
    """One board of a lab, held while this run lasts. ``hold`` is the connection and the lock on it."""

    piecewise = True

    def __init__(self, entry: LabBoard, target: str, hold: Hold, say: Progress = lambda _: None) -> None:
        self.entry = entry
        self.hold = hold
        self.say = say
        self.name = f"{entry.id} ({target}, ssh{', virtual' if entry.virtual else ''})"
        self.evidence = Evidence.EMULATOR if entry.virtual else Evidence.BOARD

    def identity(self) -> dict[str, str]:
        facts = self._kept("connecting", lambda: self.hold.facts)
        return {"board": self.entry.id, "machine": facts["machine"], **facts["runtimes"], "agent": self.hold.agent}

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        """Logits ``(n, labels)``. What came before a loss is kept: only the rest is asked for again."""
        require_finite(artifact, features)
        done: list[Logits] = []

        def rest() -> None:
            name = self._load(artifact)
            while (start := sum(map(len, done))) < len(features):
                asked = features[start : start + WINDOWS]
                for part in self._call("run", ITEM_S, name=name, windows=pack(asked)):
                    done.append(np.asarray(unpack(part), np.float32))
                if sum(map(len, done)) != start + len(asked):
                    raise Fault(CRASH, f"it answered {sum(map(len, done)) - start} of {len(asked)} windows")
                say(f"{_who(artifact)} on {self.name}: {sum(map(len, done))} of {len(features)} windows run")

        self._kept(f"running {_who(artifact)}", rest, artifact)
        return np.concatenate(done) if done else np.zeros((0, 0), np.float32)

    def open(self, artifact: Artifact) -> Infer:
        """A function of one window that is run over there: no way to time anything, see ``time``."""
        return lambda window: self.run(artifact, window[None], self.say)[0]

    def features(self, frontend: FrontEnd, audio: Audio) -> Features:
        """Computed over there, by the agent's front end on the board's own libraries."""

        def computed() -> Features:
            parts = self._call("features", ITEM_S, front=frontend.model_dump(), audio=pack(np.asarray(audio)))
            return np.stack([np.asarray(unpack(part), np.float32) for part in parts])

        return self._kept("computing features", computed)

    def time(self, artifact: Artifact, frontend: FrontEnd, audio: Audio, rounds: int, seconds: float = 0.0) -> Stages:
        """By the board's clock. A timing that was interrupted begins anew: its halves had another temperature."""

        tries = 0
        self._in_process(artifact, "latency")

        def measure() -> Stages:
            nonlocal tries
            tries += 1
            parts = self._parts(
                "stages",
                name=self._load(artifact),
                front=frontend.model_dump(),
                audio=pack(np.asarray(audio)),
                rounds=rounds,
                seconds=max(seconds, LEAST_S),
            )
            marks = parts.marks(np.int64, 4)
            told = {**parts.vitals, "recoveries": list(self.hold.recoveries)}
            burst = sustained_from(marks, rounds) if seconds else 0
            return Stages(marks, parts.warmups[0], burst, parts.throttled, told, parts.uncounted, tries)

        return self._kept(f"timing {_who(artifact)}", measure, artifact)

    def time_in_turns(self, a: Artifact, b: Artifact, windows: Features, rounds: int) -> Turns:
        self._in_process(a, "latency")

        def measure() -> Turns:
            names = [self._load(artifact) for artifact in (a, b)]
            parts = self._parts("turns", names=names, windows=pack(windows), rounds=rounds, seconds=LEAST_S)
            first, second = parts.warmups
            return Turns(parts.marks(np.float64, 2), (first, second), parts.throttled, parts.vitals)

        return self._kept(f"timing {_who(a)} against {b.recipe.id}", measure, a)

    def profile(self, artifact: Artifact) -> Profile:
        """By the runtime's own word, where it has one: of .rknn files, so far."""
        if artifact.file.suffix != ".rknn":
            return super().profile(artifact)

        def measure() -> str:
            name = self._load(artifact)
            given = {"name": name, "token": self.hold.token, "values": math.prod(_shape(artifact))}
            return str(self._ask("npu", "table", RSS_S, **given))

        said = self._kept(f"asking for the time share of {_who(artifact)}", measure, artifact)
        return rknn_perf.parse(said, f"{_who(artifact)} on {self.name}", self.evidence)

    def device_memory(self, artifact: Artifact) -> DeviceMemory:
        """By the runtime's own word, where it has one: of .rknn files, and of TensorRT's engines."""
        runtime = self._runtime(artifact)
        if artifact.file.suffix != ".rknn" and runtime != "tensorrt":
            return super().device_memory(artifact)

        def measure() -> dict[str, Any]:
            given = {"name": self._load(artifact), "token": self.hold.token, "runtime": runtime}
            return dict(self._ask("memory", "measure", RSS_S, **given))

        told = self._kept(f"weighing {_who(artifact)} on its accelerator", measure, artifact)
        return DeviceMemory(evidence=self.evidence, **told)

    def own_time(self, artifact: Artifact, window: Features) -> OwnTime:
        """By the benchmark of the runtime over there, where it brings one."""

        def measure() -> dict[str, Any]:
            shape = _shape(artifact) or list(window.shape)
            given = {"name": self._load(artifact), "token": self.hold.token, "shape": shape}
            return dict(self._ask("own", "measure", RSS_S, runtime=self._runtime(artifact), **given))

        try:
            return OwnTime(**self._kept(f"benchmarking {_who(artifact)}", measure, artifact))
        except (Unsupported, ToolchainError) as error:
            raise NotMeasured(str(error)) from error

    def meter(self, artifact: Artifact) -> Meter:
        if self.entry.meter is None:
            return super().meter(artifact)
        self._kept("opening its power meter", lambda: None)  # labgrid tells the address only once the board is held
        return open_meter(self.entry.meter, self.hold.address)

    def rss(self, artifact: Artifact, window: Features) -> int:
        self._in_process(artifact, "memory")

        def measure() -> int:
            name = self._load(artifact)
            shape = {"runtime": self._runtime(artifact), "window": list(window.shape), "shape": _shape(artifact)}
            return int(self._ask("rss", "measure", RSS_S, name=name, token=self.hold.token, **shape))

        try:
            return self._kept(f"weighing {_who(artifact)}", measure, artifact)
        except Unsupported as error:
            raise NotMeasured(f"memory of {_who(artifact)}: {error}") from error

    def _in_process(self, artifact: Artifact, what: str) -> None:
        """Raise NotMeasured for a runtime that starts a process of its own: its start is not the model's time."""
        if self._runtime(artifact).startswith("snpe"):
            raise NotMeasured(
                f"{what} of {_who(artifact)}: SNPE's command line starts a process of its own, so the agent cannot "
                "tell it. For times by SNPE's clock judge without --lab, with VOXGATE_RB5=ssh:USER@HOST."
            )

    def _load(self, artifact: Artifact) -> str:
        """The artifact's name on the board, where it then is: sent unless it is there whole, verified, opened."""
        data = artifact.file.read_bytes()
        name = f"{hashlib.sha256(data).hexdigest()}{artifact.file.suffix}"
        if name in self.hold.loaded:
            return name
        if not self._ask("store", "have", LOAD_S, name=name):
            self.say(f"sending {_who(artifact)} to {self.name}: {len(data) / 1024:.0f} KiB")
            self._ask("store", "begin", ITEM_S, name=name, size=len(data))
            for start in range(0, len(data), CHUNK):
                self._ask("store", "append", ITEM_S, name=name, data=data[start : start + CHUNK])
            self._ask("store", "finish", LOAD_S, name=name)
        runtime = self._runtime(artifact)
        opens = BUILD_S if runtime == "tensorrt" else LOAD_S
        self._ask("work", "load", opens, name=name, runtime=runtime, shape=_shape(artifact))
        self.hold.loaded.add(name)
        return name

    def _runtime(self, artifact: Artifact) -> str:
        suffix, target = artifact.file.suffix, artifact.recipe.target
        runtime = self.entry.runtimes.get(suffix) or RUNTIMES.get(target, {}).get(suffix)
        if runtime is None:
            raise Unsupported(
                f"{_who(artifact)}: no runtime on a board is known for {suffix} files of {target}. Name the opener "
                f'that is installed on {self.entry.id} in lab.toml: runtimes = {{ "{suffix}" = "module:function" }}.'
            )
        return runtime if artifact.recipe.precision == "int8" else ON_CPU.get(runtime, runtime)

    def _ask(self, module: str, function: str, timeout_s: float, **arguments: Any) -> Any:
        return self.hold.link.ask(module, function, self.entry.patience * timeout_s, **arguments)

    def _call(self, function: str, timeout_s: float, **arguments: Any) -> Any:
        return self.hold.link.call(
            "work", function, self.entry.patience * timeout_s, token=self.hold.token, **arguments
        )

    def _parts(self, function: str, **arguments: Any) -> _Parts:
        return _Parts(list(self._call(function, WARM_S, **arguments)))

    def _kept(self, moment: str, work: Callable[[], Value], artifact: Artifact | None = None) -> Value:
        """What ``work`` gives, tried again after what can be recovered from. Raises InfraError where it cannot."""
        trouble: list[str] = []
        while True:
            try:
                self.hold.ready(moment)
                with self.hold.busy:
                    return work()
            except Lost as lost:
                trouble.append(str(lost))
                self.hold.drop()
                if len(trouble) > TRIES:
                    raise self._given_up(moment, trouble) from lost
                self.hold.recover(moment, str(lost), hard=len(trouble) > 1)
            except Fault as fault:
                trouble.append(str(fault))
                if fault.kind not in (kinds.DIGEST, kinds.DISK, CRASH) or len(trouble) > 1:
                    raise self._said_no(moment, fault, artifact) from fault
                self.hold.loaded.clear()
                self.say(f"{self.name}: {fault} while {moment}; trying once more")

    def _said_no(self, moment: str, fault: Fault, artifact: Artifact | None) -> Exception:
        where = f"board {self.entry.id} while {moment}"
        if fault.kind == kinds.MODEL and artifact is not None:
            return ToolchainError(f"{artifact.file.name} of {_who(artifact)} {fault}, on {self.name}.")
        if fault.kind == kinds.MISSING:
            return Unsupported(f"{where}: {fault}.")
        if fault.kind == kinds.STOLEN:
            return InfraError(
                f"{where}: it is no longer ours, {fault}. No figure was taken from then on; what was finished before "
                f"is kept. See voxgate lab status, and run again."
            )
        remedies = {
            kinds.DISK: f"Free some space on it ({self.entry.folder} is voxgate's), or name another folder in lab.toml",
            kinds.DIGEST: "Its storage or its link damages data: check the SD card, dmesg, and the cable",
        }
        remedy = remedies.get(fault.kind, "The agent failed there: run again, and report it if it stays")
        return InfraError(f"{where}: {fault}. {remedy}. What was finished before is kept.")

    def _given_up(self, moment: str, trouble: list[str]) -> InfraError:
        return InfraError(
            f"board {self.entry.id} was lost {len(trouble)} times while {moment}; the last time {trouble[-1]}. "
            f"{self.hold.remedy} What was finished before is kept: run again to go on from there."
        )


class _Parts:
    """What a timing on the board yielded, put together."""

    def __init__(self, parts: list[dict[str, Any]]) -> None:
        self._marks = [unpack(part["marks"]) for part in parts if "marks" in part]
        samples = [part["vitals"] for part in parts]
        governors = parts[0]["governors"]
        self.warmups = [Warmup(int(rounds), bool(settled)) for rounds, settled in parts[0]["warmup"]]
        self.uncounted = len(self._marks) - 1  # a slice begins with a round that is not marked
        self.throttled = vitals.throttled(samples, governors)
        self.vitals = vitals.summary(samples, governors)

    def marks(self, kind: type[np.generic], columns: int) -> Any:
        return np.concatenate(self._marks).astype(kind).reshape(-1, columns)


def _who(artifact: Artifact) -> str:
    return f"{artifact.candidate} {artifact.recipe.id}"


def _shape(artifact: Artifact) -> list[int]:
    """Of the model's input, for runtimes that do not tell: the build keeps the ONNX it was made from."""
    source = artifact.file.with_name("model.onnx")
    untold = artifact.file.suffix not in (".onnx", ".tflite") and source.is_file()
    return list(inspect(source).input_shape) if untold else []
