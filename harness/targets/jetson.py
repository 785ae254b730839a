"""NVIDIA Jetson Orin NX: TensorRT on the board, TensorRT-RTX as its proxy where there is none.

Both are given the same strongly typed ONNX. On the Jetson its own TensorRT builds, and the engine says what it became;
elsewhere TensorRT-RTX compiles for sm_86, a neighbour of Orin's sm_87, in an environment of its own, and outputs are
onnxruntime's. Nothing but the Jetson tells the time.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from harness.agent import trt as engines
from harness.boards import tegra
from harness.boards.jetson import JetsonBoard, OrtNumerics
from harness.cache import digest, sources
from harness.candidate import Candidate
from harness.errors import Unsupported
from harness.quantize import ptq, trt
from harness.recipe import Recipe
from harness.targets import toolchain, trt_engine, trt_inspector, trt_log, trt_provider, trt_versions
from harness.targets.base import (
    NOWHERE,
    Ability,
    Artifact,
    Board,
    Evidence,
    Job,
    Node,
    Placement,
    Progress,
    Sizes,
    Target,
    float_of,
)
from harness.targets.process import Child, Limits, run_child
from harness.targets.trt_engine import Graph, Heard

TOOLCHAIN, PACKAGE = "jetson", "tensorrt-rtx-cu13-bindings"
WORKERS = Path(__file__).with_name("workers")
QUANTIZER, BUILDER = WORKERS / "qdq_worker.py", WORKERS / "tensorrt_worker.py"
ANSWERING = WORKERS / "answering.py"
PROXY = "SM86"
LIMITS = Limits(seconds=1800, memory_mib=8192)
ON_DLA = {"*": "dla"}
READERS = (trt_engine, trt_inspector, trt_log, trt_provider, trt_versions)  # of what an engine became


class Jetson(Target):
    name = "jetson"
    title = "NVIDIA Jetson Orin NX by TensorRT; elsewhere by TensorRT-RTX for sm_86, its proxy"
    honours = frozenset({"op_target", "runtime"})

    def tools(self, recipe: Recipe) -> dict[str, str]:
        quantizer = {name: version(name) for name in ("onnx", "onnxruntime")}
        if not tegra.is_jetson():
            return {**quantizer, "tensorrt-rtx": toolchain.pins(TOOLCHAIN)[PACKAGE]}
        found = tegra.jetpack()
        return {**quantizer, "tensorrt": found.tensorrt, "l4t": found.l4t, "onnxruntime on the board": found.provider}

    def settings(self) -> dict[str, Any]:
        """What builds; on a Jetson its GPU and power mode as well, for tactics are chosen by their times."""
        workers = {
            path.stem: digest(path) for path in (QUANTIZER, ANSWERING, BUILDER, tegra.WORKER, Path(engines.__file__))
        }
        ours = {"quantizers": sources(ptq, trt), "readers": sources(*READERS)}
        board = {"sm": tegra.jetpack().sm, "power_mode": tegra.mode()} if tegra.is_jetson() else {"proxy": PROXY}
        return {**workers, **ours, **board}

    def provision(self, candidate: Candidate, say: Progress) -> None:
        if not tegra.is_jetson() and toolchain.installed(TOOLCHAIN) is None:
            toolchain.install(TOOLCHAIN, say)

    def abilities(self) -> tuple[Ability, ...]:
        numerics = Ability("emulate", True, f"onnxruntime {version('onnxruntime')} for outputs, no Jetson's arithmetic")
        if not tegra.is_jetson():
            lacks = Ability(
                "board", False, f"no Jetson: there is no {tegra.RELEASE}", "run voxgate on the Jetson itself"
            )
            return (toolchain.ability(TOOLCHAIN, "compile", PACKAGE), numerics, lacks)
        try:
            found = tegra.jetpack()
        except Unsupported as lack:
            lacks = Ability("board", False, "no TensorRT that can be used", str(lack))
            return (replace(lacks, what="compile"), lacks)
        said = f"TensorRT {found.tensorrt} on L4T {found.l4t}, sm_{found.sm}"
        return (Ability("compile", True, said), Ability("board", True, said))

    def check(self, candidate: Candidate, recipe: Recipe) -> None:
        subject = f"{candidate.name} {recipe.id}"
        if recipe.runtime == "litert":
            raise Unsupported(f"{subject}: TensorRT does not read .tflite; remove runtime, or use a target that does.")
        if recipe.op_target not in ({}, ON_DLA):
            raise Unsupported(
                f'{subject}: op_target of jetson is {{ "*" = "dla" }} or nothing; set it so, or remove it.'
            )
        if recipe.precision == "int8":
            ptq.check(recipe)
        if not tegra.is_jetson():
            _need_no_board(subject, recipe)
            toolchain.needed(TOOLCHAIN)
            return
        _check_board(subject, recipe, tegra.jetpack())

    def build(self, job: Job) -> Artifact:
        """Quantize and compile. The folder then holds the ONNX, and on a Jetson the engine made from it."""
        subject = f"{job.candidate.name} {job.recipe.id}"
        self._quantize(job, subject)
        graph = trt_engine.read_graph(job.folder / "model.onnx")
        if not tegra.is_jetson():
            placement = self._by_proxy(job, graph, subject)
            return self._artifact(job, job.folder / "model.onnx", placement, Evidence.HOST)
        if job.recipe.runtime == "onnxruntime":
            return self._by_provider(job, graph, subject)
        return self._on_board(job, graph, subject)

    def board(self, recipe: Recipe) -> Board:
        return JetsonBoard(tegra.jetpack()) if tegra.is_jetson() else OrtNumerics()

    def float_recipe(self, recipe: Recipe) -> Recipe:
        """fp16: what a Jetson computes in where nothing is quantized, and what int8 must beat."""
        return float_of(recipe, "fp16")

    def _quantize(self, job: Job, subject: str) -> None:
        np.save(job.folder / "calibration.npy", job.calibration, allow_pickle=False)
        request = {"source": str(job.model.resolve()), "recipe": job.recipe.model_dump(mode="json")}
        run_child(Child(Path(sys.executable), QUANTIZER, subject, {}, LIMITS), request, job.folder)
        (job.folder / "calibration.npy").unlink()

    def _by_proxy(self, job: Job, graph: Graph, subject: str) -> Placement:
        tools = toolchain.needed(TOOLCHAIN)
        request = _request(job.recipe, PROXY)
        made = toolchain.run_worker(tools, BUILDER, request, job.folder, subject=subject, limits=LIMITS)
        said_by = f"TensorRT-RTX {toolchain.pins(TOOLCHAIN)[PACKAGE]}"
        heard = Heard(Evidence.EMULATOR, f"{said_by} for sm_{PROXY[2:]}, a proxy of TensorRT on Orin NX")
        if made["refused"]:
            return _refused(made["refused"], graph, heard)
        (job.folder / "model.engine").unlink()  # of another GPU: nothing here or on a Jetson can load it
        layers = trt_log.read_log(job.folder / "stdout.log", subject, said_by)
        placed = trt_engine.placement(layers, graph, job.recipe.precision, heard, subject)
        newer = tuple(trt_versions.too_new(graph.ops, trt_versions.OLDEST))
        return Placement((*placed.nodes, *newer), placed.evidence, placed.partitions, placed.source)

    def _on_board(self, job: Job, graph: Graph, subject: str) -> Artifact:
        found = tegra.jetpack()
        made = run_child(Child(found.python, BUILDER, subject, {}, LIMITS), _request(job.recipe, ""), job.folder)
        source = f"TensorRT {found.tensorrt} on this Jetson (L4T {found.l4t}, sm_{found.sm})"
        if made["refused"]:
            placement = _refused(made["refused"], graph, Heard(Evidence.BOARD, source))
            return self._artifact(job, job.folder / "model.onnx", placement, Evidence.BOARD)
        layers = trt_inspector.read(job.folder / "inspector.json", subject)
        bare = self._artifact(job, job.folder / "model.engine", Placement((), Evidence.BOARD), Evidence.BOARD)
        share = _shares(JetsonBoard(found).job(bare, job.folder, what="profile")["profile"])
        heard = Heard(Evidence.BOARD, source, share, _left(made) if job.recipe.op_target else None)
        placement = trt_engine.placement(layers, graph, job.recipe.precision, heard, subject)
        return self._artifact(job, bare.file, placement, Evidence.BOARD, made["activations"])

    def _by_provider(self, job: Job, graph: Graph, subject: str) -> Artifact:
        found = tegra.jetpack()
        bare = self._artifact(job, job.folder / "model.onnx", Placement((), Evidence.BOARD), Evidence.BOARD)
        assigned = JetsonBoard(found).job(bare, job.folder, what="profile")["assigned"]
        source = f"onnxruntime {found.provider} with TensorRT {found.tensorrt} on this Jetson"
        return self._artifact(
            job, bare.file, trt_provider.placement(assigned, graph.ops, source, subject), Evidence.BOARD
        )

    def _artifact(
        self, job: Job, file: Path, placement: Placement, evidence: Evidence, activations: int | None = None
    ) -> Artifact:
        return Artifact(
            candidate=job.candidate.name,
            recipe=job.recipe,
            key=job.key,
            file=file,
            placement=placement,
            sizes=Sizes(file.stat().st_size, None, activations),
            evidence=evidence,
            tools=self.tools(job.recipe),
        )


def _request(recipe: Recipe, proxy: str) -> dict[str, Any]:
    return {"model": "model.onnx", "proxy": proxy, "dla": recipe.op_target == ON_DLA}


def _need_no_board(subject: str, recipe: Recipe) -> None:
    """Raise Unsupported for what no machine but a Jetson can do."""
    for key in ("runtime", "op_target"):
        if getattr(recipe, key):
            raise Unsupported(
                f"{subject}: {key} = {getattr(recipe, key)!r} can only be judged on a Jetson, and this machine is "
                f"none. Run voxgate there, or judge a recipe without {key} here."
            )


def _check_board(subject: str, recipe: Recipe, found: tegra.Jetpack) -> None:
    """Raise Unsupported for what this board's software cannot do."""
    own = trt_versions.parse(found.tensorrt)
    if own < trt_versions.OLDEST or own[0] > trt_versions.NEWEST:
        oldest = trt_versions.dotted(trt_versions.OLDEST)
        raise Unsupported(
            f"{subject}: this Jetson has TensorRT {found.tensorrt}, and {oldest} to {trt_versions.NEWEST} are "
            "supported. Flash JetPack 6 or newer."
        )
    if recipe.op_target and own in trt_versions.NO_DLA:
        raise Unsupported(f"{subject}: TensorRT {found.tensorrt} has no DLA; remove op_target, or use JetPack 6.")
    if recipe.runtime == "onnxruntime" and not found.provider:
        raise Unsupported(
            f'{subject}: runtime = "onnxruntime" needs onnxruntime with TensorrtExecutionProvider in {found.python}, '
            "which has none. Install NVIDIA's onnxruntime-gpu for this JetPack there, or remove runtime."
        )


