"""A target of its own for the zoo: onnxruntime's arithmetic, with every dial of toolchain and board to be turned.

It says of itself that it is a board, keeps a clock that only its inferences move, and is healthy with fresh dials.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx

from harness.audio.frontend import Audio, FrontEnd
from harness.boards.clock import Stages, stages
from harness.boards.local import LocalBoard
from harness.boards.runtimes import open_model
from harness.boards.vitals import throttled
from harness.cache import digest
from harness.candidate import Candidate
from harness.quantize import ptq
from harness.recipe import Recipe
from harness.targets.base import (
    Ability,
    Artifact,
    Board,
    Evidence,
    Features,
    Infer,
    Job,
    Logits,
    Node,
    OpTime,
    Placement,
    Profile,
    Progress,
    Scores,
    Sizes,
    Target,
)

MS = {"int8": 4.0, "float": 9.0}  # of one inference
FRONT_MS = 2.0
JITTER = 0.015
ACTIVATIONS = 32_000  # bytes
LEAKY = """
import sys
from harness.agent import rss
kept, opened = [], rss.open_model
def leaky(*given):
    infer = opened(*given)
    def once(window):
        kept.append(bytearray({leak}))
        kept[-1][::4096] = b"x" * len(kept[-1][::4096])
        return infer(window)
    return once
if {leak}:
    rss.open_model = leaky
