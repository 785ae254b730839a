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

from harness.audio.ambience import AMBIENCES, Ambience, bed
from harness.audio.clip import Clip, Split, Wave, read_clip
from harness.audio.conditions import MADE_WITH, Pcm
from harness.audio.corpus import Corpus, audio_sha
from harness.audio.effects import level_db, reverberate, turned_down
from harness.audio.rooms import ROOMS, cached_bank, make_bank
from harness.audio.truth import Truth
from harness.cache import Cache, digest
from harness.errors import CorpusError

ARITHMETIC = 1  # raise when planning or rendering computes something else
SCENE_S = 20.0
EDGE_S = 0.8  # without speech at both ends of a scene, and around each of several words in it
FADE_S = 0.2  # of the bed at both ends: ambiences follow each other without a click
PAD_S = 0.03  # around the audible part of a clip, faded: no click where a recording is cut
CLEAR_S = (1.6, 3.0)  # before and after a word: its detection is nobody else's
GAP_S = (0.2, 0.8)  # between others that talk
TALK = 0.5  # share of scenes in which somebody talks all the time; in the others nobody does but those who call
SPEECH_DBFS = -25.0
SPREAD_DB = 3.0
AUDIBLE_DB = -25.0  # under a clip's loudest frame: recordings have a noise floor of their own
FRAME_S = 0.01
SILENCE = "silence"
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
        wet = reverberate(dry, self._response(scene)) if scene.ambience.room and scene.laid else dry
        noise = bed(scene.ambience.bed, samples, self.sample_rate, scene.seed)
        level = np.float32(10 ** ((SPEECH_DBFS - scene.ambience.snr_db) / 20))
        mixed = turned_down(wet + noise * level * _fade(samples, self.sample_rate))
        return np.asarray(np.rint(mixed * np.float32(32768)), np.int16)

    def _response(self, scene: Scene) -> Wave:
        room = ROOMS[str(scene.ambience.room)]
        rate = self.sample_rate
        bank = cached_bank(room, rate, self.cache) if self.cache else make_bank(room, rate)
        return np.asarray(bank.responses[scene.seed % len(bank.responses)], np.float32)


def sources(corpus: Corpus, split: Split = "test") -> list[Source]:
    """What a corpus has to lay into streams: the clips of one split, without those of mere room tone."""
    clips = corpus.split(split).clips
    return [Source(clip, corpus.name, corpus.sample_rate, corpus.real) for clip in clips if clip.label != SILENCE]


def lay(
    word: str,
    spoken: Sequence[Source],
    *,
    hours: float,
    words: int,
    seed: int,
    sample_rate: int = 16000,
    ambiences: Sequence[Ambience] = AMBIENCES,
    cache: Cache | None = None,
    then: Sequence[Source] = (),
    pause_s: tuple[float, float] = (0.2, 0.6),
) -> Stream:
    """Plan a stream: ``words`` utterances of ``word`` among everything else that ``spoken`` holds.

    After each of them, and a pause, one of ``then`` is said, by the same speaker where that one says any.

    Corpora are heard equally often, and each of a corpus' clips once before any of them again. Raises CorpusError
    where recordings and synthetic speech are mixed, where nobody says the word, or where so many words do not fit.
    """
    if len({source.real for source in (*spoken, *then)}) > 1:
        raise CorpusError(f"a stream of {word!r} mixes recordings and synthetic speech; lay one stream of each.")
    called = [source for source in spoken if source.clip.label == word]
    others = [source for source in spoken if source.clip.label != word]
    if words and not called:
        raise CorpusError(f"no clip says {word!r}: a stream without it tells nothing of misses. Add clips of it.")
    count = max(1, round(hours * 3600 / SCENE_S))
    own = np.random.default_rng(seed)
    share = np.diff(np.linspace(0, words, count + 1).round().astype(int))
    cast = _Cast(_Turns(called, own), _Turns(others, own), _voices(then, own), pause_s)
    scenes = [
        _scene(ambiences[int(own.integers(len(ambiences)))], int(wanted), cast, own, sample_rate)
        for wanted in own.permutation(share)
    ]
    return Stream(word, sample_rate, bool(spoken and spoken[0].real), tuple(scenes), cache)


