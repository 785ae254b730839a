"""One judged figure: the line every table, report and JSON record is made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.verdict import Outcome

Key = tuple[str, str, str, str]  # candidate, build, gate, slice
Before = Mapping[Key, "Row"]  # the figures of the last releases

SINCE = ("regression", "drift")  # gates that compare with accepted releases
# gates whose limit is a least, not a most
SPEECH = ("recordings", "synthetic")  # what slices of streams begin with: the two never share a figure or a line
AT_LEAST = frozenset({"sqnr", "recall", "score", "score sqnr", "float path", "success", "command accuracy"})


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of one gate on one slice, with its limit, interval, n, evidence and verdict.

    ``value``, ``limit``, ``low`` and ``high`` are in ``unit``; ``n`` counts renderings, nodes or
    timed rounds, ``clusters`` speakers. ``screened`` rows are cells: they fail only on shown harm.
    """

    candidate: str
    target: str
    recipe: str
    gate: str
    slice: str
    value: float | None
    unit: str
    limit: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int | None
    evidence: str
    outcome: Outcome
    detail: str
    screened: bool = False
    source: str = ""  # who gave the figure, in words: a simulator, a proxy, a set of rules

    def __post_init__(self) -> None:
        # Names of nodes and accents come from untrusted files, and go to terminals: no escapes, no forged lines.
        for name in ("slice", "detail", "source"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    @property
    def key(self) -> Key:
        """What the figure is found again by in another run."""
        return self.candidate, self.build, self.gate, self.slice

    @property
    def speech(self) -> str:
        """The kind of speech of a figure of streams; empty for every other."""
        first = self.slice.partition(" ")[0]
        return first if first in SPEECH else ""

    @property
    def build(self) -> str:
        return f"{self.target}/{self.recipe}"

    def as_json(self) -> dict[str, Any]:
        """Plain values, as JSON and xdist take them; figures that are not finite become None."""
        plain = asdict(self) | {"outcome": self.outcome.value}
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in plain.items()
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Row:
        return cls(**{**data, "outcome": Outcome(data["outcome"])})


def keyed(rows: Iterable[Row]) -> Before:
    """Figures by their keys; without those that are changes since a release already."""
    return {row.key: row for row in rows if row.value is not None and row.gate not in SINCE}


def printable(text: str) -> str:
    """One line: white space as spaces, other control characters and lone surrogates as their escapes."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else " " if each.isspace() else each.encode("unicode_escape").decode()
        for each in text
    )
