from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from harness.audio.clip import Clip
from harness.audio.corpus import Corpus
from harness.audio.frontend import FrontEnd
from harness.cache import Cache
from harness.errors import CandidateError, CorpusError
from harness.quantize.calibration import calibrate, choose, doubts
from harness.recipe import Calibration

RATE = 16000
LABELS = ("yes", "no")
ACCENTS = ("de", "en", "ja")


def clip(number: int, accent: str, label: str, folder: Path = Path()) -> Clip:
    name = f"{accent}-{label}-{number:03}"
    return Clip(name, folder / f"{name}.wav", label, f"speaker{number}", accent, "calibration")


def clips(each: int = 10, folder: Path = Path()) -> list[Clip]:
    return [clip(n, accent, label, folder) for accent in ACCENTS for label in LABELS for n in range(each)]


def corpus(folder: Path, level: float, each: int = 4) -> Corpus:
    """Noise at ``level`` (0: silence), written as 16-bit WAV."""
    random = np.random.default_rng(0)
    made = clips(each, folder)
    for one in made:
        wave = (level * random.standard_normal(RATE)).clip(-1, 1).astype(np.float32)
        soundfile.write(one.path, wave, RATE, subtype="PCM_16")
    return Corpus("noise", folder, tuple(made), RATE, dict.fromkeys(ACCENTS, "foreign"), False)


def test_every_accent_and_label_has_its_turn() -> None:
    chosen = choose(clips(), Calibration(clips=18))
    assert Counter((one.accent, one.label) for one in chosen) == {(a, w): 3 for a in ACCENTS for w in LABELS}


def test_a_rare_accent_is_not_drowned() -> None:
    many = [clip(n, "en", "yes") for n in range(500)] + [clip(0, "ja", "yes"), clip(1, "ja", "yes")]
    assert Counter(one.accent for one in choose(many, Calibration(clips=10))) == {"en": 8, "ja": 2}


@given(st.randoms(use_true_random=False), st.integers(1, 80), st.integers(0, 5))
def test_the_choice_depends_on_seed_and_ids_alone(random: object, count: int, seed: int) -> None:
    ordered, mixed = clips(), clips()
    random.shuffle(mixed)  # type: ignore[attr-defined]
    wanted = Calibration(clips=count, seed=seed)
    chosen = choose(ordered, wanted)
    assert chosen == choose(mixed, wanted)
    assert len(chosen) == len(set(chosen)) == min(count, len(ordered))


def test_another_seed_chooses_other_clips() -> None:
    assert choose(clips(50), Calibration(clips=30, seed=1)) != choose(clips(50), Calibration(clips=30, seed=2))


def test_a_sound_choice_raises_no_doubt() -> None:
    chosen = clips(20)
    assert doubts(chosen, np.full(len(chosen), -25.0), ACCENTS, set(LABELS)) == ()


@pytest.mark.parametrize(
    ("chosen", "level", "labels", "words"),
    [
        (clips(2), -25.0, set(LABELS), "only 12 clips"),
        (clips(20), -25.0, {f"word{i}" for i in range(40)} | set(LABELS), "at least 168"),
        (clips(20), -75.0, set(LABELS), "-75 dBFS"),
        (clips(20), -np.inf, set(LABELS), "-inf dBFS"),
        (clips(20), np.nan, set(LABELS), "nan dBFS"),
        ([clip(n, "en", word) for n in range(60) for word in LABELS], -25.0, set(LABELS), "only the accent 'en'"),
        (clips(20), -25.0, {*LABELS, "stop"}, "no clip of stop"),
    ],
    ids=["few", "few-for-labels", "quiet", "silent", "nan", "one-accent", "label-missing"],
)
def test_doubts_are_named(chosen: list[Clip], level: float, labels: set[str], words: str) -> None:
    found = doubts(chosen, np.full(len(chosen), level), ACCENTS, labels)
    assert any(words in doubt for doubt in found), found


def test_calibration_renders_and_extracts_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    noise, front = corpus(tmp_path, 0.1), FrontEnd()
    first = calibrate(noise, Calibration(clips=12), front, cache)
    again = calibrate(noise, Calibration(clips=12), front, cache)
    other = calibrate(noise, Calibration(clips=12, seed=2), front, cache)
    assert first.features.shape == (12, front.frames, front.bins)
    assert np.isfinite(first.features).all()
    assert first.digest == again.digest != other.digest
    assert first.level_db == pytest.approx(-20, abs=1.5)
    assert first.record()["clips"] == [one.id for one in first.clips]


def test_silence_is_told_not_crashed_on(tmp_path: Path) -> None:
    said: list[str] = []
    found = calibrate(corpus(tmp_path, 0.0), Calibration(clips=12), FrontEnd(), Cache(tmp_path / "c"), said.append)
    assert np.isfinite(found.features).all()
    assert any("dBFS" in warning for warning in found.warnings)
    assert any("dBFS" in line for line in said)


def test_an_unknown_condition_names_the_nearest(tmp_path: Path) -> None:
    wanted = Calibration(condition="noise-10")
    with pytest.raises(CandidateError, match="noise-10db"):
        calibrate(corpus(tmp_path, 0.1), wanted, FrontEnd(), Cache(tmp_path / "c"))


def test_no_calibration_split_is_an_error(tmp_path: Path) -> None:
    empty = Corpus("noise", tmp_path, (), RATE, {}, False)
    with pytest.raises(CorpusError, match="calibration"):
        calibrate(empty, Calibration(), FrontEnd(), Cache(tmp_path / "c"))