rss.main(sys.argv[1], "onnxruntime", [49, 40])
"""

Times = Callable[[int, np.random.Generator], float]  # factor on the time of the i-th inference


def steady(_: int, __: np.random.Generator) -> float:
    return 1.0


@dataclass(frozen=True)
class Dials:
    """What is wrong. ``name`` tells caches apart what these dials make; empty while all are healthy."""

    name: str = ""
    # the toolchain
    exports: Callable[[onnx.ModelProto], None] | None = None  # of the float model, before all else
    calibrates: Callable[[Features], Features] | None = None
    quantizes: Callable[[onnx.ModelProto], None] | None = None  # of the built model, int8 or fp16
    crosses: bool = False  # each state comes back as the next one
    narrow: bool = False  # int8 whatever is asked for
    ballast: int = 0  # bytes in every file
    activations: int = ACTIVATIONS
    places: Callable[[list[Node]], list[Node]] = list
    partitions: int = 1
    # the board
    feeds: Callable[[Features], Features] | None = None  # to whatever model it runs
    hears: Callable[[Features], Features] | None = None  # by int8 models
    says: Callable[[Logits, Features], Logits] | None = None  # of built models; scores of streams, too
    restarts: Callable[[Sequence[int]], Sequence[int]] = tuple  # where it forgets, of where streams start
    times: Times = steady  # of int8 models
    pace: Times = steady  # of all it does
    front_ms: float = FRONT_MS
    vitals: tuple[dict[str, Any], ...] = ()
    leak: int = 0  # bytes an inference
    cpu_us: float = 0.0

    @property
    def builds(self) -> bool:
        """Whether the artifact is another one."""
        told = (self.exports, self.calibrates, self.quantizes, self.crosses, self.narrow, self.ballast)
        return any(told) or self.places is not list or self.partitions != 1 or self.activations != ACTIVATIONS


class SiliconBoard(Board):
    name = "zoo board"
    evidence: ClassVar[Evidence] = Evidence.BOARD

    def __init__(self, dials: Dials) -> None:
        self.dials = dials
        self.now = 0
        self.random = np.random.default_rng(7)
        self.drift = 0.0
        self.done = 0  # inferences of whatever it runs

    def identity(self) -> dict[str, str]:
        return {"dials": self.dials.name} if self.dials.name else {}

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        infer, fed = open_model(artifact.file), self._fed(artifact, features)
        logits = np.stack([infer(np.ascontiguousarray(window)) for window in fed]).astype(np.float32)
        return self._said(artifact, logits, features)

    def stream(self, artifact: Artifact, features: Features, say: Progress, starts: Sequence[int] = (0,)) -> Scores:
        fed = self._fed(artifact, features)
        scores = LocalBoard().stream(artifact, fed, say, self.dials.restarts(starts))
        return self._said(artifact, scores, features)

    def _fed(self, artifact: Artifact, features: Features) -> Features:
        fed = self.dials.feeds(features) if self.dials.feeds else features
        return self.dials.hears(fed) if self.dials.hears and artifact.recipe.precision != "fp32" else fed

    def _said(self, artifact: Artifact, outputs: Logits, features: Features) -> Logits:
        says = self.dials.says if artifact.recipe.precision != "fp32" else None
        return says(outputs, features).astype(np.float32) if says else outputs

    def clock(self) -> int:
        return self.now

    def open(self, artifact: Artifact) -> Infer:
        whole = artifact.recipe.precision == "int8"
        count = 0

        def infer(_: Features) -> Logits:
            nonlocal count
            # The board's pace wanders by a percent, for whatever it runs.
            self.drift = 0.995 * self.drift + self.random.normal(0, 0.001)
            ms = MS["int8" if whole else "float"] * float(np.exp(self.random.normal(0, JITTER) + self.drift))
            ms *= self.dials.pace(self.done, self.random) * (self.dials.times(count, self.random) if whole else 1.0)
            self.now += int(ms * 1e6)
            count += 1
            self.done += 1
            return np.zeros(12, np.float32)

        return infer

    def time(self, artifact: Artifact, frontend: FrontEnd, audio: Audio, rounds: int, seconds: float = 0.0) -> Stages:
        def front(_: npt.NDArray[Any]) -> Features:
            self.now += int(self.dials.front_ms * 1e6)
            return np.zeros((frontend.frames, frontend.bins), np.float32)

        taken = stages(front, self.open(artifact), audio, rounds, seconds, self.clock)
        return replace(taken, throttled=throttled(self.dials.vitals, {"policy0": "performance"}))

    def rss(self, artifact: Artifact, window: Features) -> int:
        script = LEAKY.format(leak=self.dials.leak)
        done = subprocess.run(
            [sys.executable, "-c", script, str(artifact.file)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        before, after = map(int, done.stdout.strip("[]\n ").split(","))
        return max(0, after - before)

    def profile(self, artifact: Artifact) -> Profile:
        times = {"npu": 1000 * MS["int8"], "cpu": 0.0}
        ops = (OpTime("Conv", 9, times), OpTime("ReduceMean", 1, {"npu": 0.0, "cpu": self.dials.cpu_us}))
        return Profile(ops, Evidence.BOARD, "zoo profiler")


class Silicon(Target):
    name = "silicon"
    title = "the zoo's own silicon, whose toolchain and board err as they are told to"
    honours = frozenset({"keep_float"})
    streams = True
    dials: ClassVar[Dials] = Dials()

    def tools(self, recipe: Recipe) -> dict[str, str]:
        return {"siliconc": "1"}

    def settings(self) -> dict[str, Any]:
        dials = type(self).dials
        return {"dials": dials.name if dials.builds else "", "quantizer": digest(Path(str(ptq.__file__)))}

    def abilities(self) -> tuple[Ability, ...]:
        return (Ability("compile", True, "siliconc"), Ability("board", True, SiliconBoard.name))

    def check(self, candidate: Candidate, recipe: Recipe) -> None:
        """Everything is supported."""

    def build(self, job: Job) -> Artifact:
        dials, recipe = type(self).dials, job.recipe
        source, file = job.folder / "source.onnx", job.folder / "model.onnx"
        shutil.copyfile(job.model, source)
        if dials.exports:
            changed(source, dials.exports)
        whole = recipe.precision == "int8" or (dials.narrow and recipe.precision != "fp32")
        if whole:
            windows = job.calibration if len(job.calibration) else spread(job.candidate)
            ranges = dials.calibrates(windows) if dials.calibrates else windows
            ptq.quantize_onnx(source, file, ranges, recipe, states=job.candidate.states)
            source.unlink()
        else:
            source.rename(file)
        if dials.quantizes and recipe.precision != "fp32":
            changed(file, dials.quantizes)
        if dials.ballast:
            changed(file, lambda model: weigh(model, dials.ballast))
        dtype = "int8" if whole else recipe.precision
        nodes = dials.places([Node(n.name, n.op_type, dtype, "npu", False) for n in onnx.load(job.model).graph.node])
        return Artifact(
            candidate=job.candidate.name,
            recipe=recipe,
            key=job.key,
            file=file,
            placement=Placement(tuple(nodes), Evidence.STATIC, dials.partitions, "siliconc 1"),
            sizes=Sizes(file.stat().st_size, None, dials.activations),
            evidence=Evidence.BOARD,
            tools=self.tools(recipe),
            states=crossed(job.candidate.states) if dials.crosses else job.candidate.states,
        )

    def board(self, recipe: Recipe) -> Board:
        return SiliconBoard(type(self).dials)


def crossed(states: Mapping[str, str]) -> dict[str, str]:
    """Each state fed from the output of the next."""
    outputs = list(states.values())
    return dict(zip(states, [*outputs[1:], *outputs[:1]], strict=True))


def spread(candidate: Candidate) -> Features:
    """Windows to calibrate a build with that asked for none."""
    shape = (16, candidate.frontend.frames, candidate.frontend.bins)
    return np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)


def changed(path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())


def weigh(model: onnx.ModelProto, size: int) -> None:
    model.doc_string = "x" * size


def looks(celsius: Sequence[float], mhz: Sequence[float]) -> tuple[dict[str, Any], ...]:
    """What a board says of itself at every look: temperature, and a clock that is held at 2000 MHz."""
    return tuple(
        {
            "at": float(i),
            "mhz": {"policy0": [clock, 2000.0]},
            "celsius": {"soc": degrees},
            "cooling": {},
            "throttles": 0,
            "load": 0.1,
        }
        for i, (degrees, clock) in enumerate(zip(celsius, mhz, strict=True))
    )
