"""A target whose toolchain can be made to err: how, is the name of the recipe.

``turned``: its converter feeds frames as bins. ``narrow``: it computes in int8 whatever is asked for. ``clipped``: its
board saturates the input of int8 models. Anything else: it does as asked.
"""

from __future__ import annotations

import shutil
from typing import ClassVar

import numpy as np
import onnx

from harness.boards.runtimes import open_model
from harness.candidate import Candidate
from harness.quantize import ptq
from harness.recipe import Recipe
from harness.targets.base import (
    Ability,
    Artifact,
    Board,
    Evidence,
    Features,
    Job,
    Logits,
    Node,
    Placement,
    Progress,
    Sizes,
    Target,
)

CLIP = 0.5  # of features that reach 5


class FaultyBoard(Board):
    name = "faulty board"
    evidence: ClassVar[Evidence] = Evidence.EMULATOR

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        fed = features
        if "turned" in artifact.recipe.name:
            fed = features.transpose(0, 2, 1).reshape(features.shape)
        if "clipped" in artifact.recipe.name and artifact.recipe.precision == "int8":
            fed = features.clip(-CLIP, CLIP)
        infer = open_model(artifact.file)
        return np.stack([infer(np.ascontiguousarray(window)) for window in fed])


class Faulty(Target):
    name = "faulty"
    title = "a toolchain that errs as it is told to"

    def tools(self, recipe: Recipe) -> dict[str, str]:
        return {"faultyc": "1"}

    def abilities(self) -> tuple[Ability, ...]:
        return (Ability("compile", True, "faultyc"),)

    def check(self, candidate: Candidate, recipe: Recipe) -> None:
        pass

    def build(self, job: Job) -> Artifact:
        file = job.folder / "model.onnx"
        narrow = "narrow" in job.recipe.name
        if narrow or job.recipe.precision == "int8":
            windows = job.calibration if len(job.calibration) else np.zeros((1, 49, 40), np.float32)
            ptq.quantize_onnx(job.model, file, windows, job.recipe)
        else:
            shutil.copyfile(job.model, file)
        dtype = "int8" if narrow or job.recipe.precision == "int8" else job.recipe.precision
        nodes = tuple(Node(n.name, n.op_type, dtype, "npu", False) for n in onnx.load(job.model).graph.node)
        return Artifact(
            candidate=job.candidate.name,
            recipe=job.recipe,
            key=job.key,
            file=file,
            placement=Placement(nodes, Evidence.STATIC, 1, "faultyc 1"),
            sizes=Sizes(file.stat().st_size),
            evidence=Evidence.EMULATOR,
            tools=self.tools(job.recipe),
        )

    def board(self, recipe: Recipe) -> Board:
        return FaultyBoard()
