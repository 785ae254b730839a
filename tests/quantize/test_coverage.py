"""What a calibration lacks of the test is counted, and told where it sets poor ranges."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.audio.clip import Clip
from harness.quantize.calibration import CalibrationSet, choose, spread
from harness.quantize.coverage import cover, loudness, overlaps
from harness.recipe import Calibration

RANDOM = np.random.default_rng(0)
ACCENTS, LABELS = ("de", "ja"), ("yes", "no")


def clips(each: int, split: Any = "calibration") -> list[Clip]:
    return [
        Clip(f"{accent}-{label}-{n:03}", Path(), label, f"speaker{n}", accent, split)
        for accent in ACCENTS
        for label in LABELS
        for n in range(each)
    ]


def calibration(scale: float = 1.0, level: float = -30.0, shift: float = 0.0) -> CalibrationSet:
    chosen = tuple(clips(40))
    features = (scale * RANDOM.uniform(-1, 1, (len(chosen), 10, 8)) + shift).astype(np.float32)
    levels = np.full(len(chosen), level, np.float32)
    return CalibrationSet(features, chosen, ("clean",) * len(chosen), levels, level, (), "")


def judged(level: float = -30.0) -> tuple[list[Clip], dict[str, Any], dict[str, Any]]:
    own = clips(30, "test")
    features = RANDOM.uniform(-1, 1, (len(own), 10, 8)).astype(np.float32)
    return own, {"clean": features, "device": features}, dict.fromkeys(("clean", "device"), np.full(len(own), level))


def test_of_many_windows_some_are_looked_at_and_all_are_counted() -> None:
    own = clips(400, "test")
    features = RANDOM.uniform(-1, 1, (len(own), 10, 8)).astype(np.float32)
    features[1::2] *= 9  # between those that are looked at: every sixth of 1600
    found = cover(calibration(1.01), own, {"clean": features}, {"clean": np.full(len(own), -30.0)})
    assert found.test_range[1] <= 1
    assert found.conditions == {"clean": (160, 1600)}
    assert not found.doubts


def test_a_fitting_calibration_raises_no_doubt() -> None:
    found = cover(calibration(1.01), *judged())
    assert found.doubts == ()
    assert found.accents == {"de": (80, 60), "ja": (80, 60)}
    assert found.conditions == {"clean": (160, 120), "device": (0, 120)}
    assert found.levels == {"middling": (160, 240)}
    assert min(found.overlap) > 0.98


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (calibration(0.5), "% of the test's feature values lie outside its range"),
        (calibration(3.0), "3.0 times as wide as the test's"),
        (calibration(1.0, shift=1.0), "8 of 8 bins are calibrated on less than 80%"),
        (calibration(1.0, level=-60.0), "its median level is -60 dBFS, the test's -30"),
        (calibration(1.0, level=-np.inf), "its median level is -inf dBFS"),
    ],
    ids=["narrow", "wide", "elsewhere", "quiet", "silent"],
)
def test_a_range_far_from_the_tests_is_told(chosen: CalibrationSet, words: str) -> None:
    assert any(words in doubt for doubt in cover(chosen, *judged()).doubts)


@given(st.floats(0.1, 4), st.floats(-3, 3))
def test_overlap_is_a_share(scale: float, shift: float) -> None:
    own = RANDOM.uniform(-1, 1, (20, 5, 3)).astype(np.float32)
    shares = overlaps((scale * own + shift).astype(np.float32), own)
    assert ((shares >= 0) & (shares <= 1 + 1e-6)).all()
    if scale >= 1 and shift == 0:
        assert (shares > 0.999).all()


@pytest.mark.parametrize(
    ("level", "word"), [(-np.inf, "silent"), (-50, "very quiet"), (-30, "middling"), (0, "very loud")]
)
def test_levels_have_words(level: float, word: str) -> None:
    assert loudness(level) == word


def test_quiet_middling_and_loud_clips_are_chosen_alike() -> None:
    pool = clips(60)
    levels = {clip.id: -50.0 + int(clip.id[-3:]) / 2 for clip in pool}  # of each accent and label -50 to -20.5
    chosen = choose(pool, Calibration(clips=60), levels)
    thirds = Counter(int(int(clip.id[-3:]) // 20) for clip in chosen)
    assert thirds == {0: 20, 1: 20, 2: 20}
    assert Counter((clip.accent, clip.label) for clip in chosen) == {(a, w): 15 for a in ACCENTS for w in LABELS}


@given(st.integers(1, 60), st.integers(0, 9))
def test_every_accent_is_heard_through_every_condition(count: int, seed: int) -> None:
    wanted = Calibration(clips=count, seed=seed, condition=("clean", "device", "far-field"))
    chosen = choose(clips(20), wanted)
    through = spread(chosen, wanted)
    assert through == spread(chosen, wanted)
    for accent in {clip.accent for clip in chosen}:
        own = Counter(name for clip, name in zip(chosen, through, strict=True) if clip.accent == accent)
        counts = [own[name] for name in wanted.conditions]
        assert max(counts) - min(counts) <= 1


def test_no_condition_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="names none"):
        Calibration(condition=())
