"""What every target has in common: the words Target, Artifact, Placement, Evidence.

A target is one module of this package that defines a subclass of Target; the registry finds it
(``harness.targets.registry``), so adding one needs no second list anywhere.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from harness.audio.frontend import Audio, FrontEnd
from harness.boards.clock import Stages, Turns, stages, turns
from harness.boards.energy import Meter
from harness.candidate import Candidate
from harness.errors import NotMeasured, Unsupported
from harness.recipe import Recipe
from harness.targets.told import DeviceMemory, OwnTime

Logits = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]  # (steps,)
Features = npt.NDArray[np.float32]
Progress = Callable[[str], None]
Infer = Callable[[Features], Logits]  # (frames, bins) to (labels,)

OPTIONAL = (
    "activation_bits",
    "keep_float",
    "method",
    "op_target",
    "runtime",
    "soc",
)  # keys of a recipe that only some targets honour


NOWHERE = "nowhere"  # where a node runs that the toolchain refuses, and with it the model: no [[allow]] accepts it


class Evidence(StrEnum):
    """How a figure was got, strongest first."""

    BOARD = "board"
    EMULATOR = "emulator"
    HOST = "host"
    STATIC = "static"


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the compiled graph: what it is and where it runs."""

    name: str
    op: str
    dtype: str
    where: str  # the unit's own name: npu, cpu, xnnpack, ...
    fallback: bool  # off the unit the target exists for, or in a wider dtype than asked for
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where every node runs. An empty placement is an error, never "no fallback"."""

    nodes: tuple[Node, ...]
    evidence: Evidence
    partitions: int | None = None
    source: str = ""  # who says so, with its version: a compiler's table, a proxy, a set of rules

    @property
    def fallbacks(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.fallback)


@dataclass(frozen=True, slots=True)
class OpTime:
    """How long all nodes of one operator take in one inference: microseconds by unit."""

    op: str
    calls: int
    us: dict[str, float]  # unit (npu, cpu, ...) to microseconds


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time of one inference goes, as the runtime on a board says it."""

    ops: tuple[OpTime, ...]
    evidence: Evidence
    source: str  # who says so

    def share(self, unit: str) -> float:
        """Percent of the time that ``unit`` takes."""
        whole = sum(sum(op.us.values()) for op in self.ops)
        return 100 * sum(op.us.get(unit, 0.0) for op in self.ops) / whole


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes; None where the toolchain does not say."""

    file: int
    weights: int | None = None
    activations: int | None = None
    on_chip: int | None = None  # parameters in the accelerator's own memory
    streamed: int | None = None  # parameters that are sent to it at every inference


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled candidate for one target and recipe, addressed by its inputs."""

    candidate: str
    recipe: Recipe
    key: str
    file: Path
    placement: Placement
    sizes: Sizes
    evidence: Evidence  # of what its outputs will be
    tools: dict[str, str] = field(default_factory=dict)  # name to version
    states: dict[str, str] = field(default_factory=dict)  # of a streaming step: input to output, as in model.toml

    def record(self) -> dict[str, Any]:
        """A JSON-able description: everything but the file's place on this machine."""
        return {
            "candidate": self.candidate,
            "recipe": self.recipe.model_dump(mode="json"),
            "key": self.key,
            "file": self.file.name,
            "placement": asdict(self.placement),
            "sizes": asdict(self.sizes),
            "evidence": self.evidence.value,
            "tools": self.tools,
            "states": self.states,
        }


@dataclass(frozen=True, slots=True)
class Job:
    """What a build needs beside its target: the candidate, the recipe, calibration, a folder."""

    candidate: Candidate
    recipe: Recipe
    calibration: Features  # (n, frames, bins); empty for float recipes
    model: Path  # the ONNX to build from: the candidate's, or a test's faulty copy
    folder: Path  # empty and ours: outputs go here, nothing else does
    key: str  # of the inputs, for the artifact
    say: Progress = lambda _: None


@dataclass(frozen=True, slots=True)
class LayerError:
    """dB of a layer's output over its error against float, as a vendor's own tool compares them."""

    entire_db: float  # with the errors of all layers before it
    single_db: float  # by this layer alone


@dataclass(frozen=True, slots=True)
class Clocked:
    """Single inferences as a device timed them itself, in order, and what else its tools say of its time."""

    samples_ms: npt.NDArray[np.float64]
    note: str = ""


