"""From float to the board, stage by stage: where the outputs get worse, the fault is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.diagnose.case import EMULATED, Case
from harness.diagnose.effect import Sample, evenly
from harness.diagnose.findings import EXPLAINS, TOUCHES, Cause, Stage
from harness.diagnose.probe import Variant
from harness.errors import VoxgateError
from harness.run import FLOAT
from harness.targets.base import Evidence, Features, Logits, Node
from harness.targets.registry import registry

ALIKE = 0.7  # correlation of two builds' errors above which they err in the same way
WHOLE = ("int", "uint", "qint", "quint")  # how integer dtypes begin


def examine(case: Case, calibration: Features) -> tuple[Stage, ...]:
    """The stages, with causes of conversion, placement and board added to the case."""
    converted = _float_path(case)
    here = _here(case, calibration) if case.recipe.method == "ptq" else None
    board = registry()[case.recipe.target].board(case.recipe)
    evidence = case.run.artifact(case.candidate, case.recipe).evidence
    rows = [_stage(case, "float ONNX", Evidence.HOST, case.sample.reference)]
    if converted is not None:
        rows.append(_stage(case, f"float path of {case.recipe.target}", evidence, converted))
    if case.recipe.method != "ptq":
        rows += _trained(case)
    if here is not None and case.recipe.calibrated:
        rows.append(_stage(case, "quantized by onnxruntime, in float arithmetic", Evidence.HOST, here))
    rows.append(_stage(case, f"{case.recipe.id} on {board.name}", evidence, case.tested))
    _placement(case, here)  # first: a float path realised in int8 is no conversion's fault
    if converted is not None and not case.sure():
        _conversion(case, converted, here)
    if case.recipe.calibrated and case.recipe.method == "ptq" and not case.sure():
        _board(case, here)
    return tuple(rows)


def _stage(case: Case, name: str, evidence: Evidence, logits: Logits) -> Stage:
    return Stage(name, evidence.value, case.sample.sqnr(logits), case.sample.accuracy(logits), len(case.sample))


def _float_path(case: Case) -> Logits | None:
    own = registry()[case.recipe.target].float_recipe(case.recipe)
    try:
        return case.run.infer(case.candidate, own, case.sample.windows)
    except VoxgateError as error:
        case.tell("conversion", f"float path of {case.recipe.target}", None, str(error))
        return None


def _trained(case: Case) -> list[Stage]:
    """The float that was trained as long: what it says otherwise than golden is training's, not quantization's."""
    tuned = FLOAT.model_copy(update={"name": "trained-float", "method": "tuned", "symmetric": case.recipe.symmetric})
    try:
        logits = case.run.infer(case.candidate, tuned, case.sample.windows)
    except VoxgateError as error:
        case.tell("precision", "the float trained as long", None, str(error))
        return []
    case.tell("precision", "the float trained as long, in place of the build", case.effect(logits))
    return [_stage(case, "float trained as long", Evidence.HOST, logits)]


def _here(case: Case, calibration: Features) -> Logits | None:
    """The candidate quantized by onnxruntime on this host, as arithmetic in float: no toolchain, no kernel."""
    recipe = case.here(case.recipe).model_copy(update={"runtime": "onnxruntime", "symmetric": False})
    variant = Variant(recipe, calibration)
    try:
        found = case.probe([variant], source=case.candidate.model)
    except VoxgateError as error:
        case.tell("board", "quantized by onnxruntime on this host", None, str(error))
        return None
    return found.outputs.get(0)


def _conversion(case: Case, converted: Logits, here: Logits | None) -> None:
    """Whether the target's float path says something else than the float model, and how."""
    far = float(np.abs(converted.astype(np.float64) - case.sample.reference).max())
    limit = case.candidate.budgets(case.recipe).parity
    good = case.sample.reference if case.recipe.precision != "int8" or here is None else here
    effect = case.effect(good)
    case.tell("conversion", "the float model in place of the converted one", effect, f"differ by up to {far:.3g}")
    spoiled = case.sample.noise(converted) / max(case.sample.noise(case.tested), 1e-12)
    if far <= limit or spoiled < TOUCHES:
        return
    what, fix = _how(case, converted)
    seen = f"its float path differs from the ONNX model by up to {far:.3g} logits (allowed {limit:g})"
    case.causes.append(Cause("conversion", what, effect, min(1.0, spoiled), fix, (seen,)))


