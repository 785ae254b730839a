"""The conditions as one writes them by hand: audiomentations, scipy and soundfile, one clip after another.

What the gate renders, to the bit, by none of its code: with this the gate is compared, and its own effects are tested.
"""

from __future__ import annotations

import io
import random
from collections.abc import Mapping
from zlib import crc32

import numpy as np
import numpy.typing as npt
import soundfile
from audiomentations import BandPassFilter
from audiomentations.augmentations.add_color_noise import generate_decaying_white_noise
from scipy.signal import firwin2, oaconvolve

from harness.audio.conditions import Condition

Wave = npt.NDArray[np.float32]

SPEECH_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)
SPEECH_DB = (57.7, 60.3, 62.1, 53.7, 48.7, 45.6, 43.7)
PEAK = 32767 / 32768


class ByHand:
    """Renders at one rate, with impulse responses ``(n, taps)`` by room."""

    def __init__(self, rate: int, rooms: Mapping[str, Wave]) -> None:
        self.rate = rate
        self.rooms = rooms
        grid = np.linspace(0, rate / 2, 129)
        density = np.array(SPEECH_DB) - 10 * np.log10(SPEECH_HZ)
        gain = 10 ** (np.interp(np.log10(np.maximum(grid, 1)), np.log10(SPEECH_HZ), density) / 20)
        gain[grid < 80] = 0.0
        self.speech = firwin2(255, grid, gain / gain.max(), fs=rate)

    def __call__(self, audio: Wave, clip: str, condition: Condition) -> Wave:
        seed = crc32(f"{clip}|{condition.id}".encode())
        random.seed(seed)
        np.random.seed(seed)
        if condition.room is not None and audio.any():
            responses = self.rooms[condition.room]
            wet = oaconvolve(audio, responses[np.random.randint(len(responses))])[: len(audio)].astype(np.float32)
            audio = wet * np.float32(10 ** ((level_db(audio) - level_db(wet)) / 20))
        if condition.snr_db is not None:
            noise = self.noise(len(audio))
            wanted = max(level_db(audio), -50.0) - condition.snr_db
            audio = audio + noise * np.float32(10 ** ((wanted - level_db(noise)) / 20))
        if condition.band_hz is not None:
            audio = self.device(audio, condition)
        return np.clip(np.rint(quieter(audio) * np.float32(32768)), -32768, 32767).astype(np.float32) / 32768

    def noise(self, samples: int) -> Wave:
        if np.random.random() < 0.5:
            return np.asarray(generate_decaying_white_noise(samples, -3.01, self.rate), np.float32)
        beats = int(np.ceil(8 * samples / self.rate)) + 2
        at = np.linspace(0, beats - 1, samples)
        swells = [np.interp(at, np.arange(beats), np.random.uniform(0.05, 1.0, beats)) for _ in range(4)]
        talkers = np.sqrt(np.sum(np.square(swells), axis=0)) * np.random.normal(size=samples)
        return np.asarray(oaconvolve(talkers, self.speech, mode="same"), np.float32)

    def device(self, audio: Wave, condition: Condition) -> Wave:
        low, high = condition.band_hz or (0.0, 0.0)
        high = min(high, 0.425 * self.rate)
        centre = (low + high) / 2
        width = (high - low) / centre
        band = BandPassFilter(centre, centre, width, width, min_rolloff=24, max_rolloff=24, p=1.0)
        heard = band(samples=audio, sample_rate=self.rate)
        heard = quieter(heard * np.float32(10 ** (np.random.uniform(*condition.gain_db) / 20)))
        file = io.BytesIO()
        soundfile.write(file, heard, self.rate, format="WAV", subtype="IMA_ADPCM")
        file.seek(0)
        return np.asarray(soundfile.read(file, dtype="float32")[0][: len(audio)], np.float32)


def level_db(audio: Wave) -> float:
    return float(20 * np.log10(max(np.sqrt(np.mean(np.square(audio, dtype=np.float64))), 1e-6)))


def quieter(audio: Wave) -> Wave:
    peak = float(np.abs(audio).max(initial=0.0))
    return audio * np.float32(PEAK / peak) if peak > PEAK else audio
