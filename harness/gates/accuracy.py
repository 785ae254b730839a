"""Accuracy gates: paired drop, flips and SQNR against golden, and absolute floors.

Margins must PASS by non-inferiority; cells are screened for shown harm. Each function judges all
slices of its gate at once, because Holm's correction is over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from harness.budgets import Budgets, Floor, Since
from harness.gates.base import Build
from harness.interval import Estimate
from harness.row import Row
from harness.score.keyword import Comparison
from harness.score.slices import Slice
from harness.verdict import Limit, Outcome, clips_needed, decide, holm, screen

FLOORS = ("recall", "score")  # gates of absolute floors: of keyword clips, of all clips
COMMAND = ("wer", "cer", "wer_rise")  # metrics that only command candidates have
UNITS = {
    "drop": "points",
    "flips": "%",
    "sqnr": "dB",
    "regression": "points",
    "drift": "points",
    "wer": "%",
    "cer": "%",
    "wer_rise": "points",
}

Measure = Callable[[Slice, float], Estimate]  # of a slice, at a confidence, in the metric's unit


def limits_of(budgets: Budgets, metric: str) -> Since:
    """The limits of one metric by slice."""
    found: Since = getattr(budgets.command if metric in COMMAND else budgets, metric)
    return found


def limits(build: Build, metric: str) -> Since:
    return limits_of(build.candidate.budgets(build.recipe), metric)


def judge(build: Build, comparison: Comparison, metric: str, parts: Sequence[Slice]) -> dict[str, Row]:
    """Rows of one metric over margins or cells; slices without a declared limit are left out."""
    return judge_by(
        build, metric, parts, lambda part, confidence: _estimate(comparison, metric, part, confidence, build.seed)
    )


def judge_by(build: Build, metric: str, parts: Sequence[Slice], measure: Measure) -> dict[str, Row]:
    """Rows of one metric, however it is measured, against the build's limits for it."""
    confidence = build.candidate.budgets(build.recipe).confidence
    declared = ((part, limits(build, metric).limit(part.id, part.kind)) for part in parts)
    wanted = {part.id: (part, limit) for part, limit in declared if limit is not None}
    figures = {name: measure(part, confidence) for name, (part, _) in wanted.items()}
    bounds = {name: Limit(limit, least=metric == "sqnr") for name, (_, limit) in wanted.items()}
    harm = holm({name: figures[name].harm(bounds[name].value, bounds[name].least) for name in wanted})
    return {
        name: _row(build, gate_name(metric), part, figures[name], bounds[name], harm[name], confidence, UNITS[metric])
        for name, (part, _) in wanted.items()
    }


def floors(build: Build, comparison: Comparison, wanted: Mapping[str, tuple[Floor, Slice]]) -> dict[str, Row]:
    """Rows of the absolute floors on the tested outputs, keyed as ``wanted`` is."""
    confidence = build.candidate.budgets(build.recipe).confidence
    figures: dict[str, Estimate] = {}
    for name, (floor, part) in wanted.items():
        share = comparison.accuracy(part, confidence, build.seed, keywords=floor.metric == "recall")
        figures[name] = percent(share)
    harm = holm({name: figures[name].harm(wanted[name][0].min, True) for name in wanted})
    rows = {}
    for name, (floor, part) in wanted.items():
        row = _row(
            build,
            "recall" if floor.metric == "recall" else "score",
            part,
            figures[name],
            Limit(floor.min, least=True),
            harm[name],
            confidence,
            "%",
        )
        rows[name] = row
    return rows


def sane(build: Build, comparison: Comparison, parts: Sequence[Slice]) -> Row:
    """One row: outputs are finite and vary, overall and on every slice."""
    faults = comparison.insane(parts)
    return build.row(
        "sanity",
        "overall",
        value=float(len(faults)),
        unit="faults",
        limit=0.0,
        low=None,
        high=None,
        n=len(comparison.truth),
        clusters=None,
        outcome=Outcome.FAIL if faults else Outcome.PASS,
        detail="; ".join(faults[:3]) or "outputs are finite and vary on every slice",
    )


def percent(estimate: Estimate) -> Estimate:
    figures = {name: 100 * getattr(estimate, name) for name in ("value", "low", "high", "error")}
    return replace(estimate, **figures)


def gate_name(metric: str) -> str:
    """The gate that judges a metric, as rows and reports call it."""
    return "accuracy" if metric == "drop" else metric


def _estimate(comparison: Comparison, metric: str, part: Slice, confidence: float, seed: int) -> Estimate:
    measure: Callable[[Slice, float, int], Estimate] = getattr(comparison, metric)
    estimate = measure(part, confidence, seed)
    return estimate if metric == "sqnr" else percent(estimate)


def _row(
    build: Build, gate: str, part: Slice, figure: Estimate, limit: Limit, harm: float, confidence: float, unit: str
) -> Row:
    cell = part.kind == "cell" and gate not in FLOORS
    outcome = (screen if cell else decide)(figure, limit, harm, confidence)
    return build.row(
        gate,
        part.id,
        value=figure.value,
        unit=unit,
        limit=limit.value,
        low=figure.low,
        high=figure.high,
        n=figure.n,
        clusters=figure.clusters,
        outcome=outcome,
        screened=cell,
        detail=_detail(gate, part, figure, limit, harm, outcome, unit),
    )


def _detail(gate: str, part: Slice, figure: Estimate, limit: Limit, harm: float, outcome: Outcome, unit: str) -> str:
    what = {
        "accuracy": "accuracy drop",
        "flips": "flipped decisions",
        "regression": "accuracy lost since the last release",
        "drift": "accuracy lost since the first release",
        "sqnr": "logit SQNR",
        "recall": "keyword recall",
        "score": "share decided right",
        "wer": "word error rate",
        "cer": "letter error rate",
        "wer_rise": "word error rate above golden's",
    }[gate]
    size = f"n={figure.n} renderings of {figure.clips} clips, {figure.clusters} speakers"
    rule = f"limit {'at least' if limit.least else 'at most'} {limit.value:g} {unit}"
    text = f"{what} on {part.id} {figure.value:.2f} {unit} [{figure.low:.2f}, {figure.high:.2f}], {rule}, {size}"
    if outcome is Outcome.FAIL:
        return f"{text}, Holm p={harm:.2g}"
    if outcome is Outcome.INCONCLUSIVE:
        more = clips_needed(figure, limit)
        if figure.clusters < 2:
            return f"{text}: needs at least 2 speakers"
        if more is None:
            return f"{text}: the figure itself breaks the limit without being shown beyond it; more clips would decide"
        return f"{text}: needs about {max(1, more - figure.clips)} more clips"
    return text
