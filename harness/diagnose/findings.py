"""The words of a diagnosis: Stage, Trial, Cause, Diagnosis."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.diagnose.effect import Effect
from harness.row import printable

Kind = Literal["golden", "front end", "conversion", "placement", "board", "calibration", "precision", "layers"]

# Upstream first: what is wrong there makes all that follows wrong too, and costs least to mend.
ORDER: tuple[Kind, ...] = (
    "golden", "front end", "conversion", "placement", "board", "calibration", "precision", "layers",
)  # fmt: skip

EXPLAINS = 0.75  # of the noise gone, 6 dB: with this mended, the rest is another matter
TOUCHES = 0.4  # 2.2 dB: it has a part in it; below, changes of nothing in particular do as much


@dataclass(frozen=True, slots=True)
class Stage:
    """One step from the float model to the board, against the float model: where it gets worse, the fault is."""

    name: str
    evidence: str
    sqnr: float  # dB
    accuracy: float  # percent
    n: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One controlled experiment: one thing changed, the rest the same. No effect where it could not be made."""

    kind: Kind
    name: str
    effect: Effect | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause that an experiment speaks for: its effect, the share it explains, and the fix to try."""

    kind: Kind
    what: str
    effect: Effect
    explained: float  # share of the noise (or of the lost accuracy, where float itself is wrong)
    fix: str
    evidence: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()  # by name, where layers are the cause

    @property
    def sure(self) -> bool:
        return self.explained >= EXPLAINS

    @property
    def title(self) -> str:
        return f"{self.kind}: {self.what}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why one build fails on one slice."""

    candidate: str
    recipe: str
    slice: str
    faulty: bool
    state: str  # what is lost, in words with n
    stages: tuple[Stage, ...] = ()
    causes: tuple[Cause, ...] = ()  # likeliest first
    trials: tuple[Trial, ...] = ()
    left_out: tuple[str, ...] = ()  # what the time was too short for, or another finding made needless
    seconds: float = 0.0

    @property
    def line(self) -> str:
        """One line for the terminal."""
        if not self.faulty:
            return "no fault found: " + self.state
        if not self.causes:
            return f"likely cause: not told apart ({len(self.trials)} experiments, none removes the loss); {self.state}"
        first = self.causes[0]
        if not first.sure:
            told = " or ".join(cause.title for cause in self.causes[:2])
            return f"likely cause: not told apart, {told} have a part in it ({first.effect.text}); {self.state}"
        return f"likely cause: {first.title} ({first.effect.text}, n={first.effect.n}). Try: {first.fix}"

    @property
    def word(self) -> str:
        """The kind of the first cause, ``nothing`` or ``not told apart``."""
        if not self.faulty:
            return "nothing"
        return self.causes[0].kind if self.causes and self.causes[0].sure else "not told apart"

    def as_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = _finite(asdict(self))
        return plain | {"verdict": self.word, "line": printable(self.line)}


def ranked(causes: list[Cause]) -> tuple[Cause, ...]:
    """Those that explain the loss by themselves first, the upstream before the downstream; then by their share."""
    having = [cause for cause in causes if cause.explained >= TOUCHES]
    return tuple(sorted(having, key=lambda c: (not c.sure, ORDER.index(c.kind) if c.sure else 0, -c.explained)))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
