"""Streaming gates: the state is cleared, comes back as it was written, and does not drift; float says the same whole.

Each names the fault it would show: none of them is a matter of the model's accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from harness.gates.accuracy import percent
from harness.gates.base import Build
from harness.interval import Estimate
from harness.row import Row
from harness.score.drift import FEWEST_MINUTES, MINUTE_S, Minutes, Pair
from harness.streaming import Probe, Released
from harness.targets.state_scales import StateScale
from harness.verdict import Limit, Outcome, decide

FEWEST = 6  # minutes: two in each third
FLOAT_DB = 30.0  # of a float path in fp16: far above what int8 costs, far below what a lost state leaves


def reset(build: Build, probe: Probe) -> Row:
    """A piece of a stream is heard alike whatever was heard before it."""
    far = float(np.abs(probe.fresh - probe.again).max())
    memory = float(np.abs(probe.fresh - probe.kept).max())
    count = len(probe.fresh)
    detail = (
        f"scores of one piece of a stream behind another differ by {far:.3g} from those of it alone, n={count} steps"
    )
    outcome = Outcome.PASS
    if not memory:
        outcome = Outcome.INCONCLUSIVE
        detail += "; so they do where nothing is reset: this build keeps no state there, so nothing was tested"
    elif far:
        outcome = Outcome.FAIL
        detail += ": its state is not reset between streams; clear every state where a stream starts"
    else:
        detail += f"; by up to {memory:.3g} where nothing is reset"
    return build.row(
        "reset", "overall", value=far, unit="score", limit=0.0, low=None, high=None, n=count, clusters=None,
        outcome=outcome, detail=detail,
    )  # fmt: skip


def scales(build: Build, states: Sequence[StateScale]) -> Row:
    """Whether each state is read in the steps that it was written in (``harness.targets.state_scales``)."""
    wrong = [state for state in states if not state.agree]
    names = ", ".join(state.name for state in states)
    detail = f"state {names} is read as it was written: {', '.join(_steps(state.read) for state in states)}"
    if wrong and _crossed(wrong):
        detail = (
            f"states are wired crosswise: {', '.join(each.name for each in wrong)} are each read in the steps that "
            "another is written in. Give every state back to the input it is named with in states of model.toml"
        )
    elif wrong:
        told = (f"{each.name} is written in {_steps(each.written)} and read in {_steps(each.read)}" for each in wrong)
        detail = (
            f"state quantized with the wrong scale: {'; '.join(told)}. Every step multiplies it by the difference, so "
            "scores drift the longer it listens. Calibrate input and output of each state together"
        )
    return build.row(
        "state", "overall", value=float(len(wrong)), unit="states", limit=0.0, low=None, high=None, n=len(states),
        clusters=None, outcome=Outcome.FAIL if wrong else Outcome.PASS, detail=detail,
    )  # fmt: skip


def _crossed(wrong: Sequence[StateScale]) -> bool:
    """Whether each state has steps in which another of them is written, in place of it."""
    return len(wrong) > 1 and all(
        any(each.read == other.written for other in wrong if other is not each) for each in wrong
    )


def aligned(build: Build, pair: Pair) -> Row:
    """Whether each score is of the step it is given for: none came late or early by some steps."""
    found, outcome = pair.slipped, Outcome.PASS
    detail = f"each score is that of its own step, n={len(pair.plain)} steps, {pair.hours:.2f} h of {pair.stream}"
    if pair.hours * 3600 < MINUTE_S:
        outcome = Outcome.INCONCLUSIVE
        detail = f"n={len(pair.plain)} steps of {pair.stream}, less than the minute looked at; lay a longer stream"
    if found:
        outcome = Outcome.FAIL
        minute, late = found
        why = "frames were heard twice, or scores held back" if late > 0 else "frames were lost on their way"
        detail = (
            f"scores come {abs(late)} steps {'late' if late > 0 else 'early'} ({1000 * abs(late) * pair.step_s:.0f} "
            f"ms) from minute {minute + 1} on: {why}. Neither model nor state is to blame: mend the buffers between "
            f"front end and model, n={len(pair.plain)} steps, {pair.hours:.2f} h of {pair.stream}"
        )
    return build.row(
        "steps", pair.stream, value=float(abs(found[1])) if found else 0.0, unit="steps", limit=0.0, low=None,
        high=None, n=len(pair.plain), clusters=None, outcome=outcome, detail=detail,
    )  # fmt: skip


def whole(build: Build, pair: Pair) -> Row:
    """Float streaming against the float model over the whole stream at once."""
    limit = build.candidate.budgets(build.recipe).parity
    outcome = Outcome.PASS if pair.farthest <= limit else Outcome.FAIL
    detail = (
        f"float streaming differs by at most {pair.farthest:.2g} from the float model over the whole stream at once, "
        f"limit {limit:g}, n={len(pair.plain)} steps, {pair.hours:.2f} h of {pair.stream}"
    )
    if outcome is Outcome.FAIL:
        detail += ": the step loses or repeats something between chunks; compare its state with what training carries"
    return build.row(
        "streaming", "overall", value=pair.farthest, unit="score", limit=limit, low=None, high=None,
        n=len(pair.plain), clusters=None, outcome=outcome, detail=detail,
    )  # fmt: skip


def converted(build: Build, pair: Pair) -> Row:
    """The target's own float path, streaming, against the float step: at least FLOAT_DB of SQNR."""
    return build.row(
        "float path", "overall", value=pair.sqnr_db, unit="dB", limit=FLOAT_DB, low=None, high=None,
        n=len(pair.plain), clusters=None, outcome=Outcome.PASS if pair.sqnr_db >= FLOAT_DB else Outcome.FAIL,
        detail=(
            f"its own float path streams with {pair.sqnr_db:.1f} dB of SQNR, limit at least {FLOAT_DB:g} dB, "
            f"n={len(pair.plain)} steps, {pair.hours:.2f} h of {pair.stream}"
        ),
    )  # fmt: skip


