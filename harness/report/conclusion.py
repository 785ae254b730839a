"""From rows to what a release manager asks: may this build ship, and why not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.row import AT_LEAST, Before, Row
from harness.verdict import Outcome

GOLDEN = "host/golden"  # the build that rows on the golden store are filed under
NEEDED = ("sanity", "accuracy", "placement")  # gates without which no build may ship, however few were selected
PIPELINE = ("success", "false activations")  # likewise, of a pipeline
STREAMED = ("frr", "false accepts", "reset", "placement")  # and of a wake word
LACKS = (Outcome.UNSUPPORTED, Outcome.NOT_MEASURED)

# A shown FAIL is final whatever else went wrong; a lost board or a lack leaves the question open.
GRAVEST_FIRST = (
    Outcome.FAIL,
    Outcome.INFRA,
    Outcome.INCONCLUSIVE,
    Outcome.UNSUPPORTED,
    Outcome.NOT_MEASURED,
    Outcome.PASS,
)

# Gates that say what is wrong where others only fail with them: of what is shown, they are told first, in this order.
CAUSES = (
    *("golden", "sanity", "steps", "labels", "refractory", "reset", "state", "conversion", "streaming", "float path"),
    *("frontend", "score drift"),
)

Word = Literal[
    "MAY SHIP",
    "PARTLY JUDGED",
    "PASSES HERE, BOARD FIGURES OPEN",
    "UNDECIDED",
    "NOT JUDGED",
    "DO NOT SHIP",
    "GOLDEN HOLDS",
    "GOLDEN BROKEN",
]


MAY_SHIP: Word = "MAY SHIP"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The word on one build of one candidate, its reason, and the rows it rests on."""

    candidate: str
    build: str
    word: Word
    outcome: Outcome
    reason: str
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        return f"{self.candidate or 'every candidate'} on {self.build}"


@dataclass(frozen=True, slots=True)
class GateLine:
    """The slice of one gate nearest to its limit among those that pass, and how many pass."""

    gate: str
    worst: Row
    passed: int
    total: int

    @property
    def count(self) -> str:
        if self.total == 1:
            return ""
        return f"{self.passed} of {self.total}{' cells' if self.worst.screened else ''} pass"


@dataclass(frozen=True, slots=True)
class Failing:
    """Rows of one gate that do not pass for one and the same reason: one row, or all slices of a lack."""

    rows: tuple[Row, ...]

    @property
    def row(self) -> Row:
        return self.rows[0]

    @property
    def what(self) -> str:
        slices = list(dict.fromkeys(row.slice for row in self.rows))
        named = "; ".join(slices[:4])
        return named if len(slices) <= 4 else f"{named}; and {len(slices) - 4} more"


def conclude(rows: Iterable[Row]) -> list[Conclusion]:
    """One conclusion a build, the golden store's first."""
    builds: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        builds.setdefault((row.candidate, row.build), []).append(row)
    ordered = sorted(builds.items(), key=lambda pair: (pair[0][0], pair[0][1] != GOLDEN, pair[0][1]))
    return [_conclusion(candidate, build, tuple(own)) for (candidate, build), own in ordered]


def passing(rows: Sequence[Row]) -> list[GateLine]:
    """One line a gate (cells apart from margins, recordings from synthetic speech) that has a passing slice."""
    gates: dict[tuple[str, bool, str], list[Row]] = {}
    for row in rows:
        gates.setdefault((row.gate, row.screened, row.speech), []).append(row)
    lines = []
    for (gate, _, _), own in gates.items():
        good = [row for row in own if row.outcome is Outcome.PASS]
        if good:
            lines.append(GateLine(gate, max(good, key=used), len(good), len(own)))
    return lines


def failing(rows: Sequence[Row]) -> list[Failing]:
    """Everything that is not PASS, gravest first, then causes, then farthest from its limit; equal lacks together."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if row.outcome is not Outcome.PASS:
            judged = row.value is not None
            key = (row.gate, row.outcome, row.detail, row.slice) if judged else (row.gate, row.outcome, row.detail)
            groups.setdefault(key, []).append(row)
    found = [Failing(tuple(own)) for own in groups.values()]
    return sorted(found, key=lambda each: (GRAVEST_FIRST.index(each.row.outcome), _place(each.row), -_excess(each.row)))


def used(row: Row) -> float:
    """The share of its limit that a row's bound uses up; above 1 the limit is not kept."""
    if row.value is None or row.limit is None:
        return -1.0
    least = row.gate in AT_LEAST
    bound = row.low if least else row.high
    figure = row.value if bound is None else bound
    top, bottom = (row.limit, figure) if least else (figure, row.limit)
    if bottom == 0:
        return 0.0 if top <= 0 else math.inf
    return top / bottom


def value(row: Row) -> str:
    return "" if row.value is None else f"{row.value:.3g}"