class Board(ABC):
    """Where an artifact runs: silicon, the vendor's emulator, or this host."""

    name: str  # as tables show it beside the evidence
    evidence: Evidence
    piecewise: bool = False  # whether ``run`` may be called for a part at a time: what is done is then kept

    @abstractmethod
    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        """Outputs of every window, in order.

        ``features`` is ``(n, frames, bins)``; returns ``(n, labels)`` float32, dequantized.
        """

    def features(self, frontend: FrontEnd, audio: Audio) -> Features:
        """What the board's own front end makes of ``audio`` ``(n, samples)``. Raises NotMeasured where it has none."""
        del frontend, audio
        raise NotMeasured(
            f"front end: not measured: needs a board with a front end of its own, which {self.name} is not; or record "
            "features on your device and name them as device_features in model.toml."
        )

    def stream(self, artifact: Artifact, features: Features, say: Progress, starts: Sequence[int] = (0,)) -> Scores:
        """Scores of a streaming step, one for each of ``features`` ``(steps, frames, bins)`` in order.

        Its state is cleared before each step that ``starts`` names. Raises Unsupported where the board keeps none.
        """
        del features, say, starts
        raise Unsupported(
            f"{artifact.candidate} on {artifact.recipe.id}: {self.name} runs single windows and passes no state on; "
            "judge streaming on host or rk3588."
        )

    def open(self, artifact: Artifact) -> Infer:
        """The loaded artifact as a function of one window, for timing single inferences.

        Raises NotMeasured where the board's time means nothing (an emulator).
        """
        raise NotMeasured(f"latency of {artifact.candidate} on {artifact.recipe.id}: {self._not_measured}")

    def times(self, artifact: Artifact, windows: Features, rounds: int) -> Clocked | None:
        """About ``rounds`` single inferences by the device's own clock; None where ``open`` is timed from here."""
        del artifact, windows, rounds
        return None

    def clock(self) -> int:
        """Nanoseconds, by the clock that calls of what :meth:`open` returned are timed with.

        A board reached through a pipe leaves the pipe out: its clock moves by what the device measured.
        """
        return time.perf_counter_ns()

    def vitals(self) -> dict[str, Any]:
        """What the times of this board depend on (power mode, clocks, temperatures), for the record."""
        return {}

    def identity(self) -> dict[str, str]:
        """What, beside artifact and features, its outputs depend on: part of the key they are kept under."""
        return {}

    def time(self, artifact: Artifact, frontend: FrontEnd, audio: Audio, rounds: int, seconds: float = 0.0) -> Stages:
        """Front end, inference and decision of windows of ``audio`` ``(n, samples)``, by the board's own clock.

        At least ``rounds`` of them; with ``seconds``, a sustained load of that length. Raises NotMeasured.
        """
        return stages(frontend.features, self.open(artifact), audio, rounds, seconds, self.clock)

    def time_in_turns(self, a: Artifact, b: Artifact, windows: Features, rounds: int) -> Turns:
        """One inference of each, in turns, on the same windows, by the board's own clock. Raises NotMeasured."""
        first, second = self.open(a), self.open(b)
        count = len(windows)
        return turns(lambda i: first(windows[i % count]), lambda i: second(windows[i % count]), rounds, self.clock)

    def rss(self, artifact: Artifact, window: Features) -> int:
        """Bytes of resident memory that loading and running the artifact takes. Raises NotMeasured."""
        raise NotMeasured(f"memory of {artifact.candidate} on {artifact.recipe.id}: {self._not_measured}")

    def device_memory(self, artifact: Artifact) -> DeviceMemory:
        """What the loaded artifact takes of the device's memory, by its compiler where that says it.

        Raises NotMeasured where neither compiler nor board tells.
        """
        sizes = artifact.sizes
        parts = {"parameters on the chip": sizes.on_chip, "parameters streamed": sizes.streamed}
        told = {part: size for part, size in parts.items() if size is not None}
        if told:
            return DeviceMemory(sum(told.values()), Evidence.STATIC, artifact.placement.source, told)
        raise NotMeasured(
            f"device memory of {artifact.candidate} on {artifact.recipe.id}: not measured: {self._no_device_memory}"
        )

    def own_time(self, artifact: Artifact, window: Features) -> OwnTime:
        """One inference by the toolchain's own benchmark; ``window`` is one ``(frames, bins)``. Raises NotMeasured."""
        raise NotMeasured(f"{self.name} has no benchmark of the toolchain's own that can be run here")

    def profile(self, artifact: Artifact) -> Profile:
        """Where the time of one inference goes. Raises NotMeasured."""
        raise NotMeasured(
            f"time share of {artifact.candidate} on {artifact.recipe.id}: not measured: needs a board whose runtime "
            f"tells what takes the time; {self.name} does not."
        )

    def meter(self, artifact: Artifact) -> Meter:
        """What tells this board's power. Raises NotMeasured."""
        raise NotMeasured(
            f"energy of {artifact.candidate} on {artifact.recipe.id}: not measured: needs a power meter; "
            "name that of a lab board in lab.toml (docs/lab.md, Energy)."
        )

    @property
    def _no_device_memory(self) -> str:
        return (
            f"needs a board whose runtime tells it, and {self.name} does not. rk3588 on a lab's board and a Jetson do; "
            'set device_mib below [budgets.for."TARGET"] of those, and rss_mib for memory of the CPU.'
        )

    @property
    def _not_measured(self) -> str:
        return f"needs a board; {self.name} is an {self.evidence} without a clock or memory of its own."


