"""Gates on what the toolchain made: float parity, placement, layer count, sizes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from harness.candidate import Candidate
from harness.errors import NotMeasured
from harness.gates.base import Build
from harness.row import Row
from harness.targets.base import NOWHERE, Artifact, Logits, Node, Profile
from harness.targets.told import DeviceMemory
from harness.verdict import Outcome

DEVICE = "device memory"  # the slice of its row
MOST_NAMED = 4  # nodes named in one message; the rest are in the placement table


def parity(build: Build, golden: Logits, converted: Logits) -> Row:
    """Largest |logit difference| between the float model and the target's own float path."""
    limit = build.candidate.budgets(build.recipe).parity
    far = float(np.max(np.abs(golden.astype(np.float64) - converted)))
    good = bool(np.isfinite(far)) and far <= limit
    return build.row(
        "conversion",
        "float parity",
        value=far,
        unit="logits",
        limit=limit,
        low=None,
        high=None,
        n=len(golden),
        clusters=None,
        outcome=Outcome.PASS if good else Outcome.FAIL,
        detail=f"its float path differs from the ONNX model by up to {far:.3g} logits, limit at most {limit:g}",
    )


def placement(build: Build, artifact: Artifact) -> Row:
    """Nodes off the target's unit, or wider than asked for, that the allow-list does not cover."""
    target = build.recipe.target
    found = [node for node in artifact.placement.fallbacks if not allowed(build.candidate, target, node)]
    mend = (
        "the toolchain builds no model with it: change the model"
        if any(node.where == NOWHERE for node in found)
        else "to accept one, add an [[allow]] with its reason to model.toml"
    )
    named = "; ".join(_node(node) for node in found[:MOST_NAMED])
    rest = f"; and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    units = Counter(node.where for node in artifact.placement.nodes)
    spread = ", ".join(f"{count} on {unit}" for unit, count in sorted(units.items()))
    return _placed(build, artifact).row(
        "placement",
        "fallback",
        value=float(len(found)),
        unit="nodes",
        limit=0.0,
        low=None,
        high=None,
        n=len(artifact.placement.nodes),
        clusters=None,
        outcome=Outcome.FAIL if found else Outcome.PASS,
        detail=f"falls back: {named}{rest}; {mend}" if found else spread,
    )


def allowed(candidate: Candidate, target: str, node: Node) -> bool:
    """Whether an ``[[allow]]`` accepts this fallback; none accepts a node that the toolchain refuses to build."""
    return node.where != NOWHERE and any(allow.covers(target, node.op, node.name) for allow in candidate.allow)


def _placed(build: Build, artifact: Artifact) -> Build:
    """The build with the evidence of its placement, which may differ from that of its outputs."""
    return replace(build, evidence=artifact.placement.evidence.value, source=artifact.placement.source)


def _node(node: Node) -> str:
    return f"{node.op} {node.name} on {node.where} as {node.dtype} ({node.reason})"


def layers(build: Build, artifact: Artifact) -> Row:
    """Layer count against its budget: an exploded graph runs slowly without any fallback."""
    limit = float(build.candidate.budgets(build.recipe).layers or 0)
    count = len(artifact.placement.nodes)
    return _at_most(_placed(build, artifact), "placement", "layers", count, limit, "layers", count)


def partitions(build: Build, artifact: Artifact) -> Row:
    """Pieces the graph falls into: nodes that each are allowed off the accelerator may cut it in the middle.

    Raises NotMeasured where the toolchain does not tell.
    """
    limit = float(build.candidate.budgets(build.recipe).partitions or 0)
    placed = artifact.placement
    if placed.partitions is None:
        raise NotMeasured(
            f"partitions of {build.candidate.name} on {build.recipe.id}: not measured: "
            f"{placed.source or 'its toolchain'} does not tell; remove partitions from its budgets, or limit layers."
        )
    row = _at_most(_placed(build, artifact), "placement", "partitions", placed.partitions, limit, "partitions", 1)
    off = Counter(f"{node.op} on {node.where}" for node in placed.fallbacks)
    named = ", ".join(f"{count} {what}" for what, count in off.most_common(MOST_NAMED))
    return replace(row, detail=f"{row.detail}; off the target's unit: {named or 'nothing'}")


def cpu_share(build: Build, profile: Profile) -> Row:
    """Percent of one inference's time that the CPU takes: one node there may outweigh all the others."""
    limit = float(build.candidate.budgets(build.recipe).cpu_share or 0)
    share = profile.share("cpu")
    slowest = sorted(profile.ops, key=lambda op: op.us.get("cpu", 0.0), reverse=True)
    named = ", ".join(f"{op.op} {op.us['cpu']:.0f} us" for op in slowest[:MOST_NAMED] if op.us.get("cpu", 0.0) > 0)
    row = _at_most(
        replace(build, evidence=profile.evidence.value, source=profile.source),
        "placement",
        "cpu time share",
        share,
        limit,
        "%",
        sum(op.calls for op in profile.ops),
    )
    return replace(row, detail=f"{row.detail}; on the CPU: {named or 'nothing'}")


def footprint(build: Build, part: str, size: int) -> Row:
    """``size`` bytes of ``file``, ``weights`` or ``activations`` in KiB, or of ``rss`` in MiB, against its budget."""
    budgets = build.candidate.budgets(build.recipe)
    if part == "rss":
        return _at_most(build, "footprint", part, size / 2**20, float(budgets.rss_mib or 0), "MiB", 1)
    limit = float(getattr(budgets, f"{part}_kib"))
    return _at_most(replace(build, evidence="static", source=""), "footprint", part, size / 1024, limit, "KiB", 1)


def device_memory(build: Build, memory: DeviceMemory) -> Row:
    """MiB of the accelerator's memory against its budget, by the word of board or compiler."""
    limit = float(build.candidate.budgets(build.recipe).device_mib or 0)
    told = replace(build, evidence=memory.evidence.value, source=memory.source)
    row = _at_most(told, "footprint", DEVICE, memory.bytes / 2**20, limit, "MiB", 1)
    held = ", ".join(f"{part} {size / 2**20:.3g}" for part, size in memory.parts.items())
    return replace(row, detail=f"{row.detail}; {held} MiB" if held else row.detail)


def _at_most(build: Build, gate: str, part: str, value: float, limit: float, unit: str, n: int) -> Row:
    return build.row(
        gate,
        part,
        value=float(value),
        unit=unit,
        limit=float(limit),
        low=None,
        high=None,
        n=n,
        clusters=None,
        outcome=Outcome.PASS if value <= limit else Outcome.FAIL,
        detail=f"{part} {value:.5g} {unit}, limit at most {limit:g} {unit}",
    )
