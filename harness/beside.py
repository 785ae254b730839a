"""One inference three ways: by the toolchain's own benchmark, alone as measured, and end to end as measured.

A vendor's number leaves out copies, calls, the front end and the decision. The three stand side by side, with what each
adds to those before it; where one could not be had, its reason stands in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.candidate import Candidate
from harness.errors import VoxgateError
from harness.measure import Latency
from harness.recipe import Recipe

if TYPE_CHECKING:
    from harness.run import Run

OWN, INFERENCE, END_TO_END = "toolchain's own", "inference", "end to end"


@dataclass(frozen=True, slots=True)
class Time:
    """One of the three, in milliseconds; ``ms`` is None where it could not be had, and ``source`` says why."""

    what: str
    ms: float | None
    n: int
    evidence: str
    source: str

    def over(self, other: Time) -> tuple[float, float] | None:
        """Milliseconds and percent that this one takes longer than another; None where either lacks."""
        if self.ms is None or not other.ms:
            return None
        return self.ms - other.ms, 100 * (self.ms / other.ms - 1)


def measure(run: Run, candidate: Candidate, recipe: Recipe) -> tuple[Time, ...]:
    """The three times of one build on its board. Never raises VoxgateError: what lacks says so."""
    board = run.board(candidate, recipe)
    window = np.zeros((candidate.frontend.frames, candidate.frontend.bins), np.float32)

    def own() -> Time:
        found = board.own_time(run.artifact(candidate, recipe), window)
        return Time(OWN, found.ms, found.n, board.evidence.value, found.source)

    def median(what: str, latency: Latency) -> Time:
        samples = latency.samples_ms
        return Time(what, float(np.median(samples)), len(samples), board.evidence.value, f"median, {board.name}")

    alone = _or_why(INFERENCE, lambda: median(INFERENCE, run.inference(candidate, recipe)))
    whole = _or_why(END_TO_END, lambda: median(END_TO_END, run.timings(candidate, recipe).total))
    return _or_why(OWN, own), alone, whole  # the vendor's tool comes last: it may heat what is timed after it


def _or_why(what: str, make: Callable[[], Time]) -> Time:
    try:
        return make()
    except VoxgateError as error:
        return Time(what, None, 0, "", f"none: {error}")


def as_json(times: Sequence[Time]) -> list[dict[str, Any]]:
    return [asdict(each) for each in times]


def from_json(told: Sequence[dict[str, Any]]) -> tuple[Time, ...]:
    """Raises TypeError for what no run wrote."""
    return tuple(Time(**each) for each in told)


def differences(times: Sequence[Time], unit: str = " ms") -> list[list[str]]:
    """For each of ``times``, in words, what it takes over each one before it; empty words where either lacks."""
    found = []
    for number, each in enumerate(times):
        over = [each.over(other) for other in times[:number]]
        found.append([f"{more[0]:+.3g}{unit} ({more[1]:+.1f} %)" if more else "" for more in over])
    return found
