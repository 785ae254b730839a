"""Where a device listens: beds of noise without words, and the room that speech is heard in.

Every bed is synthetic and wordless: whatever a model says to it alone is a false accept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.audio.clip import Wave
from harness.audio.effects import Draw, Noise, babble, level_db, pink

SEMITONE = 2 ** (1 / 12)
CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))  # I vi IV V, in semitones over the tonic
HARMONICS = 6
HUM_HZ = 50.0
CLATTERS_PER_S = 0.5


@dataclass(frozen=True, slots=True)
class Ambience:
    """A bed ``snr_db`` below speech, and the room (of ``harness.audio.rooms``) that speech goes through."""

    id: str
    title: str
    bed: str
    snr_db: float
    room: str | None = None


AMBIENCES = (
    Ambience("quiet", "room tone 40 dB under speech, close", "pink", 40.0),
    Ambience("kitchen", "household noise at 15 dB SNR, small room", "household", 15.0, "small"),
    Ambience("music", "music-like sound at 10 dB SNR, large room", "music", 10.0, "large"),
    Ambience("babble", "babble at 10 dB SNR, small room", "babble", 10.0, "small"),
    Ambience("far-field", "pink noise at 15 dB SNR, 3 to 5 m away", "pink", 15.0, "far"),
)


def bed(kind: str, samples: int, sample_rate: int, seed: int) -> Wave:
    """``(samples,)`` float32 of one kind of bed, of RMS 1: the same for the same seed."""
    made = BEDS[kind](samples, sample_rate, seed)
    return np.asarray(made * np.float32(10 ** (-level_db(made) / 20)), np.float32)


def _music(samples: int, sample_rate: int, seed: int) -> Wave:
    """Plucked chords over a bass: harmonic, rhythmic, decaying, as recorded music is and noise is not."""
    own = np.random.default_rng(seed)
    out = np.zeros(samples, np.float32)
    tonic, beat = own.uniform(110, 220), int(sample_rate * own.uniform(0.22, 0.4))
    length = min(samples, 3 * beat)
    for step, start in enumerate(range(0, samples, beat)):
        chord = CHORDS[step // 8 % len(CHORDS)]
        notes = [chord[step % 3] + 12 * int(own.integers(0, 3))] + ([chord[0] - 12] if step % 4 == 0 else [])
        for note in notes:
            sound = _plucked(tonic * SEMITONE**note, length, sample_rate, own)[: samples - start]
            out[start : start + len(sound)] += sound
    return out


def _plucked(hertz: float, samples: int, sample_rate: int, own: np.random.Generator) -> Wave:
    time = np.arange(samples, dtype=np.float32) / np.float32(sample_rate)
    out = np.zeros(samples, np.float32)
    for harmonic in range(1, HARMONICS + 1):
        if hertz * harmonic < 0.45 * sample_rate:
            decay = np.exp(-time * np.float32(2.5 * harmonic**0.5))
            phase = np.float32(own.uniform(0, 2 * np.pi))
            out += decay * np.sin(np.float32(2 * np.pi * hertz * harmonic) * time + phase) / np.float32(harmonic)
    return out * np.float32(own.uniform(0.5, 1.0))


def _household(samples: int, sample_rate: int, seed: int) -> Wave:
    """A fan and mains hum, and now and then something that clatters or rings."""
    own = np.random.default_rng(seed)
    time = np.arange(samples, dtype=np.float64) / sample_rate
    fan = pink(samples, sample_rate, Draw(seed))
    out = fan * np.float32(10 ** (-level_db(fan) / 20))
    out += np.float32(0.3) * np.sin(2 * np.pi * HUM_HZ * time).astype(np.float32)
    for _ in range(own.poisson(CLATTERS_PER_S * samples / sample_rate)):
        start, length = int(own.integers(0, samples)), int(sample_rate * own.uniform(0.03, 0.4))
        ring = _ring(length, sample_rate, own)[: samples - start]
        out[start : start + len(ring)] += ring
    return out


def _ring(samples: int, sample_rate: int, own: np.random.Generator) -> Wave:
    time = np.arange(samples) / sample_rate
    decay = np.exp(-time * own.uniform(10, 60))
    tones = sum(np.sin(2 * np.pi * own.uniform(400, 0.4 * sample_rate) * time) for _ in range(4))
    return np.asarray(own.uniform(1, 6) * decay * (tones + own.standard_normal(samples)) / 3, np.float32)


def _by_effect(noise: Noise) -> Callable[[int, int, int], Wave]:
    return lambda samples, sample_rate, seed: noise(samples, sample_rate, Draw(seed))


BEDS: dict[str, Callable[[int, int, int], Wave]] = {
    "pink": _by_effect(pink),
    "babble": _by_effect(babble),
    "music": _music,
    "household": _household,
}
