"""What an experiment shows: points of accuracy and dB of SQNR, on the same renderings as what it is held against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from harness.interval import share
from harness.score.keyword import SQNR_CEILING, Comparison, decisions
from harness.targets.base import Features, Logits

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change gains over what it changed: one-sided bounds at 95 %, each.

    ``points`` of accuracy with ``low`` and ``high``; ``db`` of SQNR against float, None where float itself is what
    changed; ``removed`` the share of the quantization noise that is gone (1 all, 0 none, below 0 more noise). ``n``
    renderings, ``clusters`` speakers.
    """

    points: float
    low: float
    high: float
    db: float | None
    removed: float
    n: int
    clusters: int

    @property
    def text(self) -> str:
        points, low, high = (round(each, 1) + 0.0 for each in (self.points, self.low, self.high))  # no -0.0
        said = f"{points:+.1f} points [{low:.1f}, {high:.1f}]"
        return said if self.db is None else f"{said}, {round(self.db, 1) + 0.0:+.1f} dB"


@dataclass(frozen=True, slots=True)
class Sample:
    """The renderings that experiments are judged on: ``windows`` ``(n, frames, bins)`` and what float says of them."""

    windows: Features
    reference: Logits
    truth: npt.NDArray[np.intp]
    speaker: npt.NDArray[np.intp]
    clip: npt.NDArray[np.intp]
    condition: npt.NDArray[np.intp]  # by its place among the candidate's

    def __len__(self) -> int:
        return len(self.truth)

    def sqnr(self, logits: Logits) -> float:
        """dB of float logits over what ``logits`` differ by, over all renderings at once."""
        noise = self.noise(logits)
        signal = float(np.square(self.reference.astype(np.float64)).sum())
        if not math.isfinite(noise) or signal == 0:
            return -math.inf
        return min(SQNR_CEILING, 10 * math.log10(signal / max(noise, signal * 10 ** (-SQNR_CEILING / 10))))

    def noise(self, logits: Logits) -> float:
        """Squared differences from float, summed; infinite where an output is not finite."""
        total = float(np.square(logits.astype(np.float64) - self.reference).sum())
        return total if math.isfinite(total) else math.inf

    def accuracy(self, logits: Logits) -> float:
        """Percent decided right."""
        return 100 * float((decisions(logits) == self.truth).mean())

    def surprise(self, logits: Logits) -> float:
        """Mean negative log-likelihood of the truth, nats: tells two good models apart before a decision flips."""
        rows = logits.astype(np.float64)
        shifted = rows - rows.max(axis=1, keepdims=True)
        return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(rows)), self.truth]).mean())

    def effect(self, before: Logits, after: Logits) -> Effect:
        """What ``after`` gains over ``before``, paired by rendering."""
        gained = (decisions(after) == self.truth).astype(np.float64) - (decisions(before) == self.truth)
        clips = len(np.unique(self.clip))
        figure = share(gained, self.speaker, clips, CONFIDENCE, 0, (-1.0, 1.0))
        least, most = self.noise(after), self.noise(before)
        removed = 1.0 if math.isinf(most) and math.isfinite(least) else 0.0
        if math.isfinite(most) and most > 0:
            removed = max(-1.0, 1 - least / most)
        db = self.sqnr(after) - self.sqnr(before) if math.isfinite(most) and math.isfinite(least) else 0.0
        low, high = (100 * max(-1.0, min(1.0, each)) for each in (figure.low, figure.high))
        return Effect(100 * figure.value, low, high, db, removed, figure.n, figure.clusters)

    def gain(self, logits: Logits) -> Effect:
        """What another float model, or another reading of this one, gains over the reference itself."""
        return replace(self.effect(self.reference, logits), db=None, removed=0.0)

    def reduced(self, most: int) -> Sample:
        """At most ``most`` renderings, evenly from all of them."""
        return self.only(evenly(len(self), most))

    def only(self, chosen: npt.NDArray[np.intp]) -> Sample:
        """The renderings at these places."""
        return replace(self, **{part.name: getattr(self, part.name)[chosen] for part in fields(self)})


def evenly(count: int, most: int) -> npt.NDArray[np.intp]:
    """At most ``most`` of ``count`` places, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def whole(comparison: Comparison, windows: Sequence[Features]) -> Sample:
    """Every rendering of a comparison, whose conditions ``windows`` has in the same order."""
    names = list(dict.fromkeys(comparison.condition))
    return Sample(
        np.concatenate(list(windows)),
        comparison.golden,
        comparison.truth,
        comparison.speaker,
        comparison.clip.astype(np.intp),
        np.array([names.index(name) for name in comparison.condition], np.intp),
    )
