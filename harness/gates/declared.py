"""What a candidate asks to be judged: every gate and slice that model.toml sets a limit for."""

from __future__ import annotations

from collections.abc import Sequence

from harness.budgets import Budgets, LatencyBudget
from harness.candidate import Candidate
from harness.gates import frontend
from harness.gates.accuracy import COMMAND, gate_name, limits_of
from harness.gates.artifact import DEVICE
from harness.gates.latency import QUANTILES
from harness.recipe import Recipe
from harness.row import SINCE, Row
from harness.score.slices import Slice

SIZES = {"file": "file_kib", "weights": "weights_kib", "activations": "activations_kib", "rss": "rss_mib"}
MOST_NAMED = 3


def unjudged(
    rows: Sequence[Row], candidate: Candidate, recipe: Recipe, margins: Sequence[Slice], *, released: bool
) -> str:
    """What a build's rows lack of what its limits ask for, in words; empty where it was judged whole.

    A gate that says what it lacks (UNSUPPORTED, not measured) has answered for all of its slices.
    """
    lacking = {row.gate for row in rows if row.value is None}
    judged = {(row.gate, row.slice) for row in rows}
    wanted = declared(candidate, recipe, margins, released=released) - judged
    missing = sorted(f"{gate} {part}" for gate, part in wanted if gate not in lacking)
    # A build hears one stream of a kind at the most, so as many kinds have figures as it has streams.
    streams = sum(stream.heard_by(recipe.target) for stream in candidate.streams)
    if not lacking and len({row.speech for row in rows if row.speech}) < streams:
        missing.append(f"figures of all of its {streams} streams")
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    return f"no {', '.join(missing[:MOST_NAMED])}{more}" if missing else ""


def limited(budgets: Budgets, gate: str) -> bool:
    """Whether there is any limit for a gate named after its budget."""
    found = getattr(budgets, gate)
    return found is not None and (not isinstance(found, LatencyBudget) or found != LatencyBudget())


def declared(candidate: Candidate, recipe: Recipe, margins: Sequence[Slice], *, released: bool) -> set[tuple[str, str]]:
    """``(gate, slice)`` of every row a whole run of one build leaves; without cells and float parity.

    ``released`` tells whether the build has a baseline, without which nothing is compared with one.
    """
    budgets = candidate.budgets(recipe)
    found = {("reset" if candidate.task == "wakeword" else "sanity", "overall"), ("placement", "fallback")}
    metrics = ("drop", "flips", "sqnr", *(SINCE if released else ()))
    if candidate.task == "command":
        metrics = (*metrics, *COMMAND)
    for metric in metrics:
        limits = limits_of(budgets, metric)
        found |= {(gate_name(metric), part.id) for part in margins if limits.limit(part.id, part.kind) is not None}
    for what, budget in (("inference", budgets.latency_ms), ("end to end", budgets.end_to_end_ms)):
        found |= {("latency", f"{what} {name}") for name in QUANTILES if getattr(budget, name) is not None}
    if budgets.slowdown is not None:
        found.add(("latency", "inference over float, p50"))
    if budgets.frontend is not None:
        found.add((frontend.GATE, frontend.PART))
    if budgets.layers is not None:
        found.add(("placement", "layers"))
    if budgets.device_mib is not None:
        found.add(("footprint", DEVICE))
    if budgets.partitions is not None:
        found.add(("placement", "partitions"))
    return found | {("footprint", part) for part, key in SIZES.items() if getattr(budgets, key) is not None}
