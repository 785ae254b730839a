"""What a calibration holds of what the test holds: accents, labels, conditions, levels, and the range of every bin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.audio.clip import Clip
from harness.audio.frontend import Features
from harness.quantize.calibration import CalibrationSet

Levels = npt.NDArray[np.floating[Any]]

OUTSIDE = 0.005  # share of the test's values beyond the calibrated range: a healthy DS-CNN bears 0.002 without loss
WIDE = 1.5  # times the test's range: half a bit of eight is wasted
LEAST_OVERLAP = 0.8  # of a bin's own range
FAR_DB = 15.0  # between the median levels: as between arm's length and the far end of a room
EDGES = ((-60.0, "silent"), (-45.0, "very quiet"), (-35.0, "quiet"), (-25.0, "middling"), (-15.0, "loud"))  # below
LOUDEST = "very loud"
MOST = 300  # windows of a condition whose features are looked at: ranges do not hang on more of them


@dataclass(frozen=True, slots=True)
class Coverage:
    """Counts are (calibration, test) by name; ranges are of features, as the model takes them."""

    accents: dict[str, tuple[int, int]]
    labels: dict[str, tuple[int, int]]
    conditions: dict[str, tuple[int, int]]
    levels: dict[str, tuple[int, int]]  # clips by loudness, in words
    median_db: tuple[float, float]
    range: tuple[float, float]  # least and greatest calibrated value
    test_range: tuple[float, float]
    outside: float  # share of the test's values beyond the calibrated range
    overlap: tuple[float, ...]  # of each bin: the share of the test's range (all but 1 in 1000) that is calibrated
    doubts: tuple[str, ...]  # why the ranges may not fit the test

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def cover(
    chosen: CalibrationSet,
    clips: Sequence[Clip],
    features: Mapping[str, Features],
    levels: Mapping[str, Levels],
) -> Coverage:
    """``features`` ``(n, frames, bins)`` and ``levels`` ``(n,)`` are of the test ``clips``, by condition.

    Of more than MOST windows of a condition, as many are looked at, evenly spaced.
    """
    test = np.concatenate([part[:: -(-len(part) // MOST) or 1] for part in features.values()])
    heard = np.concatenate(list(levels.values()))
    low, high = _bounds(chosen.features)
    outside = float(np.mean((test < low) | (test > high)))
    found = {
        "accents": _counts([c.accent for c in chosen.clips], [c.accent for c in clips]),
        "labels": _counts([c.label for c in chosen.clips], [c.label for c in clips]),
        "conditions": _counts(chosen.conditions, [name for name, part in features.items() for _ in part]),
        "levels": _loudness(chosen.levels_db, heard),
    }
    medians = (float(np.median(chosen.levels_db)), float(np.median(heard)))
    overlap = overlaps(chosen.features, test)
    doubts = _doubts((low, high), _bounds(test), outside, overlap, medians)
    return Coverage(
        **found,
        median_db=medians,
        range=(low, high),
        test_range=_bounds(test),
        outside=outside,
        overlap=tuple(float(share) for share in overlap),
        doubts=doubts,
    )


def overlaps(calibration: Features, test: Features) -> npt.NDArray[np.float64]:
    """Of each bin the share of the test's range, from its 0.05th to its 99.95th percentile, that is calibrated."""
    low, high = np.percentile(test, (0.05, 99.95), axis=(0, 1))
    least, most = calibration.min(axis=(0, 1)), calibration.max(axis=(0, 1))
    width = np.maximum(high - low, 1e-9)
    return np.asarray(np.clip(np.minimum(high, most) - np.maximum(low, least), 0, None) / width, np.float64)


def loudness(level_db: float) -> str:
    """A level in words."""
    return next((word for edge, word in EDGES if not level_db >= edge), LOUDEST)


def _bounds(features: Features) -> tuple[float, float]:
    return float(features.min()), float(features.max())


def _counts(calibration: Sequence[str], test: Sequence[str]) -> dict[str, tuple[int, int]]:
    ours, theirs = Counter(calibration), Counter(test)
    return {name: (ours[name], theirs[name]) for name in sorted({*ours, *theirs})}


def _loudness(calibration: Levels, test: Levels) -> dict[str, tuple[int, int]]:
    found = _counts([loudness(level) for level in calibration], [loudness(level) for level in test])
    return {word: found[word] for word in (*(word for _, word in EDGES), LOUDEST) if word in found}


def _doubts(
    ours: tuple[float, float],
    theirs: tuple[float, float],
    outside: float,
    overlap: npt.NDArray[np.float64],
    medians: tuple[float, float],
) -> tuple[str, ...]:
    found = []
    if outside > OUTSIDE:
        found.append(
            f"{100 * outside:.2g} % of the test's feature values lie outside its range [{ours[0]:.2f}, {ours[1]:.2f}] "
            f"(the test's is [{theirs[0]:.2f}, {theirs[1]:.2f}]): they are clipped"
        )
    ratio = (ours[1] - ours[0]) / max(theirs[1] - theirs[0], 1e-9)
    if ratio > WIDE:
        found.append(f"its range is {ratio:.1f} times as wide as the test's: levels of int8 are spent on nothing")
    thin = np.flatnonzero(overlap < LEAST_OVERLAP)
    if len(thin):
        worst = int(overlap.argmin())
        found.append(
            f"{len(thin)} of {len(overlap)} bins are calibrated on less than {LEAST_OVERLAP:.0%} of the test's range, "
            f"bin {worst} on {overlap[worst]:.0%}"
        )
    if not abs(medians[0] - medians[1]) <= FAR_DB:
        found.append(f"its median level is {medians[0]:.0f} dBFS, the test's {medians[1]:.0f}")
    return tuple(found)
