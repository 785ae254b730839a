"""Audio that shows what a front end does: loud and quiet noise, tones over all bins, steps, and digital silence.

It needs no corpus, and holds what speech seldom does: frames so quiet that dither or a floor decides them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.audio.conditions import Pcm
from harness.audio.effects import Draw, babble, level_db, pink
from harness.audio.frontend import Features, FrontEnd
from harness.errors import CandidateError

LEAST_S = 1.0  # of a window: shorter ones have too few frames to compare
LEVELS_DBFS = (-10.0, -30.0, -50.0, -70.0)
MAX_BYTES = 64 << 20
MOST_S = 60.0


def lasting(frontend: FrontEnd, samples: int) -> FrontEnd:
    """The same front end over windows of ``samples``."""
    return frontend.model_copy(update={"window_s": samples / frontend.sample_rate})


def probe(frontend: FrontEnd) -> Pcm:
    """Windows ``(n, samples)`` of int16, the same everywhere."""
    rate = frontend.sample_rate
    samples = round(max(LEAST_S, frontend.window_s) * rate)
    time = np.arange(samples) / rate
    sweep = np.sin(2 * np.pi * (frontend.low_hz + (frontend.high_hz - frontend.low_hz) / 2 * time / time[-1]) * time)
    chance = Draw(1)
    noises = [noise(samples, rate, chance) for noise in (pink, babble) for _ in LEVELS_DBFS]
    waves = [
        noise * 10 ** ((level - level_db(noise)) / 20) for noise, level in zip(noises, LEVELS_DBFS * 2, strict=True)
    ]
    waves += [0.5 * sweep, 0.001 * sweep, np.where(time < time[-1] / 2, 0, 0.3 * sweep), np.zeros(samples)]
    return np.asarray(np.clip(np.rint(np.stack(waves) * 32768), -32768, 32767), np.int16)


def recorded(path: Path, rate: int) -> tuple[Pcm, Features]:
    """``audio`` ``(n, samples)`` int16 and what a device made of it, ``features`` ``(n, frames, bins)`` float32.

    Raises CandidateError for a file that is none, or whose arrays do not fit each other.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if path.stat().st_size > MAX_BYTES:
        raise CandidateError(f"{path} is larger than {MAX_BYTES >> 20} MiB; a minute of audio shows a front end.")
    try:
        arrays = load_file(path)
        audio, features = arrays["audio"], arrays["features"]
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        raise CandidateError(
            f"{path} holds no device features ({error}): a .safetensors with audio (n, samples) int16 and features "
            "(n, frames, bins) float32, as docs/frontend.md shows."
        ) from error
    fits = audio.ndim == 2 and features.ndim == 3 and len(audio) == len(features) > 0
    if not fits or audio.dtype != np.int16 or features.dtype != np.float32 or audio.shape[1] > MOST_S * rate:
        raise CandidateError(
            f"{path}: audio is {audio.dtype} {list(audio.shape)} and features {features.dtype} {list(features.shape)}; "
            f"give (n, samples) int16 of at most {MOST_S:g} s, and (n, frames, bins) float32 of the same n."
        )
    return np.asarray(audio, np.int16), np.asarray(features, np.float32)
