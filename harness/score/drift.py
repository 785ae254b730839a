"""How far a build's scores are from the float model's, minute by minute: a state that goes wrong does so slowly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.interval import Estimate, clustered_mean, difference

Scores = npt.NDArray[np.float32]
Decibels = npt.NDArray[np.float64]

MINUTE_S = 60.0
FEWEST_MINUTES = 30  # in fewer, drift is not ruled out
MOST_DB = 160.0  # of an error that is none, or of scores that are not finite
TINY = 1e-30
MOST_SLIP_S = 5.0  # by which scores are looked for before and after their own step
EXPLAINED = 0.1  # of the error, and of what is said, left over where the step of another time explains it


@dataclass(frozen=True, slots=True)
class Pair:
    """Two traces ``(steps,)`` of one stream: the float step's, and what is held to it."""

    plain: Scores
    tested: Scores
    step_s: float
    stream: str

    def __post_init__(self) -> None:
        if self.plain.shape != self.tested.shape:
            raise ValueError(f"traces of {self.plain.shape} and {self.tested.shape} steps are not of one stream")

    @property
    def hours(self) -> float:
        return len(self.plain) * self.step_s / 3600

    @property
    def farthest(self) -> float:
        return float(np.abs(self.plain.astype(np.float64) - self.tested).max())

    @property
    def sqnr_db(self) -> float:
        """Variance of the float scores over the mean square error, over all steps."""
        error = float(np.square(self.tested.astype(np.float64) - self.plain).mean())
        return float(10 * np.log10(max(float(np.var(self.plain, dtype=np.float64)), TINY) / max(error, TINY)))

    @property
    def slipped(self) -> tuple[int, int] | None:
        """The first minute whose scores are those of other steps, and by how many they come late (below 0: early)."""
        size, most = round(MINUTE_S / self.step_s), round(MOST_SLIP_S / self.step_s)
        plain, tested = self.plain.astype(np.float64), self.tested.astype(np.float64)
        for minute in range(len(plain) // size):
            own = slice(minute * size + most, (minute + 1) * size - most)
            errors = {
                late: float(np.square(tested[own] - plain[own.start - late : own.stop - late]).mean())
                for late in range(-most, most + 1)
            }
            best = min(errors, key=lambda late: (errors[late], abs(late)))
            # Where a build is silent, float's own peaks may lie beyond other steps: that explains nothing it says.
            if errors[best] < EXPLAINED * min(errors[0], float(np.var(tested[own]))):
                return minute, best
        return None

    @property
    def minutes(self) -> Minutes:
        """The error minute by minute, of whole minutes."""
        size = round(MINUTE_S / self.step_s)
        whole = len(self.plain) // size * size
        error = (self.tested[:whole].astype(np.float64) - self.plain[:whole]).reshape(-1, size)
        signal = max(float(np.var(self.plain[:whole], dtype=np.float64)), TINY)
        noise = np.square(error).mean(axis=1) / signal
        most = 10 ** (MOST_DB / 10)
        return Minutes(-10 * np.log10(np.clip(np.where(np.isfinite(noise), noise, most), 1 / most, most)))


@dataclass(frozen=True, slots=True)
class Minutes:
    """SQNR of a score trace in dB, ``(minutes,)`` in their order: error under the variance of the float scores."""

    sqnr_db: Decibels

    @property
    def worst(self) -> int:
        return int(np.argmin(self.sqnr_db))

    def level(self, confidence: float, seed: int) -> Estimate:
        """Mean SQNR in dB, bounds over minutes."""
        return _mean(self.sqnr_db, confidence, seed)

    def growth(self, confidence: float, seed: int) -> Estimate:
        """dB by which the error is greater in the last third of the minutes than in the first."""
        third = len(self.sqnr_db) // 3
        first, last = self.sqnr_db[:third], self.sqnr_db[len(self.sqnr_db) - third :]
        return difference(_mean(first, confidence, seed), _mean(last, confidence, seed))


def _mean(values: Decibels, confidence: float, seed: int) -> Estimate:
    return clustered_mean(values, np.arange(len(values)), len(values), confidence, seed)
