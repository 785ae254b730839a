"""What happens to speech on its way into a device: noise, rooms, and the device itself.

Effects take many clips at once, ``(n, samples)`` float32: transforms of many are cheaper than as many transforms, and
the same to the bit. Each keeps the length of the audio, and may pass full scale: the caller turns the whole down, so
that nothing clips and ratios stay. What is left to chance is drawn clip by clip, before, from a generator of the
clip's own seed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.audio.clip import Wave

QUIET_DBFS = -50.0
SPEECH_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)
# Long-term average speech spectrum, dB in third-octave bands at SPEECH_HZ, both sexes, 12 languages:
# Byrne et al., J. Acoust. Soc. Am. 96 (1994) 2108-2120, table II.
SPEECH_DB = (57.7, 60.3, 62.1, 53.7, 48.7, 45.6, 43.7)
TALKERS = 4
SYLLABLES_PER_S = 4.0  # where the modulation spectrum of running speech peaks
PINK_DB_PER_OCTAVE = -3.01
PINK_FFT = 64
TOGETHER = 4  # noises shaped at once: more of them do not stay in a processor's cache
ROLLOFF = 4  # the order of the device's band: 24 dB an octave
PEAK = 32767 / 32768

Draw = np.random.RandomState  # the generator that audiomentations draws from: its streams must not change
Values = npt.NDArray[np.float64]


def level_db(audio: Wave) -> float:
    """RMS level in dBFS (a full-scale square wave is 0), not below -120."""
    return float(20 * np.log10(max(np.sqrt(np.mean(np.square(audio, dtype=np.float64))), 1e-6)))


def turned_down(audio: Wave) -> Wave:
    """The same, scaled to stay below full scale where it would clip."""
    peak = float(np.abs(audio).max(initial=0.0))
    return audio * np.float32(PEAK / peak) if peak > PEAK else audio


@dataclass(frozen=True, slots=True)
class Noise:
    """A kind of noise: ``draw(chance, samples, rate)`` takes what one clip leaves to chance, ``shape(drawn, rate)``
    makes the noise of many, ``(n, samples)``."""

    draw: Callable[[Draw, int, int], Any]
    shape: Callable[[Sequence[Any], int], Wave]

    def __call__(self, samples: int, sample_rate: int, chance: Draw) -> Wave:
        """``(samples,)`` float32."""
        return np.asarray(self.shape([self.draw(chance, samples, sample_rate)], sample_rate)[0], np.float32)


def draw_noise(chance: Draw, samples: int, sample_rate: int) -> tuple[Noise, Any]:
    """Pink noise or babble, by lot, and what it leaves to chance."""
    noise = pink if chance.random_sample() < 0.5 else babble
    return noise, noise.draw(chance, samples, sample_rate)


def add_noise(audio: Wave, sample_rate: int, snr_db: float, drawn: Sequence[tuple[Noise, Any]]) -> Wave:
    """Noise as drawn for each clip, ``snr_db`` below the RMS of the whole window.

    Audio below QUIET_DBFS counts as that loud: a room is not silent because nobody speaks.
    """
    noise = np.empty_like(audio)
    for kind in (pink, babble):
        rows = [row for row, (own, _) in enumerate(drawn) if own is kind]
        for some in (rows[first : first + TOGETHER] for first in range(0, len(rows), TOGETHER)):
            noise[some] = kind.shape([drawn[row][1] for row in some], sample_rate)
    for row, wave in zip(noise, audio, strict=True):
        wanted = max(level_db(wave), QUIET_DBFS) - snr_db
        row *= np.float32(10 ** ((wanted - level_db(row)) / 20))
    return audio + noise


def _draw_pink(chance: Draw, samples: int, sample_rate: int) -> tuple[Values, Values]:
    del sample_rate
    return chance.normal(size=samples), chance.uniform(0, 2 * np.pi, PINK_FFT // 2 + 1)


def _shape_pink(drawn: Sequence[tuple[Values, Values]], sample_rate: int) -> Wave:
    """Noise falling 3 dB an octave: audiomentations' generate_decaying_white_noise, of many clips."""
    from audiomentations.augmentations.add_color_noise import decay_to_beta
    from scipy.signal import oaconvolve

    hertz = np.fft.rfftfreq(PINK_FFT, 1 / sample_rate)
    hertz[0] = 1
    decay = np.sqrt(1 / hertz ** decay_to_beta(PINK_DB_PER_OCTAVE))
    responses = np.fft.irfft(decay * np.exp(1j * np.stack([phases for _, phases in drawn])))
    noise = oaconvolve(np.stack([white for white, _ in drawn]), responses, mode="same", axes=1)
    noise /= np.sqrt(np.mean(np.square(noise), axis=1, keepdims=True))
    return np.asarray(noise, np.float32)


