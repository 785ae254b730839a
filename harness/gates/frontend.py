"""The front end's gate: a board that computes other features is at fault itself, whatever the model is worth."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.gates.base import Build
from harness.row import Row
from harness.score.frontend import Parity
from harness.targets.base import Evidence
from harness.verdict import Outcome

GATE = "frontend"
PART = "bin by bin"


def judge(build: Build, measured: tuple[Parity, Evidence, str]) -> Row:
    """RMS difference of the worst bin between host and board, in units of the features, against its budget."""
    found, evidence, source = measured
    build = replace(build, evidence=evidence.value, source=source)
    limit = float(build.candidate.budgets(build.recipe).frontend or 0)
    good = found.worst <= limit
    if found.rms is None:
        text = f"a front end failure, not the model's: {found.cause}"
    else:
        worst = int(found.rms.argmax())
        text = f"bin {worst} of {len(found.rms)} differs most, by {found.worst:.3g} RMS, limit at most {limit:g}"
        text = text if good else f"a front end failure, not the model's: {text}; {found.cause}"
    return build.row(
        GATE,
        PART,
        value=found.worst if math.isfinite(found.worst) else None,
        unit="features",
        limit=limit,
        low=None,
        high=None,
        n=found.frames,
        clusters=None,
        outcome=Outcome.PASS if good else Outcome.FAIL,
        detail=f"{text}, n={found.frames} frames",
    )
