"""Seeded faults of a board's front end, each named for what it is; and what is no fault."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from harness.audio.frontend import Audio, Features, FrontEnd
from harness.audio.probe import lasting, probe
from harness.score.frontend import Parity, compare

LIMIT = 0.02
FRONT = FrontEnd(mean=7.0, scale=4.0)
AUDIO = probe(FRONT)

Made = Callable[[], Features]


def told(make: Made, front: FrontEnd = FRONT) -> Parity:
    return compare(front.batch(AUDIO), make(), make(), front.scale, LIMIT)


def changed(**values: object) -> Made:
    return lambda: FRONT.model_copy(update=values).batch(AUDIO)


def dithered(audio: Audio = AUDIO) -> Features:
    """As kaldi-native-fbank computes by itself: nobody switched the dither off."""
    noise = np.random.default_rng().standard_normal(audio.shape)  # one step of int16
    return FRONT.batch(((audio + noise) / 32768).astype(np.float32))


def test_the_same_front_end_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(changed())
    assert (found.worst, found.cause) == (0.0, "")
    assert found.frames == len(AUDIO) * FRONT.frames


def test_rounding_of_another_processor_is_no_fault() -> None:
    own = np.random.default_rng(0)
    noise = own.normal(0, 1e-4, FRONT.batch(AUDIO).shape).astype(np.float32)
    assert told(lambda: FRONT.batch(AUDIO) + noise).cause == ""


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (changed(mel_bins=32), "the mel count differs: the board gives 32 bins a frame, [frontend] says 40"),
        (changed(frame_shift_ms=10.0), "frame_length_ms, frame_shift_ms, or padding"),
        (dithered, "dither is on there. Switch it off (dither = 0)"),
        (changed(scale=8.0), "the scaling is wrong: the board gives 0.5 times"),
        (changed(mean=0.0, scale=1.0), "mean and scale of [frontend] are not applied"),
        (lambda: FRONT.batch((AUDIO / 32768).astype(np.float32) / 32768), "takes int16"),
        (changed(preemphasis=0.0), "over the bins"),
        (lambda: np.roll(FRONT.batch(AUDIO), 1, axis=1), "1 later"),
        (lambda: FRONT.batch(AUDIO) * np.float32("nan"), "not finite"),
        (changed(window="hamming", low_hz=300.0), "bins"),
    ],
    ids=["mel count", "shift", "dither", "scale", "unscaled", "float audio", "preemphasis", "lag", "nan", "unknown"],
)
def test_a_seeded_fault_is_named(make: Made, cause: str) -> None:
    found = told(make)
    assert found.worst > LIMIT
    assert cause in found.cause


def test_recorded_dither_is_told_from_quiet_frames_though_a_recording_repeats() -> None:
    recording = dithered()
    assert "dither was not switched off" in told(lambda: recording).cause


def test_a_probe_repeats_and_holds_silence_and_full_bins() -> None:
    assert np.array_equal(AUDIO, probe(FRONT))
    assert (AUDIO == 0).all(axis=1).sum() == 1
    short = FrontEnd(window_s=0.09)
    assert probe(short).shape[1] == short.sample_rate
    assert lasting(short, short.sample_rate).frames == FRONT.frames


def test_a_recording_of_silence_tells_that_features_differ_and_not_why() -> None:
    """polyfit has nothing to fit where no frame is louder than most."""
    silent = FRONT.batch(np.zeros_like(AUDIO))
    other = FRONT.model_copy(update={"scale": 8.0}).batch(np.zeros_like(AUDIO))
    found = compare(silent, other, other, FRONT.scale, LIMIT)
    assert found.worst > LIMIT
    assert "as in digital silence" in found.cause
    assert "record speech for device_features" in found.cause
    mostly = AUDIO.copy()
    mostly[1:] = 0
    heard, told = FRONT.batch(mostly), FRONT.model_copy(update={"scale": 8.0}).batch(mostly)
    assert compare(heard, told, told, FRONT.scale, LIMIT).worst > LIMIT
