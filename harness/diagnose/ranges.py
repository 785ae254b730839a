"""Are the quantization ranges or the recipe's other settings at fault? Each is changed alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.diagnose.case import Case
from harness.diagnose.effect import Effect, evenly
from harness.diagnose.findings import TOUCHES, Cause, Kind
from harness.errors import VoxgateError
from harness.fitting import conditions
from harness.recipe import Recipe
from harness.targets.base import Features
from harness.targets.registry import registry

CEILING = 200  # clips of the failing slice that stand for a perfect calibration
MORE = 4  # times as many clips
NEARLY = 0.9  # of what the best calibration removes: as good as it


@dataclass(frozen=True, slots=True)
class Change:
    """One thing changed: in what it is called, its recipe and windows, and the edit that makes it so."""

    kind: Kind
    name: str
    recipe: Recipe
    windows: Features
    edit: str = ""  # empty: cannot be had by an edit, it only tells what could be gained


def examine(case: Case) -> None:
    """Causes of calibration and precision added to the case."""
    changes = [*_calibrations(case), *_settings(case)]
    outputs = case.outputs([(change.recipe, change.windows) for change in changes])
    effects: list[tuple[Change, Effect]] = []
    for change, logits in zip(changes, outputs, strict=True):
        if logits is None:
            case.left_out.append(f"{change.name}: could not be built, or no time was left")
            continue
        effect = case.sample.effect(_before(case), logits)
        case.tell(change.kind, change.name, effect)
        effects.append((change, effect))
    for kind in ("calibration", "precision"):
        own = [pair for pair in effects if pair[0].kind == kind]
        if own and max(effect.removed for _, effect in own) >= TOUCHES:
            case.causes.append(_calibration(case, own) if kind == "calibration" else _precision(case, own))


def _before(case: Case) -> Any:
    """What changes are held against: the build itself, by the same means as the changes are tried."""
    if not case.reproduced:
        return case.tested
    [logits] = case.outputs([(case.recipe, case.calibration)])
    return case.tested if logits is None else logits


def _calibrations(case: Case) -> list[Change]:
    recipe, run, candidate = case.recipe, case.run, case.candidate
    wanted = recipe.calibration
    ceiling = case.sample.windows[evenly(len(case.sample), CEILING)]
    found = [Change("calibration", f"calibrated on {case.part} itself", recipe, ceiling)]
    pool = sum(clip.split == "calibration" for clip in run.corpus(candidate).clips)
    edits: list[tuple[str, dict[str, Any]]] = []
    more = min(max(MORE * wanted.clips, CEILING), pool)
    if more > min(wanted.clips, pool):
        edits.append((f"{more} clips", {"clips": more}))
    judged = (case.part.condition,) if case.part.condition else tuple(conditions(candidate))
    if set(judged) - set(wanted.conditions):
        named = judged[0] if len(judged) == 1 else judged
        edits.append((f"through {', '.join(judged)}", {"condition": named}))
    if wanted.algorithm != "minmax":
        edits.append(("by minmax", {"algorithm": "minmax"}))
    for name, edit in edits:
        other = recipe.model_copy(update={"calibration": wanted.model_copy(update=edit)})
        windows = run.calibration(candidate, other).features
        found.append(Change("calibration", f"calibrated {name}", other, windows, _toml(other, edit)))
    return found


def _settings(case: Case) -> list[Change]:
    recipe = case.recipe
    edits: list[dict[str, Any]] = []
    if not recipe.per_channel:
        edits.append({"per_channel": True})
    if recipe.symmetric:
        edits.append({"symmetric": False})
    found = []
    for edit in edits:
        other = recipe.model_copy(update=edit)
        try:
            registry()[recipe.target].check(case.candidate, other)
        except VoxgateError as lack:
            case.tell("precision", _said(edit), None, str(lack))
            continue
        found.append(Change("precision", _said(edit), other, case.calibration, f"{_where(recipe)} {_said(edit)}"))
    return found


def _calibration(case: Case, own: list[tuple[Change, Effect]]) -> Cause:
    best = max(effect.removed for _, effect in own)
    ready = [pair for pair in own if pair[0].edit and pair[1].removed >= NEARLY * best]
    change, effect = ready[0] if ready else max(own, key=lambda pair: pair[1].removed)
    doubts = (*case.run.calibration(case.candidate, case.recipe).warnings, *_coverage(case))
    wanted = case.recipe.calibration
    what = f"{min(wanted.clips, len(case.calibration))} clips by {wanted.algorithm} set poor ranges"
    if doubts:
        what = f"its clips set poor ranges: {doubts[0]}"
    elif "by minmax" in change.name:
        what = f"{wanted.algorithm} clips what {case.part} holds"
    corpus = case.candidate.head.corpus
    fix = change.edit or (
        f"give corpora/{corpus} calibration clips like those of {case.part} (split = calibration in its manifest), "
        f"then: voxgate calibrate {case.candidate.folder}"
    )
    return Cause("calibration", what, effect, effect.removed, fix, (change.name, *doubts))


def _precision(case: Case, own: list[tuple[Change, Effect]]) -> Cause:
    change, effect = max(own, key=lambda pair: pair[1].removed)
    coarse = {
        "per_channel = true": "one scale for all channels of a weight (per_channel = false)",
        "symmetric = false": "symmetric activations: half their levels are never used after a Relu (symmetric = true)",
    }
    return Cause("precision", coarse[change.name], effect, effect.removed, change.edit)


def _coverage(case: Case) -> tuple[str, ...]:
    return case.run.coverage(case.candidate, case.recipe).doubts


def _said(edit: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {str(value).lower()}" for key, value in edit.items())


def _where(recipe: Recipe) -> str:
    return f"in model.toml, [[recipe]] {recipe.id}:"


def _toml(recipe: Recipe, edit: dict[str, Any]) -> str:
    def value(each: Any) -> str:
        if isinstance(each, tuple):
            return f"[{', '.join(map(value, each))}]"
        return f'"{each}"' if isinstance(each, str) else str(each)

    inner = ", ".join(f"{key} = {value(each)}" for key, each in edit.items())
    return f"{_where(recipe)} calibration = {{ {inner} }}"