def golden(build: Build, released: Released, mode: str) -> Row:
    """The golden scores still belong to the candidate; of an imported one, what changed since its previous release."""
    fresh = released.fresh
    row = partial(build.row, "golden", fresh.stream, low=None, high=None, clusters=None)
    hours = released.now.hours
    if released.written and mode == "update":
        detail = f"golden scores rewritten, review and commit them: {fresh.stream}: {released.written}"
        return row(value=1.0, unit="faults", limit=0.0, n=len(fresh.scores), outcome=Outcome.FAIL, detail=detail)
    if not build.candidate.imported:
        detail = f"float scores agree with golden, n={len(fresh.scores)} steps, {hours:.2f} h of {fresh.stream}"
        return row(value=0.0, unit="faults", limit=0.0, n=len(fresh.scores), outcome=Outcome.PASS, detail=detail)
    return _since_release(build, released, row)


def _since_release(build: Build, released: Released, row: partial[Row]) -> Row:
    stored, fresh, now = released.stored, released.fresh, released.now
    text = "golden is the previous release, as this model came without a float source"
    if stored.model == fresh.model:
        detail = f"{text}; this is that release, {fresh.model[:12]}, n={len(fresh.scores)} steps"
        return row(value=0.0, unit="points", limit=0.0, n=now.words, outcome=Outcome.PASS, detail=detail)
    budgets = build.candidate.budgets(build.recipe)
    lost = percent(now.lost(released.before, budgets.confidence, build.seed))
    limit = Limit(budgets.regression.overall or 0.0)
    outcome = decide(lost, limit, lost.harm(limit.value, limit.least), budgets.confidence)
    detail = (
        f"{text}: {stored.model[:12]} then, {fresh.model[:12]} now. Words lost since {lost.value:.2f} points "
        f"[{lost.low:.2f}, {lost.high:.2f}], limit at most {limit.value:g}, n={lost.n} words; false accepts "
        f"{released.before.false_accepts} then and {now.false_accepts} now in {now.hours:.2f} h of {fresh.stream}"
    )
    row = partial(build.row, "golden", fresh.stream, low=lost.low, high=lost.high, clusters=lost.clusters)
    return row(value=lost.value, unit="points", limit=limit.value, n=lost.n, outcome=outcome, detail=detail)


def drift(build: Build, pair: Pair) -> list[Row]:
    """SQNR of the scores over the stream, and by how much the error grows while it listens."""
    budgets = build.candidate.budgets(build.recipe)
    if pair.hours * 60 < FEWEST:
        return _short(build, pair)
    found, name, hours = pair.minutes, pair.stream, pair.hours
    rows = []
    if budgets.wakeword.score_sqnr is not None:
        level = found.level(budgets.confidence, build.seed)
        rows.append(
            _row(build, "score sqnr", name, level, Limit(budgets.wakeword.score_sqnr, least=True), found, hours)
        )
    if budgets.wakeword.drift_db is not None:
        growth = found.growth(budgets.confidence, build.seed)
        rows.append(_row(build, "score drift", name, growth, Limit(budgets.wakeword.drift_db), found, hours))
    return rows


def _short(build: Build, pair: Pair) -> list[Row]:
    """Too few minutes to tell one third of them from another: no verdict on the state."""
    budgets, name, count = build.candidate.budgets(build.recipe).wakeword, pair.stream, int(pair.hours * 60)
    limits = {"score sqnr": budgets.score_sqnr, "score drift": budgets.drift_db}
    detail = f"n={count} whole minutes of {name}, at least {FEWEST} are needed; lay a longer stream"
    return [
        build.row(
            gate, name, value=None, unit="dB", limit=limit, low=None, high=None, n=count, clusters=None,
            outcome=Outcome.INCONCLUSIVE, detail=detail,
        )
        for gate, limit in limits.items()
        if limit is not None
    ]  # fmt: skip


def _row(build: Build, gate: str, name: str, figure: Estimate, limit: Limit, found: Minutes, hours: float) -> Row:
    confidence, count = build.candidate.budgets(build.recipe).confidence, len(found.sqnr_db)
    outcome = decide(figure, limit, figure.harm(limit.value, limit.least), confidence)
    what = {
        "score sqnr": "SQNR of the scores against the float step's",
        "score drift": "the error of the scores, last third of the stream against the first, grows by",
    }[gate]
    detail = (
        f"{what} {figure.value:.2f} dB [{figure.low:.2f}, {figure.high:.2f}], limit "
        f"{'at least' if limit.least else 'at most'} {limit.value:g} dB, n={count} minutes ({hours:.2f} h of {name}), "
        f"worst {found.sqnr_db[found.worst]:.1f} dB in minute {found.worst + 1}"
    )
    if outcome is Outcome.FAIL and gate == "score drift":
        detail += ": its state drifts while it listens, as one quantized with the wrong scale does"
    if gate == "score drift" and count < FEWEST_MINUTES and outcome is Outcome.PASS:
        outcome = Outcome.INCONCLUSIVE
        detail += f": drift takes {FEWEST_MINUTES} minutes to be ruled out; lay a longer stream"
    return build.row(
        gate, f"{name}", value=figure.value, unit="dB", limit=limit.value, low=figure.low, high=figure.high, n=count,
        clusters=figure.clusters, outcome=outcome, detail=detail,
    )  # fmt: skip


def _steps(affine: tuple[float, int] | None) -> str:
    return "float" if affine is None else f"steps of {affine[0]:.4g} around {affine[1]}"
