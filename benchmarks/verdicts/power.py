"""Power: the smallest drop that is caught with 90 % probability per number of clips, by gates on the same data.

All hold the same promise: a build whose true drop is the limit FAILs at most one time in twenty. The paired gate keeps
it by its interval. The others are given their thresholds by an oracle that knows the truth, which no user has.

- *paired*: ``harness.gates.accuracy``, overall drop against golden, the same clips through both.
- *unpaired threshold*: the share right of the release on n clips less that of the build on n other clips, against a
  number. The usual gate of a CI that keeps one accuracy a run.
- *compare-fail*: pytest-benchmark's own ``PercentageRegressionCheck`` on the same two figures, as ``mean:N%`` of the
  error rate.
- *same clips, threshold*: the drop itself, without an interval, against a number: what pairing alone is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pytest_benchmark.utils import PercentageRegressionCheck

from benchmarks.verdicts.recorded import Draw, Recorded, draw_any, speakers_of
from harness.gates import accuracy
from harness.gates.base import Build
from harness.interval import Estimate, share
from harness.measure import percentile
from harness.score.slices import Slice
from harness.verdict import Outcome

LIMIT = 1.0  # points: the overall limit of models/commands
ALPHA = 0.05
POWER = 0.9
COUNTS = (10, 20, 40, 80, 160, 320)  # speakers of 13 clips each
DROPS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 13.0)  # points that the build is worse than golden; the first: limit
TRIED = 8  # builds that settle how much noise loses how much
SPEAKERS_DIFFER = 0.5  # sigma of the log of a speaker's noise
OVERALL = Slice("overall", "overall")
GATES = ("paired", "unpaired threshold", "compare-fail", "same clips, threshold")

Floats = npt.NDArray[np.float64]
Hits = npt.NDArray[np.bool_]  # (conditions, clips): decided right


@dataclass(frozen=True)
class Curve:
    """Of one gate and number of clips: the share of repeats that FAIL at each of ``DROPS``, and the drop caught."""

    gate: str
    clips: int
    caught: tuple[float, ...]
    smallest: float  # NaN where no drop tried is caught often enough


class Harm:
    """Builds that are worse than golden by so many points: noise on the golden logits, louder for some speakers."""

    def __init__(self, whole: Recorded, random: np.random.Generator) -> None:
        self.truth, self.times = whole.truth, len(whole.table.truth) // len(whole.truth)
        self.logits = whole.table.golden.reshape(self.times, len(self.truth), -1)
        self.golden = self.logits.argmax(axis=2) == self.truth
        speakers = np.unique([clip.speaker for clip in whole.clips], return_inverse=True)[1]
        louder = np.exp(random.normal(0, SPEAKERS_DIFFER, speakers.max() + 1))
        self.loudness = louder[speakers].astype(np.float32)
        self.random = random
        self.tried = [self._noise() for _ in range(TRIED)]

    def _noise(self) -> npt.NDArray[np.float32]:
        return self.random.standard_normal(self.logits.shape, np.float32)

    def hits(self, scale: float, noise: npt.NDArray[np.float32] | None = None) -> Hits:
        """What one build decides right; another one at every call."""
        noise = self._noise() if noise is None else noise
        noisy = self.logits + np.float32(scale) * self.loudness[None, :, None] * noise
        return np.asarray(noisy.argmax(axis=2) == self.truth)

    def scale(self, points: float) -> float:
        """The noise that loses ``points``, by bisection over the same few builds."""
        low, high = 0.0, 50.0
        for _ in range(18):
            middle = (low + high) / 2
            right = np.mean([self.hits(middle, noise).mean() for noise in self.tried])
            lost = 100 * (self.golden.mean() - right)
            low, high = (middle, high) if lost < points else (low, middle)
        return (low + high) / 2


def paired(build: Build, lost: Floats, drawn: Draw, times: int) -> bool:
    """Whether the gate FAILs. ``lost`` is golden right less build right, ``(times, clips drawn)``."""

    def measure(_: Slice, confidence: float) -> Estimate:
        speaker = np.tile(drawn.speaker, times)
        found = share(lost.ravel(), speaker, len(drawn.clips), confidence, build.seed, (-1.0, 1.0))
        return accuracy.percent(found)

    return accuracy.judge_by(build, "drop", [OVERALL], measure)["overall"].outcome is Outcome.FAIL


def curves(whole: Recorded, repeats: int, seed: int = 0) -> list[Curve]:
    """Every gate's curve at every number of clips."""
    random = np.random.default_rng(seed)
    harm, speakers, build = Harm(whole, random), speakers_of(whole), whole.build
    scales = [harm.scale(points) for points in DROPS]
    found = []
    for count in COUNTS:
        fails = np.zeros((len(DROPS), repeats), bool)
        gaps = np.zeros((len(DROPS), repeats))
        ratios = np.zeros((len(DROPS), repeats))
        plain = np.zeros((len(DROPS), repeats))
        for i, scale in enumerate(scales):
            for j in range(repeats):
                hits = harm.hits(scale)
                drawn, other = draw_any(speakers, random, count), draw_any(speakers, random, count)
                before, now = harm.golden[:, drawn.clips], hits[:, drawn.clips]
                fails[i, j] = paired(build, before.astype(float) - now, drawn, harm.times)
                plain[i, j] = 100 * (before.mean() - now.mean())
                saved = 1 - harm.golden[:, other.clips].mean()
                gaps[i, j] = 100 * (1 - now.mean() - saved)
                ratios[i, j] = 100 * ((1 - now.mean()) / saved - 1)
        clips = len(drawn.clips)
        found.append(_curve("paired", clips, fails))
        found.append(_curve("unpaired threshold", clips, gaps > np.quantile(gaps[0], 1 - ALPHA)))
        found.append(_curve("same clips, threshold", clips, plain > np.quantile(plain[0], 1 - ALPHA)))
        found.append(_curve("compare-fail", clips, compare_fail(ratios, float(np.quantile(ratios[0], 1 - ALPHA)))))
    return found


