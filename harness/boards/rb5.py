"""An RB5 with the user's SNPE on it: runs a DLC on its DSP by snpe-net-run, and reads back outputs and times.

CPU fallback is never enabled. Every run is profiled, and what snpe-diagview lists is the evidence of where it ran.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.boards.shell import Adb, Shell, adb_serials, reach
from harness.boards.snpe_runtime import SnpeRuntime
from harness.errors import InfraError, NotMeasured, ToolchainError, Unsupported
from harness.onnxfile import as_inputs, inspect
from harness.targets import diagview, snpe
from harness.targets.base import Artifact, Board, Clocked, Evidence, Features, Logits, Progress
from harness.targets.told import OwnTime

VARIABLE = "VOXGATE_RB5"
AT_ONCE = 2000  # windows brought to the board and run in one go
RUN_S, WINDOW_S = 300.0, 0.5
THROUGHPUT_S = 10


@dataclass(frozen=True, slots=True)
class Ran:
    """What one snpe-net-run left: the profile, and the folder of its outputs."""

    profile: diagview.Profile
    folder: Path


class Rb5Board(Board):
    name = "RB5's DSP by snpe-net-run"
    evidence = Evidence.BOARD

    def __init__(self, shell: Shell, sdk: snpe.Sdk) -> None:
        self.shell, self.sdk = shell, sdk
        self.runtime = SnpeRuntime(shell, sdk)

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        """Logits ``(n, labels)``. Raises InfraError for a lost board, ToolchainError for a run that failed."""
        subject = f"{artifact.candidate} {artifact.recipe.id}"
        model = inspect(artifact.file.with_name("model.onnx"))
        inputs = as_inputs(features, model)
        dsp = artifact.recipe.precision == "int8"
        parts = []
        for first in range(0, len(inputs), AT_ONCE):
            some = inputs[first : first + AT_ONCE]
            with self.ran(artifact.file, some, subject, dsp=dsp) as ran:
                if dsp:
                    _same_placement(artifact, ran.profile, subject)
                parts.append(_outputs(ran.folder, len(some), model.labels, subject))
            say(f"{subject} on {self.shell.name}: {first + len(some)} of {len(inputs)} windows run")
        return np.concatenate(parts) if parts else np.zeros((0, model.labels), np.float32)

    def times(self, artifact: Artifact, windows: Features, rounds: int) -> Clocked:
        """Single inferences, each in a process of its own, by SNPE's clock; beside them its steady rate."""
        subject = f"{artifact.candidate} {artifact.recipe.id}"
        inputs = as_inputs(windows, inspect(artifact.file.with_name("model.onnx")))
        with self._job(artifact.file, inputs, subject) as (here, there):
            flags = self._flags(artifact.file, dsp=True)
            loop = (
                f"i=0; while [ $i -lt {rounds} ]; do "
                f"sed -n $((i % {len(inputs)} + 1))p inputs.txt > one.txt; "
                f"snpe-net-run {flags} --input_list one.txt --output_dir o/$i > said.txt 2>&1 "
                f"|| {{ code=$?; cat said.txt; exit $code; }}; "
                f"i=$((i + 1)); done"
            )
            self.runtime.must(
                self.runtime.within(there, f"mkdir -p o && ({loop})"), "snpe-net-run", subject, RUN_S + 5 * rounds
            )
            rate = self._steady(artifact.file, there, subject)
            self.shell.get(f"{there}/o", here)
            profiles = [self._profile(here / "o" / str(i), subject) for i in range(rounds)]
        for profile in profiles:
            _same_placement(artifact, profile, subject)
        note = (
            f"each the first inference of a process; then {1e3 / rate.per_second:.3g} ms each "
            f"by snpe-throughput-net-run, n={rate.count}"
        )
        return Clocked(np.array([profile.total_us / 1e3 for profile in profiles]), note)

    def own_time(self, artifact: Artifact, window: Features) -> OwnTime:
        """By snpe-throughput-net-run, whose windows are in memory and whose process has long started."""
        subject = f"{artifact.candidate} {artifact.recipe.id}"
        inputs = as_inputs(window[np.newaxis], inspect(artifact.file.with_name("model.onnx")))
        with self._job(artifact.file, inputs, subject) as (_, there):
            rate = self._steady(artifact.file, there, subject)
        return OwnTime(1e3 / rate.per_second, rate.count, "snpe-throughput-net-run, mean, inputs in memory")

    @property
    def _no_device_memory(self) -> str:
        return (
            "SNPE's tools tell none: snpe-diagview lists times alone. Limit weights_kib and activations_kib, and set "
            "device_mib for other targets only."
        )

    def rss(self, artifact: Artifact, window: Features) -> int:
        raise NotMeasured(
            f"memory of {artifact.candidate} on {artifact.recipe.id}: SNPE's tools do not report it, and no process of "
            "ours runs on the board."
        )

    @property
    def _not_measured(self) -> str:
        return "SNPE's tools time inference alone; the front end does not run on this board."

    @contextmanager
    def ran(self, dlc: Path, inputs: npt.NDArray[np.float32], subject: str, *, dsp: bool) -> Iterator[Ran]:
        """One profiled run over ``inputs``, on the DSP or in float on the board's CPU; its folder vanishes after."""
        with self._job(dlc, inputs, subject) as (here, there):
            command = f"snpe-net-run {self._flags(dlc, dsp=dsp)} --input_list inputs.txt --output_dir o"
            self.runtime.must(
                self.runtime.within(there, command), "snpe-net-run", subject, RUN_S + WINDOW_S * len(inputs)
            )
            self.shell.get(f"{there}/o", here)
            yield Ran(self._profile(here / "o", subject), here / "o")

    def _steady(self, dlc: Path, there: str, subject: str) -> diagview.Throughput:
        """The rate on the DSP of a DLC in a folder there, by SNPE's own benchmark."""
        command = f"snpe-throughput-net-run --container {shlex.quote(dlc.name)} --duration {THROUGHPUT_S} --use_dsp"
        command += " --perf_profile burst"
        said = self.runtime.must(self.runtime.within(there, command), "snpe-throughput-net-run", subject, RUN_S)
        return diagview.throughput(said.out, subject)

    def _flags(self, dlc: Path, *, dsp: bool) -> str:
        unit = " --use_dsp" if dsp else ""
        return f"--container {shlex.quote(dlc.name)}{unit} --perf_profile burst --profiling_level detailed"

    @contextmanager
    def _job(self, dlc: Path, inputs: npt.NDArray[np.float32], subject: str) -> Iterator[tuple[Path, str]]:
        """A folder here and one on the board that holds the DLC, the inputs and their list; both vanish after."""
        self.runtime.install(subject)
        with tempfile.TemporaryDirectory(prefix="voxgate-rb5-") as name:
            here = Path(name)
            there = f"{self.runtime.place}/{here.name}"
            snpe.write_inputs(inputs, here / "inputs", here / "inputs.txt")
            self.runtime.must(f"mkdir -p {there}", "mkdir", subject)
            try:
                for path in (dlc, here / "inputs", here / "inputs.txt"):
                    self.shell.put(path, there)
                yield here, there
            finally:
                with suppress(InfraError):  # a lost board has been told already
                    self.shell.run(f"rm -rf {there}")

    def _profile(self, folder: Path, subject: str) -> diagview.Profile:
        log = folder / "SNPEDiag_0.log"
        if not log.is_file():
            raise ToolchainError(
                f"{subject}: snpe-net-run left no SNPEDiag_0.log, so nothing tells where it ran. Is the SDK on the "
                f"board the one in ${self.sdk.variable}?"
            )
        tool = self.sdk.tool(snpe.DIAGVIEW)
        said = self.sdk.call(subject, tool, "--input_log", log.name, "--output", "profile.csv", folder=folder)
        return diagview.parse(said, subject)


