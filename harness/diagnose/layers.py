"""Which layers lose it: each quantized alone, then those that lose most left in float."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.diagnose.case import Case
from harness.diagnose.effect import Effect
from harness.diagnose.findings import EXPLAINS, TOUCHES, Cause
from harness.diagnose.probe import Probe, Variant
from harness.errors import VoxgateError
from harness.onnxfile import makers_of
from harness.targets.base import LayerError
from harness.targets.registry import registry

TAPS = 16  # windows that look into every layer
ANALYSED = 4  # windows of a toolchain's own analysis, which takes seconds for each
MOST_GROUPS = 24  # layers are tried in so many groups at most, neighbours together
BULK = 0.8  # of the noise of layers quantized alone: those that make it up are suspects
EVERYWHERE = 0.5  # of all layers: where more are suspects and nothing sets them apart, 8 bits are too few
UNEQUAL = 20.0  # times a narrow channel's range: four of its eight bits are gone; a healthy DS-CNN has 2 to 10
FEW = 96  # renderings each layer is tried alone on
NAMED = 4  # in one sentence; the evidence names all

Group = tuple[str, ...]  # names of layers


def examine(case: Case) -> None:
    """The cause "layers", or "precision" where all lose alike, added to the case."""
    calibration = case.calibration
    base = case.here(case.recipe)
    try:
        first = case.probe([Variant(base, calibration)], taps=TAPS)
    except VoxgateError as error:
        case.tell("layers", "each layer quantized alone", None, str(error))
        return
    if 0 not in first.outputs:
        case.tell("layers", "each layer quantized alone", None, first.errors.get(0, "not tried"))
        return
    toolchain = analysed(case, first)
    groups = grouped([str(layer["name"]) for layer in first.layers])
    names = [name for group in groups for name in group]
    few = case.sample.reduced(FEW)
    alone = case.probe([Variant(base, calibration, _others(names, group)) for group in groups], windows=few.windows)
    noise = {group: few.noise(alone.outputs[i]) for i, group in enumerate(groups) if i in alone.outputs}
    if len(noise) < len(groups):
        case.left_out.append(f"{len(groups) - len(noise)} of {len(groups)} groups of layers alone: no time, or refused")
    suspects = suspected(noise)
    if not suspects:
        return
    _confirm(case, first, noise, suspects, toolchain)


def analysed(case: Case, first: Probe | None = None) -> dict[str, LayerError]:
    """What the target's own tool says of the layers, by their names; told as an experiment of its own."""
    if not case.time_for("layers by the toolchain's own analysis"):
        return {}
    try:
        told = case.analysed(case.sample.reduced(ANALYSED).windows)
    except VoxgateError as error:
        case.tell("layers", f"{case.recipe.target}'s own analysis of its layers", None, str(error))
        return {}
    homes = {part: str(layer["name"]) for layer in first.layers for part in layer["parts"]} if first else {}
    makers = makers_of(case.candidate.model) if told else {}
    found: dict[str, LayerError] = {}
    for tensor, each in told.items():
        node = makers.get(tensor)
        home = homes.get(node, node) if node else None
        if home is not None:  # the last of a layer's tensors, after its activation, stands for it
            found[home] = each
    worst = sorted(found, key=lambda name: found[name].single_db)[:NAMED]
    if worst:
        note = "worst alone: " + "; ".join(f"{name} {found[name].single_db:.1f} dB" for name in worst)
        case.tell("layers", f"{case.recipe.target}'s own analysis, {ANALYSED} windows", None, note)
    return found


def _decibels(error: LayerError) -> str:
    return f"{error.entire_db:.1f} dB by the toolchain's own analysis, {error.single_db:.1f} dB by this layer alone"


def grouped(names: Sequence[str], most: int = MOST_GROUPS) -> list[Group]:
    """Layers one by one, or neighbours together where there are more than ``most``."""
    parts = np.array_split(np.arange(len(names)), min(most, len(names)))
    return [tuple(names[i] for i in part) for part in parts]


def suspected(noise: dict[Group, float]) -> list[Group]:
    """The noisiest groups that together make up BULK of the noise, noisiest first."""
    ordered = sorted(noise, key=lambda group: -noise[group])
    if any(math.isinf(value) for value in noise.values()):
        return [group for group in ordered if math.isinf(noise[group])]
    total, sum_so_far, found = sum(noise.values()), 0.0, []
    for group in ordered:
        if total == 0 or sum_so_far >= BULK * total:
            break
        found.append(group)
        sum_so_far += noise[group]
    return found


