"""The host: onnxruntime and LiteRT on this machine's CPU, the arithmetic without the silicon.

Quantizing and reading the graph happen in a process of their own (workers/host_worker.py),
so that a library that crashes on a strange model fails one build, not the whole run.
"""

from __future__ import annotations

import platform
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

from harness.boards.local import LocalBoard
from harness.cache import digest, sources
from harness.candidate import Candidate
from harness.errors import Unsupported
from harness.quantize import mixed, ptq
from harness.recipe import Recipe
from harness.targets.base import Ability, Artifact, Board, Evidence, Job, Node, Placement, Sizes, Target
from harness.targets.process import Child, Limits, run_child

WORKER = Path(__file__).with_name("workers") / "host_worker.py"
ANSWERING = WORKER.with_name("answering.py")
LIMITS = Limits(seconds=1800, memory_mib=8192)


class Host(Target):
    name = "host"
    title = "this machine's CPU by onnxruntime or LiteRT"
    honours = frozenset({"activation_bits", "keep_float", "method", "runtime"})
    streams = True
    runtimes = ("onnxruntime", "litert")
    precisions = frozenset({"fp32", "fp16", "int8", "int8-dynamic", "int8-weight-only"})

    def tools(self, recipe: Recipe) -> dict[str, str]:
        names = ["onnx", "onnxruntime"]
        if recipe.runtime == "litert":
            names = ["ai-edge-litert"] + (["litert-quantizer"] if recipe.precision != "fp32" else [])
        return {name: version(name) for name in names}

    def settings(self) -> dict[str, str]:
        """The kind of CPU, whose kernels decide which nodes are fused, and the code that quantizes and reads."""
        readers = [WORKER.parents[1] / name for name in ("ort_graph.py", "litert_graph.py")]
        return {"machine": platform.machine(), "worker": digest(WORKER, ANSWERING, *readers), "quantizer": sources(ptq)}

    def abilities(self) -> tuple[Ability, ...]:
        runtimes = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "ai-edge-litert"))
        return (Ability("compile", True, runtimes), Ability("board", True, f"this machine, {platform.machine()}"))

    def check(self, candidate: Candidate, recipe: Recipe) -> None:
        if recipe.precision == "fp16":
            raise Unsupported(
                f"{candidate.name} {recipe.id}: this host's kernels widen fp16 to fp32, which tests nothing. "
                'Use precision = "fp32" or "int8", or a target that computes in fp16 (rk3588).'
            )
        if candidate.imported:
            return
        if recipe.runtime == "litert" and candidate.tflite is None:
            raise Unsupported(
                f"{candidate.name} {recipe.id}: runtime litert needs a float .tflite. "
                'Export one with litert-torch and add tflite = "model.tflite" to model.toml.'
            )
        if recipe.precision != "fp32" and recipe.method != "qat":
            ptq.check(recipe)
        _known_layers(candidate, recipe)

    def build(self, job: Job) -> Artifact:
        source = self._source(job)
        file = job.folder / f"model{source.suffix}"
        calibration = job.folder / "calibration.npy"
        calibrated = job.recipe.calibrated and not job.candidate.imported
        if calibrated:
            np.save(calibration, job.calibration, allow_pickle=False)
        elif job.recipe.precision == "fp32" or job.recipe.method == "qat" or job.candidate.imported:
            shutil.copyfile(source, file)
        request = {
            "source": str(source),
            "file": str(file),
            "recipe": job.recipe.model_dump(mode="json"),
            "calibration": str(calibration) if calibrated else None,
            "states": job.candidate.states,
            "imported": job.candidate.imported,
        }
        child = Child(Path(sys.executable), WORKER, f"{job.candidate.name} {job.recipe.id}", {}, LIMITS)
        made = run_child(child, request, job.folder)
        calibration.unlink(missing_ok=True)
        nodes = tuple(Node(**node) for node in made["nodes"])
        runtime = "ai-edge-litert" if job.recipe.runtime == "litert" else "onnxruntime"
        said_by = f"{runtime} {version(runtime)} on this CPU"
        return Artifact(
            candidate=job.candidate.name,
            recipe=job.recipe,
            key=job.key,
            file=file,
            placement=Placement(nodes, Evidence.HOST, made["partitions"], said_by),
            sizes=Sizes(**made["sizes"]),
            evidence=Evidence.HOST,
            tools=self.tools(job.recipe),
            states=job.candidate.states,
        )

    def board(self, recipe: Recipe) -> Board:
        return LocalBoard()

    def layers(self, candidate: Candidate, recipe: Recipe) -> tuple[str, ...]:
        if recipe.runtime == "litert" and candidate.tflite is not None:
            return ptq.tflite_layers(candidate.tflite)
        return mixed.weighted(candidate.model)

    def _source(self, job: Job) -> Path:
        tflite = job.candidate.tflite if job.recipe.runtime == "litert" else None
        # A test's faulty copy of the .tflite comes in place of the ONNX.
        return job.model if tflite is None or job.model.suffix == ".tflite" else tflite


def _known_layers(candidate: Candidate, recipe: Recipe) -> None:
    """Raise CandidateError where ``keep_float`` names a layer that the model does not have."""
    if recipe.runtime == "litert" and candidate.tflite is not None:
        ptq.kept_ops(candidate.tflite, recipe)
    else:
        ptq.kept_nodes(candidate.model, recipe)
