"""Qualcomm Robotics RB5 (QRB5165, SM8250, Hexagon V66): AIMET quantizes, the user's own SNPE or QAIRT SDK compiles.

Without that SDK placement is what Qualcomm documents (v66_rules.py) and outputs are AIMET's simulation. With it the
DLC is really converted and quantized; with a board attached too, placement, outputs and times are the board's.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from harness.boards.aimet import TOOLCHAIN, WORKER, AimetSimulation
from harness.boards.rb5 import VARIABLE, Rb5Board, attached, is_named
from harness.cache import digest, sources
from harness.candidate import Candidate
from harness.errors import InfraError, ToolchainError, Unsupported
from harness.onnxfile import Onnx, as_inputs, inspect
from harness.quantize.ptq import need_windows
from harness.recipe import Recipe
from harness.targets import diagview, snpe, toolchain, v66_rules
from harness.targets.base import Ability, Artifact, Board, Job, Placement, Progress, Sizes, Target

SCHEMES = {"minmax": "min_max", "mse": "tf_enhanced"}  # AIMET's names; its percentile is fixed, and deprecated
FLOAT = "-float"  # ends the name of a recipe's own float path, which alone may be fp32
TOOLS = ("aimet-onnx", "numpy", "onnx", "onnxruntime", "torch")
PROFILED = 32  # calibration windows run on the board to see where layers run
UNMERGED = ("Conv", "ConvTranspose", "Gemm", "LSTM", "MatMul")  # each is a layer of its own in any DLC
ROOTS = " nor ".join(f"${name}" for name in snpe.ROOTS)


class Rb5(Target):
    name = "rb5"
    title = "Qualcomm RB5's Hexagon V66 by AIMET's simulation, or by your own SNPE or QAIRT SDK and board"
    honours = frozenset({"activation_bits"})  # to say why 16 cannot be

    def tools(self, recipe: Recipe) -> dict[str, str]:
        pins = toolchain.pins(TOOLCHAIN)
        sdk = snpe.find()
        return {name: pins[name] for name in TOOLS} | ({"SDK": sdk.version} if sdk else {})

    def provision(self, candidate: Candidate, say: Progress) -> None:
        if toolchain.installed(TOOLCHAIN) is None:
            toolchain.install(TOOLCHAIN, say)

    def abilities(self) -> tuple[Ability, ...]:
        return (_compiles(), toolchain.ability(TOOLCHAIN, "emulate", "aimet-onnx"), _runs())

    def settings(self) -> dict[str, Any]:
        """With an SDK a DLC is made, and with a board placement and outputs are its own: other builds, all."""
        sdk, shell = snpe.find(), attached()
        return {
            "worker": digest(WORKER),
            "readers": sources(diagview, snpe, v66_rules),
            "sdk": sdk.identity() if sdk else None,
            "board": shell.name if shell else None,
        }

    def check(self, candidate: Candidate, recipe: Recipe) -> None:
        subject = f"{candidate.name} {recipe.id}"
        if not _is_float_path(recipe):
            _check_recipe(recipe, subject)
        model = inspect(candidate.model)
        sdk = snpe.find()
        if sdk is None and is_named():
            raise Unsupported(
                f"{subject}: {VARIABLE} names a board, but neither {ROOTS} names the SDK that drives it; export one of "
                f"them, or unset {VARIABLE} to judge by AIMET's simulation."
            )
        if sdk is not None and model.input_shape[1] != 1:
            raise Unsupported(
                f"{subject}: input {model.input_name!r} is {list(model.input_shape)}, whose axes SNPE's converter "
                "reorders; export it as [1,1,frames,bins], which is the same in every order."
            )
        toolchain.needed(TOOLCHAIN)

    def build(self, job: Job) -> Artifact:
        """Fill ``job.folder`` with model.onnx, model.encodings and, where there is an SDK, the DLC made of them."""
        subject = f"{job.candidate.name} {job.recipe.id}"
        model = inspect(job.model)
        shutil.copyfile(job.model, job.folder / "model.onnx")
        weights = self._quantize(job, model, subject)
        placement = v66_rules.placement(job.folder / "model.onnx")
        made = [job.folder / "model.onnx", *job.folder.glob("model.encodings")]
        sdk, shell = snpe.find(), attached()
        if sdk is not None:
            made = [_compile(sdk, job, model, subject)]
            job.say(f"{subject}: made {made[0].name} by {sdk.version}")
        if sdk is not None and shell is not None:
            placement = _placed(Rb5Board(shell, sdk), made[0], job, model, subject)
        return Artifact(
            candidate=job.candidate.name,
            recipe=job.recipe,
            key=job.key,
            file=made[0],
            placement=placement,
            sizes=Sizes(sum(path.stat().st_size for path in made), weights),
            evidence=self.board(job.recipe).evidence,
            tools=self.tools(job.recipe),
        )

    def board(self, recipe: Recipe) -> Board:
        sdk, shell = snpe.find(), attached()
        return Rb5Board(shell, sdk) if sdk is not None and shell is not None else AimetSimulation()

    def float_recipe(self, recipe: Recipe) -> Recipe:
        """AIMET's graph with its quantizers off; on a board, the float DLC on the board's CPU."""
        return recipe.model_copy(update={"name": recipe.name + FLOAT, "precision": "fp32"})

    def _quantize(self, job: Job, model: Onnx, subject: str) -> int | None:
        """Let AIMET set the ranges; the bytes of the quantized weights, None for the float path."""
        quantize = job.recipe.precision == "int8"
        request = {
            "model": "model.onnx",
            "quantize": quantize,
            "scheme": SCHEMES.get(job.recipe.calibration.algorithm, SCHEMES["minmax"]),
            "calibration": "calibration.npy",
            "encodings": "model.encodings",
            "inputs": None,
            "outputs": None,
        }
        if not quantize:
            (job.folder / "request.json").write_text(json.dumps(request), encoding="utf-8")  # for the simulation
            return None
        need_windows(job.calibration, job.recipe)
        calibration = job.folder / "calibration.npy"
        np.save(calibration, as_inputs(job.calibration, model), allow_pickle=False)
        toolchain.run_worker(toolchain.needed(TOOLCHAIN), WORKER, request, job.folder, subject=subject)
        calibration.unlink()
        return weight_bytes(job.folder, subject)


def weight_bytes(folder: Path, subject: str) -> int:
    """Bytes of the weights in 8 bits, biases in 32; ToolchainError where an encoding is not 8-bit and per tensor.

    ``folder`` holds model.onnx and model.encodings.
    """
    try:
        told = json.loads((folder / "model.encodings").read_text(encoding="utf-8"))
        sections = {name: dict(told[name]) for name in ("activation_encodings", "param_encodings")}
        for name, entries in {**sections["activation_encodings"], **sections["param_encodings"]}.items():
            if len(entries) != 1 or entries[0]["bitwidth"] != 8 or entries[0]["dtype"] != "int":
                raise ValueError(f"{name!r} has {len(entries)} encodings, the first {entries[0]!r:.100}")
        if not all(sections.values()):
            raise ValueError("it encodes no activation, or no weight")
        bare = sorted(_weights(folder / "model.onnx") - set(sections["param_encodings"]))
        if bare:
            raise ValueError(f"the weights {', '.join(bare[:3])} have none: they would stay float")
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ToolchainError(
            f"{subject}: AIMET's encodings are not those of a V66, one of 8 bits for each tensor ({error}). Run: "
            f"voxgate toolchain install {TOOLCHAIN}"
        ) from error
    sizes = _constants(folder / "model.onnx")
    return sum(size if name in sections["param_encodings"] else 4 * size for name, size in sizes.items())


def _weights(model: Path) -> set[str]:
    """Names of the constants that convolutions and linear layers multiply by."""
    constants = _constants(model)
    nodes = (node for node in onnx.load(model).graph.node if node.op_type in UNMERGED)
    return {name for node in nodes for name in node.input[1 : 3 if node.op_type == "LSTM" else 2] if name in constants}


def _constants(model: Path) -> dict[str, int]:
    """How many numbers each initializer, and each tensor of a Constant node, holds."""
    graph = onnx.load(model).graph
    made = ((node.output[0], each.t) for node in graph.node if node.op_type == "Constant" for each in node.attribute)
    tensors = [*((tensor.name, tensor) for tensor in graph.initializer), *made]
    return {name: int(np.prod(tensor.dims, dtype=np.int64)) for name, tensor in tensors}


def _check_recipe(recipe: Recipe, subject: str) -> None:
    """Raise Unsupported for what a V66 does not do; the words are the remedy."""
    if recipe.precision != "int8":
        raise Unsupported(f'{subject}: the V66\'s DSP computes in 8 bits only; set precision = "int8".')
    if recipe.activation_bits != 8:
        raise Unsupported(
            f"{subject}: the V66's DSP has 8-bit activations only; remove activation_bits = 16, or choose a board of "
            "target htp (V68 and newer)."
        )
    if recipe.per_channel:
        raise Unsupported(
            f"{subject}: the V66 has no per-channel convolution, and per_channel = true is the default; set "
            "per_channel = false."
        )
    if recipe.symmetric:
        raise Unsupported(f"{subject}: activations on the V66 are asymmetric; remove symmetric = true.")
    if recipe.calibration.algorithm not in SCHEMES:
        raise Unsupported(
            f"{subject}: AIMET has no {recipe.calibration.algorithm!r} calibration; set algorithm to "
            f"{', '.join(repr(name) for name in SCHEMES)}."
        )


def _is_float_path(recipe: Recipe) -> bool:
    return recipe.precision == "fp32" and recipe.name.endswith(FLOAT)


def _compile(sdk: snpe.Sdk, job: Job, model: Onnx, subject: str) -> Path:
    quantize = job.recipe.precision == "int8"
    made = snpe.convert(sdk, job.folder, subject, overrides=quantize)
    if quantize:
        weights = 4 * sum(_constants(job.model).values())
        made = snpe.quantize(sdk, job.folder, as_inputs(job.calibration, model), weights, subject)
        shutil.rmtree(job.folder / "calibration")
    return made


def _placed(board: Rb5Board, dlc: Path, job: Job, model: Onnx, subject: str) -> Placement:
    """Where the board itself ran every layer."""
    quantize = job.recipe.precision == "int8"
    windows = job.calibration[:PROFILED] if quantize else np.zeros((1, *_window(job)), np.float32)
    nodes = onnx.load(job.model).graph.node
    with board.ran(dlc, as_inputs(windows, model), subject, dsp=quantize) as ran:
        least = sum(node.op_type in UNMERGED for node in nodes)
        ran.profile.require(least, subject)
        ops = {diagview.plain(node.name): node.op_type for node in nodes}
        return ran.profile.placement(board.shell.name, ops, quantized=quantize)


def _window(job: Job) -> tuple[int, int]:
    return job.candidate.frontend.frames, job.candidate.frontend.bins


def _compiles() -> Ability:
    try:
        sdk = snpe.find()
    except Unsupported as error:
        return Ability("compile", False, str(error), f"correct ${' or $'.join(snpe.ROOTS)}")
    if sdk is None:
        lacks = f"neither {ROOTS} is set: no DLC is made, and placement is by documented rules"
        return Ability("compile", False, lacks, "export SNPE_ROOT=/path/to/your/snpe")
    return Ability("compile", True, f"{sdk.version} in ${sdk.variable}")


def _runs() -> Ability:
    remedy = f"attach an RB5, set $SNPE_ROOT, and export {VARIABLE}=adb:SERIAL (or ssh:user@host)"
    try:
        shell, sdk = attached(), snpe.find()
    except (Unsupported, InfraError) as error:
        return Ability("board", False, str(error), remedy)
    if shell is None:
        return Ability("board", False, "no RB5: latency and memory are not measured", remedy)
    if sdk is None:
        return Ability("board", False, f"{shell.name} is named, and no SDK that drives it", remedy)
    return Ability("board", True, shell.name)
