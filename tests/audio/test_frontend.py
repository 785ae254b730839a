from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.audio.frontend import FrontEnd
from harness.errors import CandidateError

from .conftest import tone

configs = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["fbank", "mfcc"]),
        "sample_rate": st.sampled_from([8000, 11025, 16000, 22050, 44100]) | st.integers(4000, 48000),
        "window_s": st.floats(0.2, 2),
        "frame_length_ms": st.sampled_from([20.0, 25.0, 30.0]) | st.floats(15, 100),
        "frame_shift_ms": st.sampled_from([10.0, 20.0]) | st.floats(5, 50),
        "mel_bins": st.integers(10, 15),
        "high_hz": st.floats(1500, 2000),
        "window": st.sampled_from(["povey", "hanning", "hamming"]),
    }
)


@settings(max_examples=80, deadline=None)
@given(configs)
def test_shape_stated_is_the_shape_computed(config: dict[str, object]) -> None:
    front = FrontEnd.model_validate(config)
    features = front.features(np.zeros(front.samples, np.int16))
    assert features.shape == (front.frames, front.bins)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_frames_are_cut_off_as_the_library_counts() -> None:
    """275.6 samples a frame are 275: rounding promised a frame too few or too many."""
    front = FrontEnd(sample_rate=11025, high_hz=5000, frame_length_ms=25, frame_shift_ms=10, window_s=1.0)
    assert front.frames == front.features(np.zeros(11025, np.int16)).shape[0] == 98


@pytest.mark.parametrize("kind", ["fbank", "mfcc"])
def test_int16_and_float_agree(kind: str) -> None:
    front = FrontEnd(kind=kind)
    pcm = np.resize(tone(1), front.samples)
    assert np.array_equal(front.features(pcm), front.features((pcm / 32768).astype(np.float32)))


def test_features_repeat_and_batch_is_each_alone() -> None:
    front = FrontEnd()
    waves = np.stack([np.resize(tone(i), front.samples) for i in range(3)])
    assert np.array_equal(front.batch(waves), np.stack([front.features(wave) for wave in waves]))
    assert front.batch(waves[:0]).shape == (0, front.frames, front.bins)


@settings(max_examples=40, deadline=None)
@given(configs, st.sampled_from([np.int16, np.float32]))
def test_windows_laid_end_to_end_are_each_alone(config: dict[str, object], kind: type) -> None:
    front = FrontEnd.model_validate(config)
    waves = np.stack([np.resize(tone(seed), front.samples) for seed in range(3)])
    audio = waves if kind is np.int16 else (waves / np.float32(32768)).astype(np.float32)
    assert np.array_equal(front.together(audio), np.stack([front.features(wave) for wave in audio]))


def test_windows_of_another_length_are_taken_one_by_one() -> None:
    front = FrontEnd()
    waves = np.stack([np.resize(tone(seed), 16010) for seed in range(2)])
    assert np.array_equal(front.together(waves), np.stack([front.features(wave) for wave in waves]))


def test_another_mel_count_is_another_shape() -> None:
    assert FrontEnd(mel_bins=40).bins == 40
    assert FrontEnd(mel_bins=32).features(np.zeros(16000, np.int16)).shape == (49, 32)
    assert FrontEnd(kind="mfcc", mel_bins=40, cepstra=10).features(np.zeros(16000, np.int16)).shape == (49, 10)


def test_mean_and_scale_normalize() -> None:
    pcm = np.resize(tone(2), 16000)
    plain, normal = FrontEnd().features(pcm), FrontEnd(mean=10.0, scale=4.0).features(pcm)
    assert np.allclose(normal, (plain - 10) / 4)


def test_a_tone_is_in_its_band() -> None:
    wave = (8000 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.int16)
    front = FrontEnd(preemphasis=0.0)
    low, at, high = 1127 * np.log(1 + np.array([20, 1000, 7600]) / 700)  # the mel scale
    expected = (at - low) / ((high - low) / 41) - 1
    assert front.features(wave).mean(axis=0).argmax() == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"high_hz": 9000}, "above half the sample rate"),
        ({"low_hz": 7700}, "not below high_hz"),
        ({"kind": "mfcc", "cepstra": 41}, "exceeds mel_bins"),
        ({"window_s": 0.02}, "shorter than one frame"),
        ({"mean": float("nan")}, "finite"),
        ({"scale": float("inf")}, "finite"),
        ({"dither": 1}, "Extra inputs"),
    ],
)
def test_configs_that_make_no_sense(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FrontEnd.model_validate(config)


def test_too_many_bands_for_the_frame_say_so() -> None:
    with pytest.raises(CandidateError, match="take fewer mel_bins than 128, or longer frames"):
        FrontEnd(mel_bins=128).features(np.zeros(16000, np.int16))


def test_audio_shorter_than_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="10 samples are shorter than one frame"):
        FrontEnd().features(np.zeros(10, np.int16))
