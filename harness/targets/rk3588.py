"""Rockchip RK3588: rknn-toolkit2 quantizes and compiles for its NPU, in an environment of its own.

Outputs come from the toolkit's simulator, which rounds and saturates as the NPU does; placement is
the compiler's word. Nothing here tells the time: that needs a board.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from harness.boards.emulator import ENVIRONMENT, WORKER, RknnSimulator
from harness.cache import digest, sources
from harness.candidate import Candidate
from harness.errors import ToolchainError, Unsupported
from harness.onnxfile import Onnx, as_inputs, inspect
from harness.quantize import mixed, streamed
from harness.recipe import Recipe
from harness.targets import rknn_layers, rknn_table, toolchain
from harness.targets.base import (
    Ability,
    Artifact,
    Board,
    Evidence,
    Features,
    Job,
    LayerError,
    Progress,
    Sizes,
    Target,
    float_of,
)

TOOLCHAIN = "rk3588"
OPSETS = range(7, 20)  # what rknn-toolkit2 2.5.0 reads
DTYPES = {"int8": "w8a8", "int16": "w16a16i_dfp"}
ALGORITHMS = {"minmax": "normal", "entropy": "kl_divergence", "mse": "mmse"}
REMEDIES = {
    "KeyError: 'LayerNormalization'": "The toolkit needs axis and epsilon written out on every LayerNormalization.",
    "Could not find OrtValue with name ''": (
        "The toolkit cannot take a GRU or LSTM whose first output is unused: take the last row of that output (Gather) "
        "instead of the final state."
    ),
}
TOOLS = ("rknn-toolkit2", "numpy", "onnx", "onnxruntime", "torch")


class Rk3588(Target):
    name = "rk3588"
    title = "Rockchip RK3588's NPU by rknn-toolkit2, on its simulator"
    honours = frozenset({"keep_float", "method", "op_target"})
    streams = True
    precisions = frozenset({"fp32", "fp16", "int16", "int8"})

    def tools(self, recipe: Recipe) -> dict[str, str]:
        pins = toolchain.pins(TOOLCHAIN)
        return {name: pins[name] for name in TOOLS}

    def provision(self, candidate: Candidate, say: Progress) -> None:
        if toolchain.installed(TOOLCHAIN) is None:
            toolchain.install(TOOLCHAIN, say)

    def abilities(self) -> tuple[Ability, ...]:
        compiles = toolchain.ability(TOOLCHAIN, "compile", "rknn-toolkit2")
        lacks = "none at this machine: latency and memory are measured on a board of a lab"
        return (compiles, replace(compiles, what="emulate"), Ability("board", False, lacks, "pytest --lab lab.toml"))

    def settings(self) -> dict[str, Any]:
        return {"worker": digest(WORKER), "reader": sources(rknn_table)}

    def check(self, candidate: Candidate, recipe: Recipe) -> None:
        subject = f"{candidate.name} {recipe.id}"
        if recipe.precision == "fp32":
            raise Unsupported(f'{subject}: the RK3588 NPU computes in fp16 or int8; set precision = "fp16" or "int8".')
        if recipe.calibrated and recipe.calibration.algorithm not in ALGORITHMS:
            raise Unsupported(
                f"{subject}: rknn-toolkit2 has no {recipe.calibration.algorithm!r} calibration; set algorithm to "
                f"{', '.join(repr(name) for name in ALGORITHMS)}."
            )
        if recipe.calibrated and recipe.symmetric:
            raise Unsupported(f"{subject}: w8a8 of rknn-toolkit2 is asymmetric; remove symmetric = true.")
        if recipe.precision == "int16" and recipe.calibration.algorithm != "minmax":
            raise Unsupported(f'{subject}: int16 of rknn-toolkit2 calibrates by minmax; set algorithm = "minmax".')
        _check_opset(inspect(candidate.model, candidate.states), subject)
        mixed.chosen(recipe.keep_float, mixed.with_fused(candidate.model), subject)
        toolchain.needed(TOOLCHAIN)

    def build(self, job: Job) -> Artifact:
        """Compile into ``job.folder``, which then holds all that :class:`RknnSimulator` needs to build again."""
        subject = f"{job.candidate.name} {job.recipe.id}"
        model = inspect(job.model, job.candidate.states)
        _check_opset(model, subject)
        shutil.copyfile(job.model, job.folder / "model.onnx")
        calibration = _write_calibration(job, model, subject) if job.recipe.calibrated else []
        kept = _kept(job, subject)
        result = self._compile(job, kept, calibration, subject)
        job.say(f"{subject}: compiled in {result['build_s']:.1f} s")
        compiled = rknn_table.read_log(job.folder / "stdout.log", subject)
        file = job.folder / "model.rknn"
        if not file.is_file():
            raise ToolchainError(f"{subject}: the toolkit reported success but wrote no {file.name}; run it again.")
        return Artifact(
            candidate=job.candidate.name,
            recipe=job.recipe,
            key=job.key,
            file=file,
            placement=compiled.placement(quantized=_integers(job.recipe), kept=kept, subject=subject),
            sizes=Sizes(file.stat().st_size, compiled.weights, compiled.internal),
            evidence=Evidence.EMULATOR,
            tools=self.tools(job.recipe),
            states=job.candidate.states,
        )

    def board(self, recipe: Recipe) -> Board:
        return RknnSimulator()

    def float_recipe(self, recipe: Recipe) -> Recipe:
        return float_of(recipe, "fp16")

    def layers(self, candidate: Candidate, recipe: Recipe) -> tuple[str, ...]:
        return mixed.weighted(candidate.model)

    def layer_errors(self, job: Job, windows: Features) -> dict[str, LayerError]:
        """rknn-toolkit2's accuracy_analysis, on its simulator."""
        subject = f"{job.candidate.name} {job.recipe.id}"
        model = inspect(job.model)
        shutil.copyfile(job.model, job.folder / "model.onnx")
        calibration = _write_calibration(job, model, subject)
        np.save(job.folder / "analyse.npy", as_inputs(windows, model), allow_pickle=False)
        more = {"export": None, "analyse": "analyse.npy"}
        answer = self._compile(job, _kept(job, subject), calibration, subject, more)
        texts = [rknn_layers.read(job.folder / f"analysis-{i}.txt", subject) for i in range(len(windows))]
        return rknn_layers.errors(list(zip(texts, answer["norms"], strict=True)))

    def _compile(
        self,
        job: Job,
        kept: dict[str, list[str]],
        calibration: list[str],
        subject: str,
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        try:
            return toolchain.run_worker(
                toolchain.needed(TOOLCHAIN),
                WORKER,
                {**self._request(job.recipe, kept, calibration), **more},
                job.folder,
                subject=subject,
                environment=ENVIRONMENT,
            )
        except ToolchainError as error:
            remedies = [remedy for sign, remedy in REMEDIES.items() if sign in str(error)]
            raise ToolchainError(" ".join([str(error), *remedies])) from error

    def _request(self, recipe: Recipe, kept: dict[str, list[str]], calibration: list[str]) -> dict[str, Any]:
        return {
            "model": "model.onnx",
            "calibration": calibration,
            "export": "model.rknn",
            "quantize": recipe.calibrated,  # a model in QDQ form, from training, is taken as it is
            "integers": _integers(recipe),
            "quantized_dtype": DTYPES.get(recipe.precision),
            "quantized_algorithm": ALGORITHMS.get(recipe.calibration.algorithm),
            "quantized_method": "channel" if recipe.per_channel else "layer",
            "op_target": recipe.op_target,
            "keep_float": kept,
        }


def _integers(recipe: Recipe) -> bool:
    """Whether every layer is asked to compute in integers."""
    return recipe.calibrated or recipe.method == "qat"


def _kept(job: Job, subject: str) -> dict[str, list[str]]:
    """Each layer that stays in float, with the tensors that it and the activation behind it make."""
    if not job.recipe.keep_float:
        return {}
    nodes = mixed.with_fused(job.model)
    return {
        name: [made for node in nodes[name] for made in node.output]
        for name in mixed.chosen(job.recipe.keep_float, nodes, subject)
    }


def _check_opset(model: Onnx, subject: str) -> None:
    if model.opset not in OPSETS:
        raise Unsupported(
            f"{subject}: {model.path} uses opset {model.opset}; rknn-toolkit2 2.5.0 reads {OPSETS[0]} to {OPSETS[-1]}. "
            f"Export it with opset_version=17, or convert it with onnx.version_converter."
        )


def _write_calibration(job: Job, model: Onnx, subject: str) -> list[str]:
    """One array a model input, in the model's order: the names of their files."""
    if not len(job.calibration):
        raise ToolchainError(
            f"{subject}: {job.recipe.precision} needs calibration clips and got none; see [recipe.calibration]."
        )
    heard = streamed.stacked(job.model, model, job.calibration)
    names = [f"calibration-{place}.npy" for place in range(len(heard))]
    for name, samples in zip(names, heard.values(), strict=True):
        np.save(job.folder / name, samples, allow_pickle=False)
    return names
