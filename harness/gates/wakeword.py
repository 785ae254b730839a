"""Wake word gates: misses, false accepts an hour, delay; and whether detections and labels can be trusted at all.

Recordings and synthetic speech are judged apart, each row saying which. A wrong counter or a wrong manifest is
named as such: neither is the model's fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from harness.gates.accuracy import percent
from harness.gates.base import Build
from harness.gates.latency import QUANTILES
from harness.interval import Estimate, poisson
from harness.measure import percentile
from harness.row import Row
from harness.score.slices import Slice
from harness.score.trust import answered, crowded, deaf, insane, shifted
from harness.score.wakeword import Listening, Point
from harness.verdict import Limit, Outcome, decide, holm

MOST_REPEATED = 0.05  # of the words heard: what a burst may outlast its refractory period
MOST_HOURS = 10_000
FEWEST_ANSWERS = 5  # of which a habit may be made


def judge(build: Build, listening: Listening, point: Point, parts: Sequence[Slice]) -> list[Row]:
    """Every wake word row of one build over streams of one kind. ``point`` is where it operates."""
    found = [sane(build, listening), trusted(build, listening, point), labelled(build, listening, point)]
    found += misses(build, listening, point, parts)
    if build.candidate.budgets(build.recipe).wakeword.false_accepts_per_hour is not None:
        found.append(false_accepts(build, listening, point))
    return [*found, *delays(build, listening, point)]


def sane(build: Build, listening: Listening) -> Row:
    """FAIL where scores are not finite, or never change: misses and accepts of them mean nothing."""
    faults = insane(listening)
    return build.row(
        "sanity", f"{listening.kind} overall", value=float(len(faults)), unit="faults", limit=0.0, low=None, high=None,
        n=sum(len(trace.scores) for trace in listening.traces), clusters=None,
        outcome=Outcome.FAIL if faults else Outcome.PASS,
        detail="; ".join(faults) or f"scores of {listening.kind} are finite and vary",
    )  # fmt: skip


def misses(build: Build, listening: Listening, point: Point, parts: Sequence[Slice]) -> list[Row]:
    """FRR on every slice with a limit, at the point's false accepts an hour; Holm over its slices."""
    budgets = build.candidate.budgets(build.recipe)
    limits = {part.id: budgets.wakeword.frr.limit(part.id, part.kind) for part in parts}
    bounds = {name: Limit(limit) for name, limit in limits.items() if limit is not None}
    wanted = [part for part in parts if part.id in bounds]
    figures = {part.id: percent(point.frr(budgets.confidence, build.seed, part)) for part in wanted}
    harm = holm({name: figure.harm(bounds[name].value, least=False) for name, figure in figures.items()})
    rows = []
    for part in wanted:
        figure, limit = figures[part.id], bounds[part.id]
        outcome = decide(figure, limit, harm[part.id], budgets.confidence) if figure.n else Outcome.INCONCLUSIVE
        row = _row(build, listening, "frr", part.id, figure, limit.value, "%", outcome)
        detail = _missed(part.id, listening, point, figure, limit.value, budgets.confidence)
        failed = outcome is Outcome.FAIL and part.kind == "overall"
        rows.append(row(detail=detail + (_elsewhere(build, listening) if failed else "")))
    return rows


def false_accepts(build: Build, listening: Listening, point: Point) -> Row:
    """False accepts an hour: the exact Poisson bound decides, and the hours are told."""
    budgets = build.candidate.budgets(build.recipe)
    limit = float(budgets.wakeword.false_accepts_per_hour or 0)
    figure = point.rate(budgets.confidence)
    # The exact test of "no more than the limit" fails where the lower bound lies beyond it: the same interval.
    outcome = decide(figure, Limit(limit), 0.0, budgets.confidence) if point.hours else Outcome.INCONCLUSIVE
    row = _row(build, listening, "false accepts", "overall", figure, limit, "per hour", outcome)
    minutes, clips = listening.talk
    text = (
        f"{point.false_accepts} false accepts in {point.hours:.2f} h of {listening.kind} ({minutes:.0f} min of them "
        f"speech, {clips} clips), {figure.value:.2f} an hour "
        f"[{figure.low:.2f}, {figure.high:.2f}], limit at most {limit:g} an hour, threshold {point.threshold:.4g}, "
        f"refractory period {listening.refractory_s:g} s"
    )
    if outcome is Outcome.INCONCLUSIVE:
        text += f": {_hours(point, limit, budgets.confidence)}"
    return row(detail=text + (_elsewhere(build, listening) if outcome is Outcome.FAIL else ""))


def delays(build: Build, listening: Listening, point: Point) -> list[Row]:
    """Percentiles of the delay from a word's end to its detection, of the words that were detected."""
    budgets = build.candidate.budgets(build.recipe)
    limits = {name: getattr(budgets.wakeword.delay_ms, name) for name in QUANTILES}
    taken = point.delays_ms
    rows = []
    for name, limit in limits.items():
        if limit is None:
            continue
        found = percentile(taken, QUANTILES[name], budgets.confidence)
        row = partial(
            build.row, "delay", f"{listening.kind} {name}", value=found.value, unit="ms", limit=limit, low=found.low,
            high=found.high, n=len(taken), clusters=None,
        )  # fmt: skip
        text = f"delay {name} of {listening.kind}"
        if found.value is None or found.low is None or found.high is None:
            rows.append(row(outcome=Outcome.INCONCLUSIVE, detail=f"{text}: {found.reason}; lay more words"))
            continue
        outcome = Outcome.PASS if found.high <= limit else Outcome.FAIL if found.low > limit else Outcome.INCONCLUSIVE
        interval = f"{found.value:.0f} ms [{found.low:.0f}, {found.high:.0f}] from the word's end"
        rows.append(row(outcome=outcome, detail=f"{text} {interval}, limit at most {limit:g} ms, n={len(taken)} words"))
    return rows


