"""From speech to a clip: trimmed, fitted into its window, put somewhere in a quiet room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from harness.audio.synth import engines
from harness.audio.synth.plan import Utterance
from harness.audio.synth.speech import SAMPLE_RATE, Request, Speech, resample
from harness.errors import CorpusError

Pcm = npt.NDArray[np.int16]

LONGEST = 0.94  # of the window: speech that takes more is said again, faster
FRAME = SAMPLE_RATE // 100
AUDIBLE_DB = -38.0  # below the loudest frame; quieter edges are the engine's own silence
EDGE_FRAMES = 2
ATTEMPTS = 6
SPEECH_DBFS = (-30.0, -20.0)
HIGHEST_PEAK = 0.9
ROOM_UNDER_SPEECH_DBFS = (-84.0, -74.0)
ROOM_ALONE_DBFS = (-80.0, -55.0)


def render(utterances: Sequence[Utterance]) -> list[Pcm]:
    """Clips of one engine, in order: each as long as its window, mono, 16 kHz, int16."""
    spoken = iter(_speak_fitting([utterance for utterance in utterances if utterance.text]))
    return [_clip(utterance, next(spoken) if utterance.text else None) for utterance in utterances]


def _speak_fitting(utterances: Sequence[Utterance]) -> list[Speech]:
    """Say everything; what is longer than a window is said again, faster."""
    haste = np.ones(len(utterances))
    spoken: dict[int, Speech] = {}
    for _ in range(ATTEMPTS):
        waiting = [index for index in range(len(utterances)) if index not in spoken]
        if not waiting:
            break
        requests = [_request(utterances[index], float(haste[index])) for index in waiting]
        for index, raw in zip(waiting, engines.speak(utterances[0].engine, requests), strict=True):
            speech = _trim(_warp(raw, utterances[index].speaker.warp))
            longest = round(LONGEST * window(utterances[index]))
            if speech.shape[0] <= longest:
                spoken[index] = speech
            haste[index] *= 1.05 * max(1.0, speech.shape[0] / longest)
    for index, utterance in enumerate(utterances):
        if index not in spoken:
            raise CorpusError(
                f"{utterance.clip}: {utterance.text!r} does not fit into {utterance.window_s:g} s at any sensible rate."
            )
    return [spoken[index] for index in range(len(utterances))]


def window(utterance: Utterance) -> int:
    """Samples of the clip."""
    return round(utterance.window_s * SAMPLE_RATE)


def _request(utterance: Utterance, haste: float) -> Request:
    speaker = utterance.speaker
    own = np.random.default_rng([utterance.seed, 1])
    rate = speaker.rate * own.uniform(0.92, 1.08) * haste
    pitch = speaker.pitch * own.uniform(0.95, 1.05)
    return Request(utterance.text, speaker.accent, speaker.voice, rate, pitch, utterance.seed)


def _warp(speech: Speech, factor: float) -> Speech:
    """Pitch and formants moved together by ``factor``, as by a shorter or longer vocal tract."""
    return speech if factor == 1.0 else resample(speech, round(SAMPLE_RATE * factor / 100) * 100)


def _trim(speech: Speech) -> Speech:
    """Without the silence an engine puts around a word."""
    frames = speech[: speech.shape[0] // FRAME * FRAME].reshape(-1, FRAME)
    power = (frames.astype(np.float64) ** 2).mean(axis=1)
    audible = np.flatnonzero(power > power.max(initial=0.0) * 10 ** (AUDIBLE_DB / 10))
    if not audible.size:
        raise CorpusError("An engine returned silence for a word; install its complete voice data and build again.")
    first, last = max(0, audible[0] - EDGE_FRAMES), audible[-1] + 1 + EDGE_FRAMES
    return speech[first * FRAME : last * FRAME]


def _clip(utterance: Utterance, speech: Speech | None) -> Pcm:
    own = np.random.default_rng([utterance.seed, 2])
    samples = window(utterance)
    heard = room_tone(own, ROOM_ALONE_DBFS if speech is None else ROOM_UNDER_SPEECH_DBFS, samples)
    if speech is not None:
        level = 10 ** (own.uniform(*SPEECH_DBFS) / 20) / np.sqrt((speech.astype(np.float64) ** 2).mean())
        level = min(level, HIGHEST_PEAK / float(np.abs(speech).max()))
        offset = int(own.integers(0, samples - speech.shape[0] + 1))
        heard[offset : offset + speech.shape[0]] += speech * level
    return np.round(heard * 32767.0).astype(np.int16)


def room_tone(own: np.random.Generator, dbfs: tuple[float, float], samples: int) -> npt.NDArray[np.float64]:
    """Low, dark noise at a level drawn from ``dbfs`` (RMS): no room is digitally silent."""
    pole = own.uniform(0.3, 0.97)
    tone = lfilter([1.0], [1.0, -pole], own.standard_normal(samples + FRAME))[FRAME:]
    return np.asarray(tone / np.sqrt((tone**2).mean()) * 10 ** (own.uniform(*dbfs) / 20), np.float64)
