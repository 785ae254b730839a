"""Gates of a pipeline: utterances understood, commands that nobody gave, time to the result, memory of both."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.gates.accuracy import percent
from harness.gates.latency import QUANTILES
from harness.interval import Estimate
from harness.measure import percentile
from harness.pipeline import Couple, Pipeline, PipelineBudgets
from harness.row import Row
from harness.score.pipeline import Session
from harness.together import Responses
from harness.verdict import Limit, Outcome, decide

SUCCESS, ACTIVATIONS, RESPONSE, MEMORY = "success", "false activations", "response", "memory"
ACCURACY, WER = "command accuracy", "wer"
CLOSE = 0.9  # of real time: a trigger that takes more has nothing left for the recognizer


@dataclass(frozen=True, slots=True)
class Together:
    """Whose figures these are: both candidates, built as one pair."""

    pipeline: Pipeline
    pair: Couple
    evidence: str
    source: str
    speech: str  # "recordings" or "synthetic": every slice begins with it
    seed: int = 0

    @property
    def budgets(self) -> PipelineBudgets:
        return self.pipeline.budgets(self.pair)

    def row(self, gate: str, part: str, **figures: Any) -> Row:
        return Row(
            candidate=self.pipeline.name,
            target=self.pair.target,
            recipe=self.pair.name,
            gate=gate,
            slice=part,
            evidence=self.evidence,
            source=self.source,
            **figures,
        )


def success(build: Together, session: Session) -> Row:
    """Share of utterances understood end to end; what went wrong with the others is told apart."""
    budgets = build.budgets
    limit = Limit(float(budgets.success or 0), least=True)
    figure = percent(session.success(budgets.confidence, build.seed))
    harm = figure.harm(limit.value, least=True)
    outcome = decide(figure, limit, harm, budgets.confidence) if figure.n else Outcome.INCONCLUSIVE
    detail = (
        f"{figure.value:.1f} % [{figure.low:.1f}, {figure.high:.1f}] of utterances understood end to end, limit at "
        f"least {limit.value:g} %, n={figure.n} utterances, {figure.clusters} speakers, {session.hours:.2f} h: "
        f"{session.missed} never woke it, {session.unheard} woke it and were not understood, {session.wrong} did "
        f"another command"
    )
    if outcome is not Outcome.PASS:
        detail += f"; {_blame(session)}"
    return _judged(build, SUCCESS, figure, limit.value, "%", outcome, detail)


def _blame(session: Session) -> str:
    failed = session.unheard + session.wrong
    if session.missed >= failed:
        return "most are the trigger's: see its FRR, and its front end's parity"
    if 2 * session.headless > failed:
        return (
            f"of {session.headless} of them the window began after the command did: the trigger fires late for the "
            "pauses after the word, or before_s is too small"
        )
    if 2 * session.cut > failed:
        return f"of {session.cut} of them the window ended before the command did: its window_s is too short"
    return "most are the recognizer's: see its command accuracy, the pause after the word, and before_s"


def command_accuracy(build: Together, session: Session) -> Row:
    """Share understood of the utterances that woke the recognizer: what it makes of its window."""
    limit = Limit(float(build.budgets.command_accuracy or 0), least=True)
    return _woken(build, session, ACCURACY, "of the commands that woke it understood", limit, session.understood)


def wer(build: Together, session: Session) -> Row:
    """Word error rate of what the recognizer wrote without its grammar, of the utterances that woke it."""
    limit = Limit(float(build.budgets.wer or 0))
    return _woken(build, session, WER, "of the words of what woke it wrong, without the grammar", limit, session.wer)


def _woken(
    build: Together, session: Session, gate: str, what: str, limit: Limit, measure: Callable[[float, int], Estimate]
) -> Row:
    confidence = build.budgets.confidence
    if len(session.utterances) == session.missed:
        nothing = Estimate(math.nan, math.nan, math.nan, 0, 0, 0, "none", math.nan)
        return _judged(build, gate, nothing, limit.value, "%", Outcome.INCONCLUSIVE, "no utterance woke it")
    figure = percent(measure(confidence, build.seed))
    outcome = decide(figure, limit, figure.harm(limit.value, limit.least), confidence)
    detail = (
        f"{figure.value:.1f} % [{figure.low:.1f}, {figure.high:.1f}] {what}, limit "
        f"{'at least' if limit.least else 'at most'} {limit.value:g} %, n={figure.n} utterances, "
        f"{figure.clusters} speakers, {session.hours:.2f} h"
    )
    return _judged(build, gate, figure, limit.value, "%", outcome, detail)


def activations(build: Together, session: Session) -> Row:
    """Commands done that nobody gave, an hour: the exact Poisson bound decides."""
    budgets = build.budgets
    limit = float(budgets.false_activations_per_hour or 0)
    figure = session.activation_rate(budgets.confidence)
    outcome = decide(figure, Limit(limit), 0.0, budgets.confidence) if session.hours else Outcome.INCONCLUSIVE
    detail = (
        f"{figure.n} false activations in {session.hours:.2f} h, {figure.value:.2f} an hour [{figure.low:.2f}, "
        f"{figure.high:.2f}], limit at most {limit:g} an hour; it woke {len(session.stray)} times for nobody"
    )
    if outcome is Outcome.INCONCLUSIVE:
        detail += "; more hours would decide"
    return _judged(build, ACTIVATIONS, figure, limit, "per hour", outcome, detail)


def response(build: Together, taken: Responses) -> list[Row]:
    """Percentiles of the time from the end of speech to the result, with what they are made of."""
    budget = build.budgets.response_ms
    limits = {name: getattr(budget, name) for name in QUANTILES}
    means = ", ".join(f"{name} {float(values.mean()):.3g}" for name, values in taken.parts.items())
    rows = []
    for name, limit in limits.items():
        if limit is None:
            continue
        found = percentile(taken.total, QUANTILES[name], build.budgets.confidence)
        figures = {"value": found.value, "low": found.low, "high": found.high, "limit": limit, "unit": "ms"}
        if found.value is None or found.low is None or found.high is None:
            outcome, detail = Outcome.INCONCLUSIVE, f"response {name}: {found.reason}; lay more utterances"
        else:
            kept = found.high <= limit and taken.load <= CLOSE
            broken = found.low > limit or taken.load > CLOSE
            outcome = Outcome.PASS if kept else Outcome.FAIL if broken else Outcome.INCONCLUSIVE
            detail = (
                f"response {name} {found.value:.0f} ms [{found.low:.0f}, {found.high:.0f}] from the end of speech to "
                f"the result, limit at most {limit:g} ms, n={len(taken.total)} utterances, means in ms: {means}; the "
                f"trigger takes {100 * taken.load:.2g} % of real time"
            )
            detail += ": it does not keep up" if taken.load > CLOSE else ""
        rows.append(
            build.row(
                RESPONSE,
                f"{build.speech} {name}",
                n=len(taken.total),
                clusters=None,
                outcome=outcome,
                detail=detail,
                **figures,
            )
        )
    return rows


def memory(build: Together, size: int) -> Row:
    """Resident MiB of both models loaded and running in one process."""
    limit = float(build.budgets.memory_mib or 0)
    value = size / 2**20
    return build.row(
        MEMORY,
        "resident",
        value=value,
        unit="MiB",
        limit=limit,
        low=None,
        high=None,
        n=1,
        clusters=None,
        outcome=Outcome.PASS if value <= limit else Outcome.FAIL,
        detail=f"trigger and recognizer together take {value:.4g} MiB resident, limit at most {limit:g} MiB",
    )


def _judged(
    build: Together, gate: str, figure: Estimate, limit: float, unit: str, outcome: Outcome, detail: str
) -> Row:
    return build.row(
        gate,
        f"{build.speech} overall",
        value=figure.value,
        unit=unit,
        limit=limit,
        low=figure.low,
        high=figure.high,
        n=figure.n,
        clusters=figure.clusters,
        outcome=outcome,
        detail=f"{build.speech}: {detail}",
    )
