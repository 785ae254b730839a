"""Long streams to count false accepts on: words at known times in minutes or hours of what a home sounds like.

A stream is planned whole from its seed before a sound is made: scenes of 20 seconds, each in one ambience, with
speech laid into it. It is rendered scene by scene, so that hours of it are never held. Recordings and synthetic
speech are never in one stream: no figure may mix them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import version

import numpy as np

from harness.audio.ambience import Ambience, bed
from harness.audio.clip import Clip, Wave, read_clip
from harness.audio.conditions import MADE_WITH, Pcm
from harness.audio.corpus import audio_sha
from harness.audio.effects import level_db, reverberate, turned_down
from harness.audio.rooms import ROOMS, cached_bank, make_bank
from harness.audio.truth import Truth
from harness.cache import Cache, digest

ARITHMETIC = 1  # raise when planning or rendering computes something else
SCENE_S = 20.0
FADE_S = 0.2  # of the bed at both ends: ambiences follow each other without a click
PAD_S = 0.03  # around the audible part of a clip, faded: no click where a recording is cut
SPEECH_DBFS = -25.0
KEPT = 256  # clips at hand while rendering


@dataclass(frozen=True, slots=True)
class Source:
    """A clip that may be laid into streams, with its corpus, that one's rate, and whether it is a recording."""

    clip: Clip
    corpus: str
    sample_rate: int
    real: bool


@dataclass(frozen=True, slots=True)
class Laid:
    """A source in a scene: ``at`` samples from the scene's begin sounds its sample ``first``; up to ``last``."""

    source: Source
    at: int
    first: int
    last: int
    dbfs: float


@dataclass(frozen=True, slots=True)
class Scene:
    ambience: Ambience
    seed: int
    laid: tuple[Laid, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """A planned stream; audio is made as it is asked for. ``word`` is what a model should answer to."""

    word: str
    sample_rate: int
    real: bool
    scenes: tuple[Scene, ...]
    cache: Cache | None = None  # of simulated rooms

    @property
    def seconds(self) -> float:
        return len(self.scenes) * SCENE_S

    @property
    def hours(self) -> float:
        return self.seconds / 3600

    @property
    def truth(self) -> tuple[Truth, ...]:
        """Everything said or sounded, in its order; those with the label ``word`` are to be detected."""
        return tuple(self._truth(index, scene, laid) for index, scene in enumerate(self.scenes) for laid in scene.laid)

    @property
    def digest(self) -> str:
        """Of all that the audio depends on: clips, places, ambiences, arithmetic, the libraries that render."""
        rooms = {room: asdict(ROOMS[room]) for scene in self.scenes if (room := scene.ambience.room)}
        plan = [
            (
                asdict(scene.ambience),
                scene.seed,
                [(each.source.clip.id, each.at, each.first, each.last, each.dbfs) for each in scene.laid],
            )
            for scene in self.scenes
        ]
        clips = {laid.source.clip for scene in self.scenes for laid in scene.laid}
        audio = sorted((clip.id, audio_sha(clip)) for clip in clips)
        tools = {name: version(name) for name in MADE_WITH}
        return digest("stream", ARITHMETIC, self.sample_rate, plan, audio, rooms, tools)

    def chunks(self, seconds: float) -> Iterator[Pcm]:
        """The stream as int16 chunks ``(samples,)``, the last perhaps shorter; one scene is held at a time."""
        size = max(1, round(seconds * self.sample_rate))
        left = np.zeros(0, np.int16)
        for scene in self.scenes:
            left = np.concatenate([left, self._render(scene)])
            whole = len(left) // size * size
            yield from left[:whole].reshape(-1, size)
            left = left[whole:]
        if len(left):
            yield left

    def first(self, hours: float) -> Stream:
        """The stream's begin: as many whole scenes as the hours hold, one at least."""
        return replace(self, scenes=self.scenes[: max(1, round(hours * 3600 / SCENE_S))])

    def excerpts(self, starts_s: Sequence[float], samples: int) -> Pcm:
        """Windows ``(n, samples)`` from ascending times on; silence before the stream's begin and behind its end."""
        found = np.zeros((len(starts_s), samples), np.int16)
        begins = [round(start * self.sample_rate) for start in starts_s]
        at = 0
        for chunk in self.chunks(SCENE_S):
            for row, begin in zip(found, begins, strict=True):
                low, high = max(begin, at), min(begin + samples, at + len(chunk))
                if low < high:
                    row[low - begin : high - begin] = chunk[low - at : high - at]
            at += len(chunk)
        return found

    def _truth(self, index: int, scene: Scene, laid: Laid) -> Truth:
        clip, begin = laid.source.clip, index * SCENE_S + laid.at / self.sample_rate
        end = begin + (laid.last - laid.first) / self.sample_rate
        condition = scene.ambience.id
        return Truth(clip.label, begin, end, self.real, clip.speaker, clip.accent, condition, clip.id)

    def _render(self, scene: Scene) -> Pcm:
        samples = round(SCENE_S * self.sample_rate)
        dry = np.zeros(samples, np.float32)
        for laid in scene.laid:
            at, spoken = _spoken(laid, self.sample_rate)
            dry[at : at + len(spoken)] += spoken
        wet = reverberate(dry[None], self._response(scene))[0] if scene.ambience.room and scene.laid else dry
        noise = bed(scene.ambience.bed, samples, self.sample_rate, scene.seed)
        level = np.float32(10 ** ((SPEECH_DBFS - scene.ambience.snr_db) / 20))
        mixed = turned_down(wet + noise * level * _fade(samples, self.sample_rate))
        return np.asarray(np.rint(mixed * np.float32(32768)), np.int16)

    def _response(self, scene: Scene) -> Wave:
        room = ROOMS[str(scene.ambience.room)]
        rate = self.sample_rate
        bank = cached_bank(room, rate, self.cache) if self.cache else make_bank(room, rate)
        return np.asarray(bank.responses[scene.seed % len(bank.responses)], np.float32)


def _spoken(laid: Laid, rate: int) -> tuple[int, Wave]:
    """Where in its scene a source's audio begins, and the audio at its level: padded, faded in and out."""
    pad, audio = round(PAD_S * rate), heard(laid.source, rate)
    before, after = min(pad, laid.first), min(pad, len(audio) - laid.last)
    gain = np.float32(10 ** ((laid.dbfs - level_db(audio[laid.first : laid.last])) / 20))
    spoken = audio[laid.first - before : laid.last + after] * gain
    spoken[:before] *= np.linspace(0, 1, before, dtype=np.float32)
    spoken[len(spoken) - after :] *= np.linspace(1, 0, after, dtype=np.float32)
    return laid.at - before, spoken


def _fade(samples: int, rate: int) -> Wave:
    """1, but from and to 0 at both ends."""
    ramp = np.minimum(np.arange(samples, dtype=np.float32), np.arange(samples, dtype=np.float32)[::-1])
    return np.asarray(np.minimum(ramp / np.float32(FADE_S * rate), np.float32(1)), np.float32)


@lru_cache(maxsize=KEPT)
def heard(source: Source, rate: int) -> Wave:
    """The audio of a source at the stream's rate, whatever its own."""
    clip = source.clip if source.sample_rate == rate else replace(source.clip, resample=True)
    return read_clip(clip, rate)