def change(row: Row, before: Before) -> str:
    """``0.3 -> 1.2``: a figure beside what it was when last released; the figure alone where it was not."""
    was = before.get(row.key)
    return f"{value(was)} -> {value(row)}" if was is not None and row.value is not None else value(row)


def difference(row: Row, before: Before) -> float | None:
    """How much a figure grew since the last release; None where it has none."""
    was = before.get(row.key)
    return row.value - was.value if was is not None and was.value is not None and row.value is not None else None


def limit(row: Row) -> str:
    sign = ">=" if row.gate in AT_LEAST else "<="
    return "" if row.limit is None else f"{sign} {row.limit:g} {row.unit}"


def interval(row: Row) -> str:
    return "" if row.low is None or row.high is None else f"[{row.low:.3g}, {row.high:.3g}]"


def sources(rows: Iterable[Row]) -> str:
    """Who gave the figures of each evidence: ``emulator: rk3588 simulator``; empty where only this host did."""
    named = dict.fromkeys((row.evidence, row.source) for row in rows if row.source and row.source != row.evidence)
    return "; ".join(f"{evidence}: {source}" for evidence, source in sorted(named))


def from_cache(cache: Mapping[str, Sequence[int]]) -> str:
    """``from cache: 2 of 3 artifacts, 7 of 7 renditions``; empty where nothing was asked for."""
    told = [f"{pair[0]} of {pair[1]} {kind}" for kind, pair in sorted(cache.items()) if pair[1]]
    return f"from cache: {', '.join(told)}" if told else ""


def _conclusion(candidate: str, build: str, rows: tuple[Row, ...]) -> Conclusion:
    present = {row.outcome for row in rows}
    outcome = next(each for each in GRAVEST_FIRST if each in present)
    judged = [row for row in rows if row.outcome not in LACKS]
    lacks = [each for each in failing(rows) if each.row.outcome in LACKS]
    reason = _first(failing(judged)) or _kept(judged)
    gates = {row.gate for row in rows}
    needed = PIPELINE if gates & set(PIPELINE) else STREAMED if gates & {"frr", "reset"} else NEEDED
    unasked = [gate for gate in needed if gate not in gates] if build != GOLDEN else []
    unasked += _of_each_kind(rows) if needed is STREAMED else []
    if unasked and outcome is Outcome.PASS:
        reason += f". Not run: {', '.join(unasked)}"
    if lacks:
        reason += f"{'. ' if reason else ''}Not judged: {_first(lacks)}"
    return Conclusion(candidate, build, _word(outcome, build, bool(judged), bool(unasked)), outcome, reason, rows)


def _of_each_kind(rows: Sequence[Row]) -> list[str]:
    """What a wake word lacks on a kind of speech that it was judged on: misses there say nothing of accepts here."""
    judged = {(row.gate, row.speech) for row in rows}
    kinds = sorted({row.speech for row in rows if row.speech})
    gates = [gate for gate in ("frr", "false accepts") if any(row.gate == gate for row in rows)]
    return [f"{gate} of {kind}" for kind in kinds for gate in gates if (gate, kind) not in judged]


def _word(outcome: Outcome, build: str, judged: bool, partly: bool) -> Word:
    if build == GOLDEN and outcome in (Outcome.FAIL, Outcome.PASS):
        return "GOLDEN HOLDS" if outcome is Outcome.PASS else "GOLDEN BROKEN"
    if outcome is Outcome.PASS and partly:
        return "PARTLY JUDGED"
    if outcome in LACKS and judged:
        return "PASSES HERE, BOARD FIGURES OPEN"
    words: dict[Outcome, Word] = {
        Outcome.PASS: "MAY SHIP",
        Outcome.FAIL: "DO NOT SHIP",
        Outcome.INCONCLUSIVE: "UNDECIDED",
    }
    return words.get(outcome, "NOT JUDGED")


def _first(groups: Sequence[Failing]) -> str:
    if not groups:
        return ""
    row = groups[0].row
    rest = sum(len(group.rows) for group in groups) - 1
    more = f" (and {rest} more)" if rest else ""
    evidence = f"; {row.evidence}" if row.evidence else ""
    return f"{row.outcome.value}: {row.detail.rstrip('.')}{more}{evidence}"


def _kept(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    evidence = ", ".join(sorted({row.evidence for row in rows if row.evidence}))
    kept = "1 figure keeps its limit" if len(rows) == 1 else f"{len(rows)} figures keep their limits"
    return f"{kept}; evidence {evidence}"


def _place(row: Row) -> int:
    return CAUSES.index(row.gate) if row.gate in CAUSES else len(CAUSES)


def _excess(row: Row) -> float:
    if row.value is None or row.limit is None or not math.isfinite(row.value):
        return math.inf
    beyond = row.limit - row.value if row.gate in AT_LEAST else row.value - row.limit
    return beyond / (abs(row.limit) or 1.0)