def compare_fail(ratios: Floats, threshold: float) -> npt.NDArray[np.bool_]:
    """pytest-benchmark's verdict ``mean:threshold%`` on how much more, in percent, the new mean is."""
    check: Any = PercentageRegressionCheck("mean", threshold)  # type: ignore[no-untyped-call]
    return np.array([[bool(check.fails({"mean": 100 + each}, {"mean": 100})) for each in row] for row in ratios])


def _curve(gate: str, clips: int, fails: npt.NDArray[np.bool_]) -> Curve:
    caught = fails.mean(axis=1)
    return Curve(gate, clips, tuple(caught.tolist()), reached(DROPS, caught))


def reached(values: Sequence[float], caught: Floats) -> float:
    """Where a rising curve first reaches POWER, between two tried values; NaN where it never does."""
    above = np.flatnonzero(caught >= POWER)
    if not len(above):
        return float("nan")
    i = int(above[0])
    if i == 0:
        return float(values[0])
    part = (POWER - caught[i - 1]) / (caught[i] - caught[i - 1])
    return float(values[i - 1] + part * (values[i] - values[i - 1]))


def needed(curves: Sequence[Curve], gate: str, drop: float) -> float:
    """Clips by which a gate catches a drop, on the line through the logarithms of what was found; NaN outside it."""
    own = [(curve.smallest, curve.clips) for curve in curves if curve.gate == gate and np.isfinite(curve.smallest)]
    own.sort()
    if len(own) < 2 or not own[0][0] <= drop <= own[-1][0]:
        return float("nan")
    drops, clips = np.log(np.array(own, float)).T
    return float(np.exp(np.interp(np.log(drop), drops, clips)))


@dataclass(frozen=True)
class Timing:
    """Of one gate on latency: the share of A/A comparisons that FAIL, and the smallest slowdown caught, in percent."""

    gate: str
    threshold: float  # percent
    false: float
    smallest: float
    n: int


SLOWER = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 80.0)  # percent


def timings(blocks: Floats) -> list[Timing]:
    """Gates on latency, from recorded blocks ``(blocks, rounds, 2)`` of a build and its float path in turns.

    *in turns*: the lower bound of the median ratio to float above the release's ratio by more than the threshold, as
    ``harness.gates.latency.slowdown`` has it. *compare-fail*: a figure of one block against that of another one.
    """
    usual = float(np.median([np.median(block[:, 0] / block[:, 1]) for block in blocks]))
    ratios = np.array([percentile(block[:, 0] / block[:, 1], 0.5).low / usual - 1 for block in blocks])  # type: ignore[operator]
    grown = {"in turns": 100 * ratios}
    for name, figure in (("mean", np.mean), ("median", np.median), ("min", np.min)):
        figures = figure(blocks[:, :, 0], axis=1)
        others = [100 * (b / a - 1) for i, a in enumerate(figures) for j, b in enumerate(figures) if i != j]
        grown[f"compare-fail={name}"] = np.array(others)
    found = []
    for gate, more in grown.items():
        for threshold in (5.0, float(np.quantile(more, 1 - ALPHA))):
            caught = np.array([((100 + more) * (1 + slower / 100) - 100 > threshold).mean() for slower in SLOWER])
            found.append(Timing(gate, threshold, float(caught[0]), reached(SLOWER, caught), len(more)))
    return found