def trusted(build: Build, listening: Listening, point: Point) -> Row:
    """FAIL where the refractory period is not kept, is shorter than a burst, or is so long that words fall into it."""
    hits = point.words - point.misses
    close = sum(crowded(each.fired_s, listening.refractory_s) for each in point.tallies)
    limit = float(int(MOST_REPEATED * hits))
    lost, most_lost = deaf(point, listening), max(1.0, MOST_REPEATED * point.words)  # one says nothing of a period
    outcome = Outcome.FAIL if close or point.repeats > limit or lost > most_lost else Outcome.PASS
    value, limit = (lost, float(int(most_lost))) if lost > most_lost else (close + point.repeats, limit)
    text = (
        f"{close} detections within {listening.refractory_s:g} s of the one before, {point.repeats} repeats of "
        f"{hits} words heard on {listening.kind}{f', {lost} missed while deaf' if lost else ''}"
    )
    if lost > most_lost:
        text += (
            f": the refractory period is too long, {listening.refractory_s:g} s: these words reach the threshold, but "
            "after another detection. What counts events is wrong here, not the model's scores: set refractory_s"
        )
    elif outcome is Outcome.FAIL:
        text += (
            ": the refractory period was dropped, or is shorter than the model's own bursts. What counts events is "
            "wrong here, not the model's scores: set refractory_s, or mend what detects"
        )
    return build.row(
        "refractory", f"{listening.kind} overall", value=float(value), unit="detections",
        limit=limit, low=None, high=None, n=hits, clusters=None, outcome=outcome, detail=text,
    )  # fmt: skip


def labelled(build: Build, listening: Listening, point: Point) -> Row:
    """FAIL where the truth fits the detections far better with its labels moved by one event, or exchanged."""
    step = shifted(point, listening)
    text = f"labels of {listening.kind} fit the detections best as they are, n={point.words} words"
    other = "" if step else _other(listening, point)
    if step:
        text = (
            f"labels of {listening.kind} are shifted by one: moved {'back' if step < 0 else 'on'} by one event they "
            f"explain the detections, as they are {point.misses} of {point.words} words seem missed. The ground truth "
            "is wrong, not the model: build the streams anew, or mend the manifest"
        )
    elif other:
        text = f"labels of {listening.kind} do not fit the detections: {other}"
    return build.row(
        "labels", f"{listening.kind} overall", value=float(abs(step) or bool(other)), unit="events", limit=0.0,
        low=None, high=None, n=point.words, clusters=None, outcome=Outcome.FAIL if step or other else Outcome.PASS,
        detail=text,
    )  # fmt: skip


def _other(listening: Listening, point: Point) -> str:
    """Whether another label is answered most of the time, and more often than the word; else empty."""
    found = answered(point, listening)
    word = listening.traces[0].word
    hits, count = found.pop(word, (0, 0))
    own = hits / count if count else 0.0
    for label, (answers, events) in sorted(found.items(), key=lambda pair: -pair[1][0] / max(1, pair[1][1])):
        if answers >= FEWEST_ANSWERS and answers / events > max(own, 0.5):
            return (
                f"it answers to {label!r}, {answers} of {events} times, more than to {word!r}, {hits} of {count}. "
                "Either labels of the manifest are exchanged or shifted, or this is the model of another word"
            )
    return ""


def _row(
    build: Build,
    listening: Listening,
    gate: str,
    part: str,
    figure: Estimate,
    limit: float,
    unit: str,
    outcome: Outcome,
) -> partial[Row]:
    return partial(
        build.row, gate, f"{listening.kind} {part}", value=figure.value, unit=unit, limit=limit, low=figure.low,
        high=figure.high, n=figure.n, clusters=figure.clusters, outcome=outcome,
    )  # fmt: skip


def _missed(part: str, listening: Listening, point: Point, figure: Estimate, limit: float, confidence: float) -> str:
    rate = point.rate(confidence)
    return (
        f"FRR on {listening.kind} {part} {figure.value:.1f} % [{figure.low:.1f}, {figure.high:.1f}], limit at most "
        f"{limit:g} %, at {rate.value:.2f} false accepts an hour (at most {rate.high:.2f}, {point.false_accepts} in "
        f"{point.hours:.2f} h), threshold {point.threshold:.4g}, n={figure.n} words of {figure.clips} clips, "
        f"{figure.clusters} speakers"
    )


def _elsewhere(build: Build, listening: Listening) -> str:
    """Where the same scores would keep both limits, were the threshold another; empty where nowhere."""
    budget = build.candidate.budgets(build.recipe).wakeword
    if budget.frr.overall is None or budget.false_accepts_per_hour is None:
        return ""
    found = listening.operate(budget.false_accepts_per_hour)
    missed, accepts = 100 * found.misses / max(1, found.words), found.false_accepts / max(found.hours, 1e-9)
    if missed > budget.frr.overall:
        return ""
    return (
        f": the threshold is not that of these scores: at {found.threshold:.4g} they miss {missed:.1f} % at "
        f"{accepts:.2f} false accepts an hour. It was set for another precision, training or front end"
    )


def _hours(point: Point, limit: float, confidence: float) -> str:
    """How long to listen for the bound to come inside the limit, were the rate to stay."""
    rate = point.false_accepts / point.hours if point.hours else 0.0
    if rate >= limit:
        return "the figure itself breaks the limit without being shown beyond it; more hours would decide"
    hours = max(point.hours, 1.0)
    while hours < MOST_HOURS and poisson(round(rate * hours), hours, confidence)[1] > limit:
        hours *= 1.1
    return f"needs about {hours - point.hours:.1f} more hours"