def _others(names: Sequence[str], group: Group) -> tuple[str, ...]:
    return tuple(name for name in names if name not in group)


def _confirm(
    case: Case, first: Probe, noise: dict[Group, float], suspects: list[Group], toolchain: Mapping[str, LayerError]
) -> None:
    """Leave the suspects in float, one by one and together; more of them until what is left is another matter."""
    base, before = case.here(case.recipe), first.outputs[0]
    ordered = sorted(noise, key=lambda group: -noise[group])
    sets = [ordered[: count + 1] for count in range(len(suspects) - 1, max(len(suspects), len(ordered) - 1))]
    tried = [[group] for group in suspects[:3]] + sets
    kept = [tuple(name for group in groups for name in group) for groups in tried]
    found = case.probe([Variant(base, case.calibration, floats) for floats in kept])
    effects = {i: case.effect(logits, before) for i, logits in found.outputs.items()}
    for i in sorted(effects)[: len(suspects[:3]) + 1]:
        case.tell("layers", f"{_listed(kept[i])} left in float", effects[i])
    together = [i for i in sorted(effects) if i >= len(suspects[:3])]
    if not together:
        return
    chosen = next(
        (i for i in together if effects[i].removed >= EXPLAINS), max(together, key=lambda i: effects[i].removed)
    )
    if effects[chosen].removed >= TOUCHES:
        cause = _cause(case, first, noise, kept[chosen], effects[chosen])
        said = tuple(f"output of {name}: {_decibels(toolchain[name])}" for name in kept[chosen] if name in toolchain)
        case.causes.append(replace(cause, evidence=(*cause.evidence, *said)))


def _cause(case: Case, first: Probe, noise: dict[Group, float], names: Group, effect: Effect) -> Cause:
    total = len(first.layers)
    spread = {name: first.spreads[name] for name in names if name in first.spreads}
    unequal = [name for name, ratio in spread.items() if ratio >= UNEQUAL]
    signal = float(np.square(case.sample.reduced(FEW).reference.astype(np.float64)).sum())
    alone = tuple(
        f"{_listed(group)} alone in int8: {10 * math.log10(signal / value):.1f} dB"
        for group, value in sorted(noise.items(), key=lambda pair: -pair[1])
        if value > 0 and math.isfinite(value)
    )
    tapped = tuple(f"output of {name}: {db:.1f} dB against float" for name, db in first.sqnr.items() if name in names)
    if len(names) > EVERYWHERE * total and not unequal:
        what = f"8 bits are too few for most of its layers alike ({len(names)} of {total})"
        return Cause("precision", what, effect, effect.removed, _wider(case), (*alone, *tapped))
    what = f"{_listed(names)} ({len(names)} of {total} layers)"
    if unequal:
        worst = max(unequal, key=lambda name: spread[name])
        what += f"; channels of {worst} differ: the widest has {spread[worst]:.0f} times a narrow one's range"
    fix = _mend(case, names, bool(unequal))
    return Cause("layers", what, effect, effect.removed, fix, (*alone, *tapped), names)


def _wider(case: Case) -> str:
    where = f"in model.toml, [[recipe]] {case.recipe.id}:"
    if "activation_bits" in registry()[case.recipe.target].honours and case.recipe.activation_bits == 8:
        return f"{where} activation_bits = 16"
    fp16 = case.recipe.model_copy(update={"precision": "fp16"})
    try:
        registry()[case.recipe.target].check(case.candidate, fp16)
    except VoxgateError:
        trains = "method" in registry()[case.recipe.target].honours and case.candidate.training is not None
        return f'{where} method = "qat", then voxgate train' if trains else f'{where} precision = "fp32"'
    return f'{where} precision = "fp16"'


def _mend(case: Case, names: Group, unequal: bool) -> str:
    if "keep_float" in registry()[case.recipe.target].honours:
        listed = ", ".join(f'"{name}"' for name in names)
        wider = f"in model.toml, [[recipe]] {case.recipe.id}: keep_float = [{listed}]"
    else:
        wider = _wider(case)
    if unequal:
        return f"equalize the channels of these layers before the export (cross-layer equalization), or {wider}"
    return wider


def _listed(names: Sequence[str]) -> str:
    named = ", ".join(names[:NAMED])
    return named if len(names) <= NAMED else f"{named} and {len(names) - NAMED} more"
