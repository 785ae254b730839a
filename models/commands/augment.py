"""Rooms, noise, microphones and levels for training; on purpose not the conditions the model is judged under."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, oaconvolve, sosfilt

SAMPLE_RATE = 16000
REVERBERANT, NOISY, BAND_LIMITED = 0.5, 0.7, 0.3  # how often
RT60_S = (0.08, 0.9)
DIRECT_TO_REVERB_DB = (-6.0, 12.0)
SNR_DB = (0.0, 30.0)
QUIETEST_SPEECH = 10 ** (-45 / 20)
GAIN_DB = (-20.0, 8.0)
TALKERS = 6

Wave = npt.NDArray[np.float32]


def augment(audio: Wave, key: str) -> Wave:
    """``audio`` ``(samples,)`` as heard elsewhere; the same for the same ``key``."""
    own = np.random.default_rng(zlib.crc32(key.encode()))
    heard = audio.astype(np.float64)
    if own.random() < REVERBERANT:
        heard = _reverberate(heard, own)
    if own.random() < NOISY:
        noise = _babble(len(heard), own) if own.random() < 0.4 else _coloured(len(heard), own)
        level = max(_rms(heard), QUIETEST_SPEECH) * 10 ** (-own.uniform(*SNR_DB) / 20)
        heard = heard + noise * level / _rms(noise)
    if own.random() < BAND_LIMITED:
        edges = (own.uniform(60, 350), own.uniform(3000, 7500))
        heard = sosfilt(butter(2, edges, "bandpass", fs=SAMPLE_RATE, output="sos"), heard)
    heard = heard * 10 ** (own.uniform(*GAIN_DB) / 20)
    return np.asarray(np.clip(heard, -1, 1), np.float32)


def _reverberate(audio: npt.NDArray[np.float64], own: np.random.Generator) -> npt.NDArray[np.float64]:
    """Direct sound, a few reflections and an exponential tail (Polack's model) of a drawn reverberation time."""
    rt60 = own.uniform(*RT60_S)
    time = np.arange(int(rt60 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = own.standard_normal(len(time)) * np.exp(-6.9 * time / rt60)
    tail = np.convolve(tail, [1.0, own.uniform(0.0, 0.9)])[: len(tail)]  # walls absorb the treble first
    tail[: own.integers(20, 160)] = 0.0
    tail[own.integers(20, 480, 4) % len(tail)] += own.uniform(-4, 4, 4)
    tail *= 10 ** (-own.uniform(*DIRECT_TO_REVERB_DB) / 20) / np.sqrt((tail**2).sum())
    tail[0] += 1.0
    return np.asarray(oaconvolve(audio, tail)[: len(audio)])


def _coloured(samples: int, own: np.random.Generator) -> npt.NDArray[np.float64]:
    """Noise whose spectrum falls (or rises) by a drawn slope, swelling now and then."""
    spectrum = np.fft.rfft(own.standard_normal(samples))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-own.uniform(-0.3, 1.0))
    spectrum[:40] = 0.0
    swell = np.interp(np.linspace(0, 5, samples), range(6), own.uniform(0.3, 1.0, 6))
    return np.asarray(np.fft.irfft(spectrum, samples) * swell)


def _babble(samples: int, own: np.random.Generator) -> npt.NDArray[np.float64]:
    """Several talkers at once: speech-shaped noise in syllables."""
    total = np.zeros(samples)
    shape = butter(1, (own.uniform(120, 300), own.uniform(800, 2500)), "bandpass", fs=SAMPLE_RATE, output="sos")
    for _ in range(own.integers(1, TALKERS)):
        beats = np.clip(own.standard_normal(10) + 0.3, 0.02, None)
        total += sosfilt(shape, own.standard_normal(samples)) * np.interp(np.linspace(0, 9, samples), range(10), beats)
    return total


def _rms(audio: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt((audio**2).mean())) + 1e-9
