"""Coral Edge TPU: full int8 by litert-quantizer, placed by Coral's compiler where it is, by its rules where it is not.

The float .tflite is the candidate's own, else made from its ONNX by onnx2tf. Without a board outputs come from
LiteRT's CPU kernels on the same int8 file, and nothing here tells the time.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from harness.boards import coral
from harness.cache import digest, sources
from harness.candidate import Candidate
from harness.errors import CandidateError, ToolchainError, Unsupported, VoxgateError
from harness.quantize import ptq
from harness.recipe import Recipe
from harness.targets import edgetpu_compiler, edgetpu_map, edgetpu_rules, tflite_file, toolchain
from harness.targets.base import Ability, Artifact, Board, Evidence, Job, Node, Placement, Progress, Sizes, Target
from harness.targets.process import Child, Limits, run_child

TOOLCHAIN = "edgetpu"
WORKER = Path(__file__).with_name("workers") / "edgetpu_worker.py"
CONVERTER, ANSWERING = WORKER.with_name("onnx2tf_worker.py"), WORKER.with_name("answering.py")
LIMITS = Limits(seconds=1800, memory_mib=8192)
COMPILER = "edgetpu_compiler"
VERSION = re.compile(r"Edge TPU Compiler version (\S+)")
UNREADABLE = "of unknown version"
EXPORT = 'export a float .tflite with litert-torch and add tflite = "model.tflite" to model.toml'


class EdgeTpu(Target):
    name = "edgetpu"
    title = "Coral Edge TPU by litert-quantizer and edgetpu_compiler, or Coral's rules"

    def tools(self, recipe: Recipe) -> dict[str, str]:
        found = {"ai-edge-litert": version("ai-edge-litert")}
        if recipe.precision == "int8":
            found["litert-quantizer"] = version("litert-quantizer")
            if path := shutil.which(COMPILER):
                found[COMPILER] = compiler_version(path, Path(path).stat().st_mtime_ns)
        return found

    def settings(self) -> dict[str, Any]:
        """The converter, the rules, and which board: its evidence stands in the artifact."""
        return {
            "onnx2tf": toolchain.pins(TOOLCHAIN)["onnx2tf"],
            "workers": digest(WORKER, CONVERTER, ANSWERING),
            "quantizer": sources(ptq),
            "readers": sources(edgetpu_compiler, edgetpu_map, edgetpu_rules, tflite_file),
            "board": coral.board().name,
        }

    def provision(self, candidate: Candidate, say: Progress) -> None:
        """onnx2tf, and only for a candidate without a .tflite of its own."""
        if candidate.tflite is None and toolchain.installed(TOOLCHAIN) is None:
            try:
                toolchain.install(TOOLCHAIN, say)
            except Unsupported as error:  # no Python that onnx2tf takes
                raise Unsupported(f"{candidate.name} has no .tflite, and {error} Or {EXPORT}.") from error

    def abilities(self) -> tuple[Ability, ...]:
        quantizer = f"litert-quantizer {version('litert-quantizer')}"
        path = shutil.which(COMPILER)
        if path:
            made_by = f"{quantizer}, {COMPILER} {compiler_version(path, Path(path).stat().st_mtime_ns)}"
        else:
            made_by = f"{quantizer}; placement by {edgetpu_map.SOURCE}, as no {COMPILER} is on PATH"
        lacks = coral.lacks() or ("" if path else f"{coral.device()}, but no {COMPILER} on PATH makes what it runs")
        board = Ability(
            "board",
            not lacks,
            lacks or coral.CoralBoard.name,
            f"{coral.REMEDY}; {COMPILER} 16.0 on PATH" if lacks else "",
        )
        return (Ability("compile", True, made_by), board)

    def check(self, candidate: Candidate, recipe: Recipe) -> None:
        subject = f"{candidate.name} {recipe.id}"
        if recipe.precision == "fp16":
            raise Unsupported(f'{subject}: the Edge TPU computes in int8 only; set precision = "int8".')
        if recipe.precision == "int8" and recipe.calibration.algorithm != "minmax":
            raise Unsupported(
                f"{subject}: litert-quantizer calibrates activations by minmax only, not "
                f'{recipe.calibration.algorithm}. Set calibration.algorithm = "minmax".'
            )
        if recipe.precision == "int8" and recipe.symmetric:
            raise Unsupported(f"{subject}: LiteRT's int8 activations are asymmetric; remove symmetric = true.")
        if candidate.tflite is None and toolchain.installed(TOOLCHAIN) is None:
            raise Unsupported(
                f"{subject} has no .tflite, and onnx2tf, which makes one of its ONNX, is not installed here. Run: "
                f"voxgate toolchain install {TOOLCHAIN}. Or {EXPORT}."
            )

    def build(self, job: Job) -> Artifact:
        """``job.folder`` then holds model.tflite and, where the compiler made it, model_edgetpu.tflite."""
        subject = f"{job.candidate.name} {job.recipe.id}"
        source = self._float(job, subject)
        calibration = job.folder / "calibration.npy"
        quantize = job.recipe.precision == "int8"
        if quantize:
            np.save(calibration, job.calibration, allow_pickle=False)
        request = {
            "onnx": str((job.candidate.model if job.model.suffix == ".tflite" else job.model).resolve()),
            "float": str(source.resolve()),
            "recipe": job.recipe.model_dump(mode="json"),
            "calibration": str(calibration.resolve()) if quantize else None,
            "parity": job.candidate.budgets(job.recipe).parity,
            "compiler": shutil.which(COMPILER),
        }
        made = run_child(Child(Path(sys.executable), WORKER, subject, {}, LIMITS), request, job.folder)
        calibration.unlink(missing_ok=True)
        own = source.parent != job.folder
        if "fault" in made:
            raise _fault(subject, made["fault"], own)
        if made["steps"]:
            job.say(f"{subject}: {_steps(made['steps'])}")
        nodes = tuple(Node(**node) for node in made["nodes"])
        converter = {} if own else {"onnx2tf": toolchain.pins(TOOLCHAIN)["onnx2tf"]}
        return Artifact(
            candidate=job.candidate.name,
            recipe=job.recipe,
            key=job.key,
            file=job.folder / "model.tflite",
            placement=Placement(nodes, Evidence.STATIC, made["partitions"], made["source"]),
            sizes=Sizes(**made["sizes"]),
            evidence=self.board(job.recipe).evidence,
            tools=self.tools(job.recipe) | converter,
        )

    def board(self, recipe: Recipe) -> Board:
        return coral.board()

    def _float(self, job: Job, subject: str) -> Path:
        """The float .tflite: a test's faulty copy, the candidate's own, or one made of the ONNX in the job's folder."""
        if job.model.suffix == ".tflite":
            return job.model
        if job.candidate.tflite is not None:
            return job.candidate.tflite
        shutil.copyfile(job.model, job.folder / "model.onnx")
        request = {"model": "model.onnx", "file": "float.tflite"}
        try:
            toolchain.run_worker(
                toolchain.needed(TOOLCHAIN), CONVERTER, request, job.folder, subject=subject, limits=LIMITS
            )
        except ToolchainError as error:
            raise ToolchainError(f"{error} Or {EXPORT}.") from error
        made = job.folder / "float.tflite"
        if not made.is_file():
            raise ToolchainError(f"{subject}: onnx2tf reported success but wrote no {made.name}. Or {EXPORT}.")
        return made


@cache
def compiler_version(path: str, changed: int) -> str:
    """What the compiler at ``path`` calls itself; ``changed``, its time of change, tells one from the next."""
    del changed
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return UNREADABLE
    said = VERSION.search(done.stdout + done.stderr)
    return said[1] if said else UNREADABLE


def _fault(subject: str, fault: str, own: bool) -> VoxgateError:
    """What a step showed to be wrong: the candidate's file, or what onnx2tf made of its ONNX."""
    if own:
        return CandidateError(f"{subject}: {fault}.")
    return ToolchainError(f"{subject}, converted by onnx2tf: {fault}. Or {EXPORT}.")


def _steps(steps: dict[str, float]) -> str:
    return (
        f"float .tflite within {steps['parity']:.2g} logits of the ONNX; int8 agrees with it on {steps['same']:g} of "
        f"{steps['windows']:g} calibration windows, {steps['sqnr_db']:.1f} dB"
    )