@dataclass(frozen=True, slots=True)
class Ability:
    """One thing a target may do on this machine: whether it can, by what, and what mends it where it cannot."""

    what: Literal["compile", "emulate", "board"]
    ready: bool
    detail: str  # what does it, with its version; or what lacks
    remedy: str = ""  # the command, or the thing to bring; empty where ready


class Target(ABC):
    """Silicon and its toolchain."""

    name: ClassVar[str]  # the pytest marker
    title: ClassVar[str]  # one line for people
    honours: ClassVar[frozenset[str]] = frozenset()  # which OPTIONAL keys of a recipe mean something to it
    runtimes: ClassVar[tuple[Literal["onnxruntime", "litert"] | None, ...]] = (
        None,
    )  # ways to run, the usual one first
    streams: ClassVar[bool] = False  # whether it builds streaming steps, state and all
    precisions: ClassVar[frozenset[str]] = frozenset({"fp32", "fp16", "int8"})  # that it knows; check refuses the rest

    @abstractmethod
    def tools(self, recipe: Recipe) -> dict[str, str]:
        """Versions of what will build, without importing vendor code here. Part of the cache key."""

    def settings(self) -> dict[str, Any]:
        """What, beside recipe and tool versions, changes a build: part of the cache key."""
        return {}

    def provision(self, candidate: Candidate, say: Progress) -> None:
        """Install what builds of the candidate need, unless it is there. Raises ToolchainError where that fails."""
        del candidate, say  # some targets need nothing beyond voxgate's own dependencies

    @abstractmethod
    def abilities(self) -> tuple[Ability, ...]:
        """What this machine can do for the target, found out without building anything: compile, emulate, board."""

    @abstractmethod
    def check(self, candidate: Candidate, recipe: Recipe) -> None:
        """Raise Unsupported, with the remedy, where this target cannot honour the recipe."""

    @abstractmethod
    def build(self, job: Job) -> Artifact:
        """Quantize and compile. Files go to ``job.folder``, with all that ``board`` will need later."""

    @abstractmethod
    def board(self, recipe: Recipe) -> Board:
        """The board its artifacts run on here."""

    def float_recipe(self, recipe: Recipe) -> Recipe:
        """The same path without quantization: what float parity is judged on."""
        return float_of(recipe, "fp32")

    def layers(self, candidate: Candidate, recipe: Recipe) -> tuple[str, ...]:
        """The layers with weights, in order, by the names that ``keep_float`` takes. Raises Unsupported."""
        raise Unsupported(
            f"{candidate.name} {recipe.id}: {self.name} keeps no single layer in float; remove keep_float, or use a "
            "target that does (host, htp, jetson, rk3588)."
        )

    def layer_errors(self, job: Job, windows: Features) -> dict[str, LayerError]:
        """By the vendor's own analysis of the build that ``job`` asks for, on ``windows``, by the ONNX's tensors.

        Empty where the vendor has no such tool. Raises ToolchainError.
        """
        del job, windows
        return {}


def float_of(recipe: Recipe, precision: Literal["fp32", "fp16"]) -> Recipe:
    """The recipe without anything that quantizes."""
    plain = {"precision": precision, "method": "ptq", "keep_float": (), "activation_bits": 8}
    return recipe.model_copy(update={"name": f"{recipe.name}-float", **plain})
