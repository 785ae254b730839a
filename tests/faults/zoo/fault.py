"""The word Fault: what is seeded, what must turn red, and the cause that must be named first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.report.conclusion import failing
from harness.verdict import Outcome
from tests.faults.zoo.site import Site, Told

# What a gate that nobody diagnoses says by its own name, where its row does not say that it was the board.
WORDS = {
    "latency": "latency",
    "footprint": "memory",
    "regression": "release",
    "drift": "release",
    "reset": "state",
    "score drift": "state",
    "float path": "conversion",
}
BOARDS = ("throttled", "timings drifted")


@dataclass(frozen=True)
class Fault:
    """One regression. ``red`` and ``quiet`` are ``gate slice``, with ``=OUTCOME`` where that is not FAIL, or PASS."""

    name: str
    where: str
    seed: Callable[[Site], None]
    red: tuple[str, ...]
    cause: str
    says: str = ""  # what the first cause must tell
    quiet: tuple[str, ...] = ()  # what must not turn red: there the fault would hide
    quick: bool = False  # one of CI's
    site: type[Site] = Site  # where it is put


@dataclass(frozen=True)
class Result:
    """What judging one fault came to."""

    fault: Fault
    told: Told
    seconds: float
    missed: tuple[str, ...] = field(default=())

    @property
    def caught(self) -> bool:
        return not self.missed

    @property
    def named(self) -> bool:
        word, text = first_cause(self.told)
        return self.caught and word == self.fault.cause and self.fault.says in text


def judged(fault: Fault, told: Told, seconds: float) -> Result:
    missed = [red for red in fault.red if not told.has(red)]
    missed += [f"{part} not quiet" for part in fault.quiet if not told.has(part, Outcome.PASS)]
    return Result(fault, told, seconds, tuple(missed))


def first_cause(told: Told) -> tuple[str, str]:
    """The cause a person reads first, and its words: of the diagnosis, else of the gravest row."""
    if told.diagnosis is not None:
        causes = told.diagnosis.causes
        return told.diagnosis.word, causes[0].title if causes else told.diagnosis.line
    groups = failing(told.rows)
    if not groups:
        return "nothing", ""
    row = groups[0].row
    if row.gate == "latency" and any(word in row.detail for word in BOARDS):
        return "board", row.detail
    return WORDS.get(row.gate, row.gate), row.detail