def _how(case: Case, converted: Logits) -> tuple[str, str]:
    """What turns the converted model's outputs into the float model's, if anything does."""
    name = case.candidate.tflite.name if case.litert and case.candidate.tflite else "the converted model"
    own = registry()[case.recipe.target].float_recipe(case.recipe)
    few = case.sample.reduced(EMULATED)
    frames, bins = few.windows.shape[1:]
    turned = {
        "swapped axes: it reads frames as bins": few.windows.reshape(-1, bins, frames).transpose(0, 2, 1),
        "swapped axes: it reads bins as frames": few.windows.transpose(0, 2, 1).reshape(-1, frames, bins),
        "a turned axis: it reads frames backwards": few.windows[:, ::-1],
        "a turned axis: it reads bins backwards": few.windows[:, :, ::-1],
    }
    again = "convert model.onnx anew (litert-torch, static shapes, batch 1) and judge: pytest -k parity"
    usual = few.noise(converted[evenly(len(case.sample), EMULATED)])
    for what, windows in turned.items():
        if case.time_for(f"conversion, {what}"):
            logits = case.run.infer(case.candidate, own, np.ascontiguousarray(windows))
            case.tell("conversion", f"{name} fed for {what.partition(':')[0]}", None, f"SQNR {few.sqnr(logits):.1f} dB")
            if few.noise(logits) <= (1 - EXPLAINS) * usual:
                return f"{name} has {what}", f"mend the axes of the export, then {again}"
    right, meant = case.sample.accuracy(converted), case.sample.accuracy(case.sample.reference)
    if right >= 0.8 * meant:
        said = f"{name} is another model: it decides {right:.0f} % right by itself, the float model {meant:.0f} %"
        return said, f"export it from the same weights: {again}"
    return f"{name} computes something else than the float model ({right:.0f} % right, {meant:.0f} % float)", again


def _placement(case: Case, here: Logits | None) -> None:
    """Dtypes that were not asked for, and units that were."""
    artifact = case.run.artifact(case.candidate, case.recipe)
    narrow = [node for node in artifact.placement.nodes if _narrower(case, node)]
    if case.recipe.precision != "int8" and here is not None:
        alike = _alike(case.sample, case.tested, here)
        said = f"errors correlate by {alike:.2f} with those of int8"
        case.tell(
            "placement", "realised in int8 where float was asked for?", None, f"{len(narrow)} nodes say so; {said}"
        )
        mostly = 2 * len(narrow) >= len(artifact.placement.nodes)  # the toolchain's own word: no guess
        share = max(alike, EXPLAINS if mostly else TOUCHES if narrow else 0.0)
        if narrow or alike >= ALIKE:
            what = f"{len(narrow) or 'some'} nodes compute in int8 where {case.recipe.precision} was asked for"
            named = ", ".join(f"{node.op} {node.name} ({node.dtype})" for node in narrow[:4]) or "none by its own word"
            fix = f"voxgate placement {case.candidate.folder}; then switch quantization off in the toolchain"
            effect = case.effect(case.sample.reference)
            case.causes.append(Cause("placement", what, effect, share, fix, (named, said)))
    if case.recipe.op_target and case.time_for("placement without op_target"):
        free = case.recipe.model_copy(update={"op_target": {}})
        [logits] = replace(case, reproduced=False).outputs([(free, case.calibration)])
        if logits is not None:
            effect = case.effect(logits)
            case.tell("placement", "without op_target", effect)
            forced = ", ".join(f"{name} on {unit}" for name, unit in case.recipe.op_target.items())
            fix = "in model.toml: remove op_target from this recipe"
            case.causes.append(Cause("placement", f"op_target forces {forced}", effect, effect.removed, fix))


def _narrower(case: Case, node: Node) -> bool:
    return case.recipe.precision != "int8" and node.dtype.lower().startswith(WHOLE) and "64" not in node.dtype


def _alike(sample: Sample, one: Logits, other: Logits) -> float:
    """Correlation of two builds' errors against float."""
    a, b = ((logits.astype(np.float64) - sample.reference).ravel() for logits in (one, other))
    if not (np.isfinite(a).all() and np.isfinite(b).all() and a.any() and b.any()):
        return 0.0
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def _board(case: Case, here: Logits | None) -> None:
    """What the toolchain or the board loses that the same quantization on this host does not."""
    if case.litert:  # quantized by LiteRT from a file of its own, which may lose what the ONNX file does not
        return
    if here is None:
        case.reproduced = False
        return
    effect = case.effect(here)
    case.tell("board", "the same recipe quantized by onnxruntime on this host", effect)
    case.reproduced = effect.removed < EXPLAINS
    if not case.reproduced:
        name = registry()[case.recipe.target].board(case.recipe).name
        what = f"{name} or its toolchain loses what quantizing on this host does not"
        fix = f"build it with another version of the toolchain, and report {case.recipe.id} to its vendor"
        if case.recipe.target == "host":
            fix = "update onnxruntime (requirements/*.in), and report it to its makers"
        case.causes.append(Cause("board", what, effect, effect.removed, fix))
