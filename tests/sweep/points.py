"""Points with figures of their own, for what is chosen among them."""

from __future__ import annotations

from typing import Any

from harness.recipe import Recipe
from harness.row import Row
from harness.sweep.point import Point
from harness.targets.base import Sizes
from harness.verdict import Outcome

PATH = "rk3588"


def row(gate: str, part: str, value: float, **figures: Any) -> Row:
    given: dict[str, Any] = {"low": value, "high": value, "limit": 4.0, "outcome": Outcome.PASS, "n": 900, **figures}
    return Row(
        candidate="small",
        target="rk3588",
        recipe="any",
        gate=gate,
        slice=part,
        value=value,
        unit="points",
        clusters=30,
        evidence="emulator",
        detail=f"{gate} on {part} is {value:g}",
        **given,
    )


def point(
    name: str,
    *,
    drop: float = 0.0,
    bound: float = 1.0,
    db: float = 30.0,
    kib: float = 100.0,
    times: float | None = None,
    outcome: Outcome = Outcome.PASS,
    **recipe: Any,
) -> Point:
    """A judged build of recipe ``name``; ``outcome`` is that of its accuracy."""
    fields = {"target": "rk3588", "name": name, "precision": "int8", **recipe}
    rows = [
        row("sanity", "overall", 0.0),
        row("placement", "fallback", 0.0),
        row("accuracy", "overall", 0.0),
        row("accuracy", "accent=ja", drop, low=drop - 0.5, high=bound, outcome=outcome),
        row("accuracy", "accent=ja,condition=clean", 9.0, screened=True),
        row("sqnr", "overall", db),
    ]
    if times is not None:
        rows.append(row("latency", "inference over float, p50", times))
    return Point(Recipe.model_validate(fields), PATH, tuple(rows), Sizes(round(kib * 1024)))
