"""What happens to speech on its way into a device: noise, rooms, and the device itself.

Every effect keeps the length of the audio, ``(samples,)`` float32, and may pass full scale: the caller
turns the whole down, so that nothing clips and ratios stay.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

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
PEAK = 32767 / 32768


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds both global generators, which audiomentations draws from; restores them afterwards."""
    python, legacy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)


def level_db(audio: Wave) -> float:
    """RMS level in dBFS (a full-scale square wave is 0), not below -120."""
    return float(20 * np.log10(max(np.sqrt(np.mean(np.square(audio, dtype=np.float64))), 1e-6)))


def turned_down(audio: Wave) -> Wave:
    """The same, scaled to stay below full scale where it would clip."""
    peak = float(np.abs(audio).max(initial=0.0))
    return audio * np.float32(PEAK / peak) if peak > PEAK else audio


def add_noise(audio: Wave, sample_rate: int, snr_db: float) -> Wave:
    """Pink noise or babble, by lot, ``snr_db`` below the RMS of the whole window.

    Audio below QUIET_DBFS counts as that loud: a room is not silent because nobody speaks.
    """
    make = pink if np.random.random() < 0.5 else babble
    noise = make(audio.shape[0], sample_rate)
    wanted = max(level_db(audio), QUIET_DBFS) - snr_db
    return audio + noise * np.float32(10 ** ((wanted - level_db(noise)) / 20))


def pink(samples: int, sample_rate: int) -> Wave:
    """Noise falling 3 dB an octave."""
    from audiomentations.augmentations.add_color_noise import generate_decaying_white_noise

    return np.asarray(generate_decaying_white_noise(samples, PINK_DB_PER_OCTAVE, sample_rate), np.float32)


def babble(samples: int, sample_rate: int) -> Wave:
    """Unintelligible talkers: noise of the speech spectrum, each talker swelling at a syllable's pace."""
    from scipy.signal import oaconvolve

    beats = int(np.ceil(2 * SYLLABLES_PER_S * samples / sample_rate)) + 2
    at = np.linspace(0, beats - 1, samples)
    swells = [np.interp(at, np.arange(beats), np.random.uniform(0.05, 1.0, beats)) for _ in range(TALKERS)]
    # Independent Gaussian talkers of one spectrum sum to one of their summed power.
    total = np.sqrt(np.sum(np.square(swells), axis=0)) * np.random.normal(size=samples)
    return np.asarray(oaconvolve(total, _speech_filter(sample_rate), mode="same"), np.float32)


@lru_cache(maxsize=8)
def _speech_filter(sample_rate: int) -> npt.NDArray[np.float64]:
    from scipy.signal import firwin2

    density = np.array(SPEECH_DB) - 10 * np.log10(SPEECH_HZ)  # band levels to levels per hertz
    grid = np.linspace(0, sample_rate / 2, 129)
    gain = 10 ** (np.interp(np.log10(np.maximum(grid, 1)), np.log10(SPEECH_HZ), density) / 20)
    gain[grid < 80] = 0.0
    return np.asarray(firwin2(255, grid, gain / gain.max(), fs=sample_rate), np.float64)


def reverberate(audio: Wave, response: Wave) -> Wave:
    """Convolve with a room; the level is kept, as a device's gain control would keep it.

    audiomentations' ApplyImpulseResponse reads files and scales the peak to 0.5, which would make the
    level depend on the room.
    """
    from scipy.signal import oaconvolve

    wet = np.asarray(oaconvolve(audio, response)[: audio.shape[0]], np.float32)
    return wet * np.float32(10 ** ((level_db(audio) - level_db(wet)) / 20))


def through_device(audio: Wave, sample_rate: int, band_hz: tuple[float, float], gain_db: tuple[float, float]) -> Wave:
    """A small microphone's band, a random gain without clipping, and 4-bit IMA ADPCM.

    The codec is that of Bluetooth voice remotes; it is integer arithmetic, so it repeats to the bit.
    """
    from audiomentations import BandPassFilter

    low, high = band_hz[0], min(band_hz[1], 0.425 * sample_rate)  # 3400 Hz at 8 kHz: the telephone band
    centre = (low + high) / 2
    width = (high - low) / centre
    narrow = BandPassFilter(centre, centre, width, width, min_rolloff=24, max_rolloff=24, p=1.0)
    heard = np.asarray(narrow(samples=audio, sample_rate=sample_rate), np.float32)
    gain = np.float32(10 ** (np.random.uniform(*gain_db) / 20))
    return ima_adpcm(turned_down(heard * gain), sample_rate)


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