def is_named() -> bool:
    """Whether the environment names a board."""
    return bool(os.environ.get(VARIABLE))


def attached() -> Shell | None:
    """The board that $VOXGATE_RB5 names, else the one that adb sees where there is an SDK; None without any.

    Raises Unsupported where adb sees several.
    """
    if text := os.environ.get(VARIABLE):
        return reach(text, VARIABLE)
    if not any(os.environ.get(root) for root in snpe.ROOTS):
        return None
    serials = _serials(os.environ.get("PATH", ""))
    if len(serials) > 1:
        raise Unsupported(
            f"adb sees {len(serials)} boards; say which is the RB5: export {VARIABLE}=adb:{serials[0]} (or "
            f"{', '.join(f'adb:{serial}' for serial in serials[1:])})."
        )
    return Adb(serials[0]) if serials else None


@cache
def _serials(path: str) -> list[str]:
    """As adb says once in a process: it is asked for every build's key."""
    del path
    return adb_serials()


def _same_placement(artifact: Artifact, profile: diagview.Profile, subject: str) -> None:
    judged = {node.name for node in artifact.placement.fallbacks}
    new = [node for node in profile.placement("", {}).fallbacks if node.name not in judged]
    if new:
        raise ToolchainError(
            f"{subject}: this run put {new[0].name} on the {new[0].where.upper()}, which the run that was judged did "
            "not, so what was run is not what was judged. Remove .voxgate/cache/artifacts and run again."
        )


def _outputs(folder: Path, count: int, labels: int, subject: str) -> Logits:
    rows = []
    for index in range(count):
        files = sorted((folder / f"Result_{index}").glob("*.raw"))
        values = np.fromfile(files[0], "<f4") if len(files) == 1 else np.zeros(0, np.float32)
        if values.shape != (labels,):
            raise ToolchainError(
                f"{subject}: snpe-net-run left {len(files)} outputs of {values.size} values for window {index}, and "
                f"one of {labels} was due; run it again."
            )
        rows.append(values)
    return np.stack(rows).astype(np.float32)