def _draw_babble(chance: Draw, samples: int, sample_rate: int) -> Values:
    """Independent Gaussian talkers of one spectrum, before it: they sum to one of their summed power."""
    frac, edges = _beats(samples, sample_rate)
    knots = np.stack([chance.uniform(0.05, 1.0, len(edges)) for _ in range(TALKERS)])
    power = np.empty(samples)
    for beat, (first, last) in enumerate(pairwise(edges)):  # np.interp's arithmetic, of all talkers
        own = knots[:, beat, None]
        swell = (knots[:, beat + 1, None] - own) * frac[first:last] + own
        power[first:last] = np.square(swell, out=swell).sum(axis=0)
    power[-1] = np.square(knots[:, -1]).sum()
    return np.asarray(np.sqrt(power) * chance.normal(size=samples), np.float64)


@lru_cache(maxsize=8)
def _beats(samples: int, sample_rate: int) -> tuple[Values, tuple[int, ...]]:
    """How far each sample lies behind the beat before it, in beats, and the first sample of each beat."""
    beats = int(np.ceil(2 * SYLLABLES_PER_S * samples / sample_rate)) + 2
    at = np.linspace(0, beats - 1, samples)
    return at - np.floor(at), tuple(int(place) for place in np.searchsorted(at, np.arange(beats)))


def _shape_babble(drawn: Sequence[Values], sample_rate: int) -> Wave:
    """Unintelligible talkers: noise of the speech spectrum, each talker swelling at a syllable's pace."""
    from scipy.signal import oaconvolve

    return np.asarray(oaconvolve(np.stack(drawn), _speech_filter(sample_rate)[None], mode="same", axes=1), np.float32)


pink = Noise(_draw_pink, _shape_pink)
babble = Noise(_draw_babble, _shape_babble)


@lru_cache(maxsize=8)
def _speech_filter(sample_rate: int) -> npt.NDArray[np.float64]:
    from scipy.signal import firwin2

    density = np.array(SPEECH_DB) - 10 * np.log10(SPEECH_HZ)  # band levels to levels per hertz
    grid = np.linspace(0, sample_rate / 2, 129)
    gain = 10 ** (np.interp(np.log10(np.maximum(grid, 1)), np.log10(SPEECH_HZ), density) / 20)
    gain[grid < 80] = 0.0
    return np.asarray(firwin2(255, grid, gain / gain.max(), fs=sample_rate), np.float64)


def reverberate(audio: Wave, response: Wave) -> Wave:
    """Convolve every clip with a room; levels are kept, as a device's gain control would keep them.

    audiomentations' ApplyImpulseResponse reads files and scales the peak to 0.5, which would make the
    level depend on the room.
    """
    from scipy.signal import oaconvolve

    wet = np.ascontiguousarray(oaconvolve(audio, response[None], axes=1)[:, : audio.shape[1]], np.float32)
    for row, wave in zip(wet, audio, strict=True):
        row *= np.float32(10 ** ((level_db(wave) - level_db(row)) / 20))
    return wet


def draw_gain(chance: Draw, gain_db: tuple[float, float]) -> np.float32:
    """A factor. Two numbers go before it, which audiomentations draws for a band whose edges are fixed."""
    chance.random_sample(2)
    return np.float32(10 ** (chance.uniform(*gain_db) / 20))


def through_device(audio: Wave, sample_rate: int, band_hz: tuple[float, float], gains: Sequence[np.float32]) -> Wave:
    """A small microphone's band, a gain for each clip without clipping, and 4-bit IMA ADPCM.

    The codec is that of Bluetooth voice remotes; it is integer arithmetic, so it repeats to the bit.
    """
    from scipy.signal import sosfilt

    sections, settled = _band(sample_rate, band_hz)
    narrow, _ = sosfilt(sections, audio, zi=settled[:, None, :] * audio[:, 0][None, :, None])
    heard = narrow.astype(np.float32) * np.array(gains, np.float32)[:, None]
    return np.stack([ima_adpcm(turned_down(wave), sample_rate) for wave in heard])


@lru_cache(maxsize=8)
def _band(sample_rate: int, band_hz: tuple[float, float]) -> tuple[Values, Values]:
    """The sections of audiomentations' BandPassFilter, ``(n, 6)``, and their state after a long constant 1, ``(n, 2)``.

    3400 Hz at 8 kHz: the telephone band.
    """
    from audiomentations.core.utils import convert_frequency_to_mel, convert_mel_to_frequency
    from scipy.signal import butter, sosfilt_zi

    low, high = band_hz[0], min(band_hz[1], 0.425 * sample_rate)
    centre = (low + high) / 2
    fraction = (high - low) / centre
    centre = convert_mel_to_frequency(convert_frequency_to_mel(centre))  # there and back, as it does
    edges = [centre - centre * fraction / 2, centre + centre * fraction / 2]
    sections = butter(ROLLOFF, edges, btype="bandpass", fs=sample_rate, output="sos")
    return sections, sosfilt_zi(sections)


def ima_adpcm(audio: Wave, sample_rate: int) -> Wave:
    """Encode and decode by libsndfile's IMA ADPCM, 4 bits a sample."""
    import soundfile

    if not audio.shape[0]:
        return audio
    file = io.BytesIO()
    soundfile.write(file, audio, sample_rate, format="WAV", subtype="IMA_ADPCM")
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return np.asarray(decoded[: audio.shape[0]], np.float32)