class _Turns:
    """Sources by lot: every corpus as often as the others, each of its clips once before any again."""

    def __init__(self, items: Sequence[Source], own: np.random.Generator) -> None:
        self._own = own
        self._corpora = [[item for item in items if item.corpus == name] for name in sorted({i.corpus for i in items})]
        self._orders: list[list[int]] = [[] for _ in self._corpora]

    def __bool__(self) -> bool:
        return bool(self._corpora)

    def next(self) -> Source:
        which = int(self._own.integers(len(self._corpora)))
        if not self._orders[which]:
            self._orders[which] = self._own.permutation(len(self._corpora[which])).tolist()
        return self._corpora[which][self._orders[which].pop()]


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who calls, who talks, and who says what after a call: ``then`` by speaker, "" for anybody."""

    called: _Turns
    others: _Turns
    then: dict[str, _Turns]
    pause_s: tuple[float, float]

    def utterance(self, own: np.random.Generator, rate: int) -> list[Laid]:
        """The word from 0 on, and what is said after it."""
        word = _cut(self.called.next(), own, rate)
        if not self.then:
            return [word]
        saying = self.then.get(word.source.clip.speaker) or self.then[""]
        after = replace(_cut(saying.next(), own, rate), dbfs=word.dbfs)
        return [word, replace(after, at=word.last - word.first + round(own.uniform(*self.pause_s) * rate))]


def _voices(then: Sequence[Source], own: np.random.Generator) -> dict[str, _Turns]:
    speakers = sorted({source.clip.speaker for source in then})
    own_words = {name: _Turns([each for each in then if each.clip.speaker == name], own) for name in speakers}
    return {**own_words, "": _Turns(then, own)} if then else {}


def _scene(ambience: Ambience, wanted: int, cast: _Cast, own: np.random.Generator, rate: int) -> Scene:
    """Utterances spread over the scene; in a scene of talk, others speak wherever they do not cover one."""
    slot = SCENE_S / max(1, wanted)
    laid: list[Laid] = []
    for index in range(wanted):
        utterance = cast.utterance(own, rate)
        spare = slot - (utterance[-1].at + utterance[-1].last - utterance[-1].first) / rate - 2 * EDGE_S
        if spare < 0:
            raise CorpusError(
                f"{wanted} utterances of {utterance[0].source.clip.label!r} do not fit into {SCENE_S:g} s with "
                f"{2 * EDGE_S:g} s between them; lay fewer words, or more hours."
            )
        at = round((index * slot + EDGE_S + own.uniform(0, spare)) * rate)
        laid += [replace(each, at=at + each.at) for each in utterance]
    if cast.others and own.random() < TALK:
        laid += _talk(laid, cast.others, own, rate)
    return Scene(ambience, int(own.integers(2**31)), tuple(sorted(laid, key=lambda each: each.at)))


def _talk(words: Sequence[Laid], others: _Turns, own: np.random.Generator, rate: int) -> Iterator[Laid]:
    """Speech from one end of a scene to the other, clear of the words in it."""
    busy = [
        (each.at / rate - own.uniform(*CLEAR_S), (each.at + each.last - each.first) / rate + own.uniform(*CLEAR_S))
        for each in words
    ]
    now = EDGE_S
    while now < SCENE_S - EDGE_S:
        other = _cut(others.next(), own, rate)
        end = now + (other.last - other.first) / rate
        blocking = [until for since, until in busy if since < end and now < until]
        if blocking:
            now = max(blocking)
        elif end > SCENE_S - EDGE_S:
            return
        else:
            yield replace(other, at=round(now * rate))
            now = end + own.uniform(*GAP_S)


def _cut(source: Source, own: np.random.Generator, rate: int) -> Laid:
    """The audible part of a source, at most as long as a scene has room for, at a level of its own."""
    first, last = _audible(source, rate)
    longest = round((SCENE_S - 2 * EDGE_S - 2 * CLEAR_S[0]) * rate)
    dbfs = SPEECH_DBFS + round(float(own.uniform(-SPREAD_DB, SPREAD_DB)), 2)
    return Laid(source, 0, first, min(last, first + longest), dbfs)


def _spoken(laid: Laid, rate: int) -> tuple[int, Wave]:
    """Where in its scene a source's audio begins, and the audio at its level: padded, faded in and out."""
    pad, audio = round(PAD_S * rate), _heard(laid.source, rate)
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


@lru_cache(maxsize=200_000)
def _audible(source: Source, rate: int) -> tuple[int, int]:
    """First and last sample of what is heard: frames within AUDIBLE_DB of the loudest."""
    audio = _heard(source, rate)
    size = round(FRAME_S * rate)
    power = np.square(audio[: len(audio) // size * size].reshape(-1, size), dtype=np.float64).mean(axis=1)
    loud = np.flatnonzero(power > power.max(initial=0.0) * 10 ** (AUDIBLE_DB / 10))
    if not loud.size:
        raise CorpusError(f"clip {source.clip.id!r} is silent: it cannot be laid into a stream. Drop it.")
    return int(loud[0]) * size, int(loud[-1] + 1) * size


@lru_cache(maxsize=KEPT)
def _heard(source: Source, rate: int) -> Wave:
    clip = source.clip if source.sample_rate == rate else replace(source.clip, resample=True)
    return read_clip(clip, rate)
