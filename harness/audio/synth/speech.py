"""What an engine is asked and what it answers: text in, 16 kHz mono out."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

SAMPLE_RATE = 16000

Speech = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to say; ``rate`` and ``pitch`` are factors on the engine's own (1.0: as it speaks by itself)."""

    text: str
    accent: str
    voice: str
    rate: float
    pitch: float
    seed: int


def resample(audio: Speech, sample_rate: int, to: int = SAMPLE_RATE) -> Speech:
    """``audio`` at ``sample_rate`` Hz as float32 at ``to`` Hz (polyphase, anti-aliased)."""
    if sample_rate == to:
        return audio.astype(np.float32)
    common = gcd(sample_rate, to)
    return np.asarray(resample_poly(audio, to // common, sample_rate // common), np.float32)