def _refused(faults: list[dict[str, str]], graph: Graph, heard: Heard) -> Placement:
    """Nothing was built: the nodes that TensorRT refuses are found fallbacks, and the others run nowhere either."""
    reasons = {fault["node"]: fault for fault in faults}
    nodes = [
        Node(name, op, "unknown", NOWHERE, name in reasons, _why(reasons[name]) if name in reasons else "not built")
        for name, op in graph.ops.items()
    ]
    strange = [fault for name, fault in reasons.items() if name not in graph.ops]
    whole = [Node(fault["node"] or "the whole model", fault["op"] or "model", "unknown", NOWHERE, True, _why(fault))
             for fault in strange]  # fmt: skip
    return Placement((*whole, *nodes), heard.evidence, 0, heard.source)


def _why(fault: dict[str, str]) -> str:
    return f"TensorRT refuses it, and with it the model: {fault['reason'][:300]}"


def _left(made: dict[str, Any]) -> dict[str, str]:
    """Why each layer that was asked onto the DLA cannot run there, and what a build without GPU fallback says."""
    alone = f"; without the fallback TensorRT says: {str(made['strict'])[:200]}" if made["strict"] else ""
    return {each["layer"]: f"the DLA has no {each['type']} of this kind{alone}" for each in made["left"]}


def _shares(profile: dict[str, float]) -> dict[str, float]:
    total = sum(profile.values())
    return {name: ms / total for name, ms in profile.items()} if total else {}
