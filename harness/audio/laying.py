"""Laying a stream: who says what when, decided from a seed before a sound is made.

Words to be detected are spread over the scenes and clear of all other speech; in some scenes others talk all the time,
in the rest nobody does but those who call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from harness.audio.ambience import AMBIENCES, Ambience
from harness.audio.clip import Split
from harness.audio.corpus import Corpus
from harness.audio.streams import SCENE_S, SPEECH_DBFS, Laid, Scene, Source, Stream, heard
from harness.cache import Cache
from harness.errors import CorpusError

EDGE_S = 0.8  # without speech at both ends of a scene, and around each of several words in it
CLEAR_S = (1.6, 3.0)  # before and after a word: its detection is nobody else's
GAP_S = (0.2, 0.8)  # between others that talk
TALK = 0.5  # share of scenes in which somebody talks all the time; in the others nobody does but those who call
SPREAD_DB = 3.0
AUDIBLE_DB = -25.0  # under a clip's loudest frame: recordings have a noise floor of their own
FRAME_S = 0.01
SILENCE = "silence"


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


@lru_cache(maxsize=200_000)
def _audible(source: Source, rate: int) -> tuple[int, int]:
    """First and last sample of what is heard: frames within AUDIBLE_DB of the loudest."""
    audio = heard(source, rate)
    size = round(FRAME_S * rate)
    power = np.square(audio[: len(audio) // size * size].reshape(-1, size), dtype=np.float64).mean(axis=1)
    loud = np.flatnonzero(power > power.max(initial=0.0) * 10 ** (AUDIBLE_DB / 10))
    if not loud.size:
        raise CorpusError(f"clip {source.clip.id!r} is silent: it cannot be laid into a stream. Drop it.")
    return int(loud[0]) * size, int(loud[-1] + 1) * size
