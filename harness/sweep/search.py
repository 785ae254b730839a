"""Mixed precision found: which layers cost most in int8, left in float one after the other until the budgets hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.candidate import Candidate
from harness.errors import Unsupported, VoxgateError
from harness.fitting import conditions
from harness.recipe import Recipe
from harness.run import Run
from harness.score.keyword import sqnr_db
from harness.sweep.point import Point
from harness.targets.base import Features, Logits
from harness.targets.registry import registry

PROBE = 350  # windows of all conditions that sensitivities are measured on

Judge = Callable[[Recipe], Point]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What int8 costs in one layer alone, all others left in float."""

    layer: str
    sqnr: float  # dB of the logits
    flips: float  # percent of decisions that change
    n: int  # windows


@dataclass(frozen=True, slots=True)
class Search:
    """Layers from the most to the least sensitive, what was judged on the way, and the point that holds, if any."""

    base: Recipe
    sensitivities: tuple[Sensitivity, ...] = ()
    points: tuple[Point, ...] = ()
    lack: str = ""

    @property
    def found(self) -> Point | None:
        return next((point for point in self.points if point.passes), None)

    def record(self) -> dict[str, Any]:
        return {
            "base": self.base.id,
            "sensitivities": [asdict(each) for each in self.sensitivities],
            "tried": [point.recipe.id for point in self.points],
            "keep_float": list(self.found.recipe.keep_float) if self.found else None,
            "lack": self.lack,
        }


def search(run: Run, candidate: Candidate, base: Recipe, judge: Judge) -> Search:
    """Greedy promotion: each step leaves the next most sensitive layer in float too, until ``judge`` passes.

    A step whose logits on the probe miss the overall SQNR budget is not judged. A target that keeps no layer in
    float, or one layer only, is a search that says so.
    """
    try:
        layers = registry()[base.target].layers(candidate, base)
        if len(layers) < 2:
            raise Unsupported(f"{candidate.name} {base.id}: the model has {len(layers)} named layer(s) with weights.")
        found = sensitivities(run, candidate, base, layers)
    except VoxgateError as error:
        return Search(base, lack=str(error))
    order = [each.layer for each in found]
    least = candidate.budgets(base).sqnr.overall
    points: list[Point] = []
    for count in range(1, len(order)):
        recipe = mixed(base, order[:count])
        run.say(f"{candidate.name} {recipe.id}: {count} of {len(order)} layers in float")
        try:
            if least is not None and _probe(run, candidate, recipe).sqnr < least:
                continue
        except VoxgateError as error:
            points.append(Point(recipe, "", lack=str(error)))
            continue
        points.append(judge(recipe))
        if points[-1].passes:
            break
    return Search(base, tuple(found), tuple(points), "" if points else "no step keeps the SQNR budget on the probe")


def sensitivities(run: Run, candidate: Candidate, base: Recipe, layers: tuple[str, ...]) -> list[Sensitivity]:
    """Every layer quantized alone, the costliest first."""
    found = []
    for number, layer in enumerate(layers):
        run.say(f"{candidate.name} {base.id}: sensitivity of layer {number + 1} of {len(layers)}, {layer}")
        others = tuple(name for name in layers if name != layer)
        alone = base.model_copy(update={"name": f"{base.name}-only-{number}", "keep_float": others})
        found.append(_probe(run, candidate, alone, layer))
    return sorted(found, key=lambda each: each.sqnr)


def mixed(base: Recipe, layers: list[str]) -> Recipe:
    """The recipe with these layers left in float."""
    return base.model_copy(update={"name": f"{base.name}-mixed-{len(layers)}", "keep_float": tuple(layers)})


def _probe(run: Run, candidate: Candidate, recipe: Recipe, layer: str = "") -> Sensitivity:
    windows, golden = probe(run, candidate)
    tested = run.infer(candidate, recipe, windows)
    flips = 100 * float(np.mean(run.decided(candidate, golden) != run.decided(candidate, tested)))
    return Sensitivity(layer, sqnr_db(golden, tested), flips, len(windows))


def probe(run: Run, candidate: Candidate) -> tuple[Features, Logits]:
    """At most PROBE test windows, spread evenly over all conditions, with their golden logits."""
    golden = run.golden(candidate)
    names = conditions(candidate)
    windows = np.concatenate([run.features(candidate, name) for name in names])
    logits = np.concatenate([golden[name].logits for name in names])
    step = max(1, -(-len(windows) // PROBE))
    return windows[::step], logits[::step]
