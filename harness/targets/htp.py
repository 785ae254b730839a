"""Qualcomm's HTP (Hexagon V68 and newer) by QNN through onnxruntime-qnn, in an environment of its own.

Quantized by onnxruntime's QNN configuration, compiled into a context binary for one chip; the very binary runs on
QNN's emulator. Placement is the word of QNN's own validator and compiler. Nothing here tells the time.
"""

from __future__ import annotations

import platform
import shutil
from typing import Any

import numpy as np

from harness.boards import hosted
from harness.boards.htp import WORKER, HtpEmulator
from harness.cache import digest, sources
from harness.candidate import Candidate
from harness.errors import ToolchainError, Unsupported
from harness.onnxfile import as_inputs, inspect
from harness.quantize import mixed
from harness.quantize.ptq import ORT_ALGORITHMS, kept_nodes, need_windows
from harness.recipe import Recipe
from harness.targets import htp_binary, htp_graph, htp_log, htp_placement, htp_socs, hub_profile, toolchain
from harness.targets.base import Ability, Artifact, Board, Evidence, Job, Progress, Sizes, Target, float_of

TOOLCHAIN = "htp"
TOOLS = ("onnxruntime-qnn", "onnxruntime", "onnx", "numpy")
MACHINE = "x86_64"  # elsewhere the same package drives real silicon, or is absent
REMEDIES = {
    "Failed to finalize QNN graph": (
        "QNN took every operator and then could not compile them together for this chip. A GRU or LSTM does so on V68: "
        "unroll it into a cell with the state as input and output, or name a chip with a V73 or newer."
    ),
    "but was not selected by that EP": (
        "QNN refused a convolution after onnxruntime had laid it out for QNN: this chip does not take it as it is "
        "quantized or shaped."
    ),
}


