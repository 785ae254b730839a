"""Many clips under one condition: what each leaves to chance is drawn alone, what is computed is computed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from harness.audio import pool
from harness.audio.clip import Clip, Wave, fit, read_clip
from harness.audio.effects import (
    Draw,
    Noise,
    add_noise,
    draw_gain,
    draw_noise,
    reverberate,
    through_device,
    turned_down,
)
from harness.audio.rooms import Bank

if TYPE_CHECKING:
    from harness.audio.conditions import Condition

Pcm = npt.NDArray[np.int16]

KEPT_BYTES = 320 << 20  # of decoded clips, in all processes that render

_kept: dict[Any, Any] = {}  # int16, or float32 where that is not exact


def from_pcm(pcm: Pcm) -> Wave:
    """int16 as float32 of full scale 1."""
    return np.asarray(pcm.astype(np.float32) / np.float32(32768), np.float32)


@dataclass(frozen=True, slots=True)
class Lots:
    """What one rendering leaves to chance; None for what its condition does not have."""

    response: int | None
    noise: tuple[Noise, Any] | None
    gain: np.float32 | None


def _drawn(chance: Draw, audio: Wave, clip_id: str, condition: Condition, rate: int, bank: Bank | None) -> Lots:
    """Drawn in the order in which audio passes through its condition."""
    chance.seed(crc32(f"{clip_id}|{condition.id}".encode()))
    response = int(chance.randint(len(bank.responses))) if bank is not None and audio.any() else None
    noise = draw_noise(chance, audio.shape[0], rate) if condition.snr_db is not None else None
    gain = draw_gain(chance, condition.gain_db) if condition.band_hz is not None else None
    return Lots(response, noise, gain)


def rendered(audio: Wave, clip_ids: Sequence[str], condition: Condition, rate: int, bank: Bank | None) -> Pcm:
    """Clips ``(n, samples)`` under one condition. ``bank`` is its room's, where it has one."""
    chance = Draw()
    lots = [_drawn(chance, wave, name, condition, rate, bank) for wave, name in zip(audio, clip_ids, strict=True)]
    if bank is not None:
        audio = _in_room(audio, [each.response for each in lots], bank)
    if condition.snr_db is not None:
        audio = add_noise(audio, rate, condition.snr_db, [each.noise for each in lots if each.noise is not None])
    if condition.band_hz is not None:
        audio = through_device(audio, rate, condition.band_hz, [each.gain for each in lots if each.gain is not None])
    steps = np.rint(np.stack([turned_down(wave) for wave in audio]) * np.float32(32768))
    return np.asarray(np.clip(steps, -32768, 32767), np.int16)


def _in_room(audio: Wave, responses: Sequence[int | None], bank: Bank) -> Wave:
    """Each clip with the response drawn for it; those of one response together."""
    wet = audio.copy()
    for response in sorted({each for each in responses if each is not None}):
        rows = [row for row, own in enumerate(responses) if own == response]
        wet[rows] = reverberate(audio[rows], bank.responses[response])
    return wet


def dry_audio(clip: Clip, rate: int, samples: int) -> Wave:
    """A clip fitted to a window, decoded once for all conditions, as far as there is room to keep it."""
    facts = clip.path.stat() if clip.path.is_file() else None
    key = (clip.path, facts and (facts.st_mtime_ns, facts.st_size), clip.resample, clip.mixed, rate, samples)
    kept = _kept.get(key)
    if kept is not None:
        return from_pcm(kept) if kept.dtype == np.int16 else np.asarray(kept, np.float32)
    found = fit(read_clip(clip, rate), samples)
    steps = found * np.float32(32768)
    pcm = np.clip(np.rint(steps), -32768, 32767).astype(np.int16)
    kept = pcm if np.array_equal(pcm, steps) else found  # most audio is of 16 bits: twice as many clips are kept
    if (len(_kept) + 1) * kept.nbytes <= KEPT_BYTES // max(2, pool.processors()):
        _kept[key] = kept
    return found
