"""What a candidate asks to be judged: every gate and slice that model.toml sets a limit for."""

from __future__ import annotations

from collections.abc import Iterable

from harness.candidate import Candidate, Recipe
from harness.gates.accuracy import gate_name
from harness.gates.latency import QUANTILES
from harness.score.slices import Slice

SIZES = {"file": "file_kib", "weights": "weights_kib", "activations": "activations_kib", "rss": "rss_mib"}


def declared(candidate: Candidate, recipe: Recipe, margins: Iterable[Slice], *, released: bool) -> set[tuple[str, str]]:
    """``(gate, slice)`` of every row a whole run of one build leaves; without cells and float parity.

    ``released`` tells whether the build has a baseline, without which nothing is compared with one.
    """
    budgets = candidate.budgets(recipe)
    found = {("sanity", "overall"), ("placement", "fallback")}
    metrics = ("drop", "flips", "sqnr", *(("regression", "drift") if released else ()))
    parts = list(margins)
    for metric in metrics:
        limits = getattr(budgets, metric)
        found |= {(gate_name(metric), part.id) for part in parts if limits.limit(part.id, part.kind) is not None}
    for what, budget in (("inference", budgets.latency_ms), ("end to end", budgets.end_to_end_ms)):
        found |= {("latency", f"{what} {name}") for name in QUANTILES if getattr(budget, name) is not None}
    if budgets.slowdown is not None:
        found.add(("latency", "inference over float, p50"))
    if budgets.layers is not None:
        found.add(("placement", "layers"))
    return found | {("footprint", part) for part, key in SIZES.items() if getattr(budgets, key) is not None}