class Htp(Target):
    name = "htp"
    title = "Qualcomm's HTP (Hexagon V68 and newer) by QNN, on its emulator"
    honours = frozenset({"activation_bits", "keep_float", "method", "soc"})

    def tools(self, recipe: Recipe) -> dict[str, str]:
        pins = toolchain.pins(TOOLCHAIN)
        found = {name: pins[name] for name in TOOLS}
        if hosted.chosen():
            found["qai-hub"] = toolchain.pins(hosted.TOOLCHAIN)["qai-hub"]
        return found

    def provision(self, candidate: Candidate, say: Progress) -> None:
        needed = [TOOLCHAIN, hosted.TOOLCHAIN] if hosted.chosen() else [TOOLCHAIN]
        for name in needed if platform.machine() == MACHINE else ():
            if toolchain.installed(name) is None:
                toolchain.install(name, say)

    def abilities(self) -> tuple[Ability, ...]:
        compiles = toolchain.ability(TOOLCHAIN, "compile", "onnxruntime-qnn")
        emulates = toolchain.ability(TOOLCHAIN, "emulate", "onnxruntime-qnn")
        if platform.machine() != MACHINE:
            lacks, remedy = (
                f"QNN's emulator runs on {MACHINE} only, this is {platform.machine()}",
                f"a Linux {MACHINE} machine",
            )
            compiles, emulates = (Ability(each.what, False, lacks, remedy) for each in (compiles, emulates))
        return (compiles, emulates, hosted.ability())

    def settings(self) -> dict[str, Any]:
        settings = {"worker": digest(WORKER), "readers": sources(htp_graph, htp_log, htp_placement, hub_profile)}
        return {**settings, "hosted": hosted.chosen(), "hub": digest(hosted.WORKER)} if hosted.chosen() else settings

    def check(self, candidate: Candidate, recipe: Recipe) -> None:
        subject = f"{candidate.name} {recipe.id}"
        soc = htp_socs.find(recipe.soc, subject)
        if recipe.precision == "fp32":
            raise Unsupported(f'{subject}: the HTP computes in fp16 or int8; set precision = "fp16" or "int8".')
        if recipe.precision == "fp16" and not soc.floats:
            raise Unsupported(
                f"{subject}: the HTP of {soc} has no exact float: V68 refuses float operators and V69 rounds them "
                f'coarsely. Set precision = "int8", or a soc with a v{htp_socs.FLOAT_ARCH} such as {htp_socs.DEFAULT}.'
            )
        if recipe.precision == "fp16" and recipe.activation_bits != 8:
            raise Unsupported(f'{subject}: activation_bits is of int8; remove it, or set precision = "int8".')
        if recipe.keep_float and not soc.floats:
            raise Unsupported(
                f"{subject}: the HTP of {soc} has no exact float to keep layers in. Remove keep_float, or name a soc "
                f"with a v{htp_socs.FLOAT_ARCH} such as {htp_socs.DEFAULT}."
            )
        kept_nodes(candidate.model, recipe)
        if recipe.calibrated and recipe.calibration.algorithm not in ORT_ALGORITHMS:
            raise Unsupported(
                f"{subject}: onnxruntime has no {recipe.calibration.algorithm} calibration that differs from minmax. "
                f"Set calibration.algorithm to one of {', '.join(sorted(ORT_ALGORITHMS))}."
            )
        if platform.machine() != MACHINE:
            raise Unsupported(
                f"{subject}: QNN's compiler and emulator are driven on {MACHINE} only, this is "
                f"{platform.machine()}. Run it on a Linux {MACHINE} machine."
            )
        toolchain.needed(TOOLCHAIN)
        if hosted.chosen():
            toolchain.needed(hosted.TOOLCHAIN)
            hosted.require_token(subject)

    def build(self, job: Job) -> Artifact:
        """Quantize and compile into ``job.folder``: context.onnx and, beside it, the binary, which is the artifact."""
        subject = f"{job.candidate.name} {job.recipe.id}"
        soc = htp_socs.find(job.recipe.soc, subject)
        answer = self._compile(job, soc, subject)
        job.say(f"{subject}: compiled for {soc} in {answer['seconds']:.1f} s")
        bits = job.recipe.activation_bits if job.recipe.precision == "int8" else None
        placement, weights = htp_placement.Built(answer, job.folder, subject).read(soc, bits)
        kept = kept_nodes(job.model, job.recipe)
        placement = htp_placement.keeping(placement, kept, mixed.weighted(job.model), subject)
        file = job.folder / "context_qnn.bin"
        htp_binary.require(file, soc, subject)
        (job.folder / "calibration.npy").unlink(missing_ok=True)  # the emulator runs the binary: it is not needed again
        device = hosted.chosen()
        if device:
            placement = hosted.Hub(device, subject).profile(file, placement, soc)
        return Artifact(
            candidate=job.candidate.name,
            recipe=job.recipe,
            key=job.key,
            file=file,
            placement=placement,
            sizes=Sizes(file.stat().st_size, weights),
            evidence=Evidence.BOARD if device else Evidence.EMULATOR,
            tools=self.tools(job.recipe),
        )

    def board(self, recipe: Recipe) -> Board:
        device = hosted.chosen()
        if device:
            return hosted.HostedDevice(device)
        return HtpEmulator(htp_socs.find(recipe.soc, recipe.id).arch)

    def layers(self, candidate: Candidate, recipe: Recipe) -> tuple[str, ...]:
        return mixed.weighted(candidate.model)

    def float_recipe(self, recipe: Recipe) -> Recipe:
        return float_of(recipe, "fp16")

    def _compile(self, job: Job, soc: htp_socs.Soc, subject: str) -> dict[str, Any]:
        try:
            return toolchain.run_worker(
                toolchain.needed(TOOLCHAIN), WORKER, _request(job, soc), job.folder, subject=subject
            )
        except ToolchainError as error:
            remedies = [remedy for sign, remedy in REMEDIES.items() if sign in str(error)]
            raise ToolchainError(" ".join([str(error), *remedies])) from error


def _request(job: Job, soc: htp_socs.Soc) -> dict[str, Any]:
    """What the worker is told; the model and its calibration are laid into the folder."""
    model = inspect(job.model)
    shutil.copyfile(job.model, job.folder / "model.onnx")
    quantize = job.recipe.calibrated
    if quantize:
        need_windows(job.calibration, job.recipe)
        np.save(job.folder / "calibration.npy", as_inputs(job.calibration, model), allow_pickle=False)
    return {
        "model": "model.onnx",
        "input": model.input_name,
        "quantize": quantize,  # a model in QDQ form, from training, is taken as it is
        "keep_float": list(kept_nodes(job.model, job.recipe)),
        "floats": job.recipe.precision == "fp16",
        "calibration": "calibration.npy",
        "algorithm": ORT_ALGORITHMS.get(job.recipe.calibration.algorithm),
        "activation_bits": job.recipe.activation_bits,
        "per_channel": job.recipe.per_channel,
        "symmetric": job.recipe.symmetric,
        "soc_model": soc.model,
        "context": "context.onnx",
    }
