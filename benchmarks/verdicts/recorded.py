"""Recorded decisions of ``commands``, as tables that the gates judge, and corpora drawn anew from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from benchmarks.verdicts.record import BUILD, CHECKOUT, DATA
from harness import baseline as baselines
from harness import golden as goldens
from harness.audio.corpus import Clip, Corpus, load_corpus
from harness.candidate import Candidate, load
from harness.fitting import conditions, relabel
from harness.gates.base import Build
from harness.recipe import Recipe
from harness.score.keyword import Comparison, compare
from harness.score.slices import Slice, cells, margins

Codes = npt.NDArray[np.uint8]  # 0 for right, else 1 + the label decided
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Recorded:
    """What the shipped build decided, from the committed golden outputs and baseline."""

    candidate: Candidate
    corpus: Corpus

    @property
    def recipe(self) -> Recipe:
        return self.candidate.recipe(BUILD)

    @property
    def build(self) -> Build:
        return Build(self.candidate, self.recipe, "host")

    @cached_property
    def clips(self) -> tuple[Clip, ...]:
        return self.corpus.split("test").clips

    @property
    def margins(self) -> list[Slice]:
        return margins(self.corpus.groups, self.candidate.head.unseen_accents, conditions(self.candidate))

    @property
    def cells(self) -> list[Slice]:
        return cells(self.corpus.groups, conditions(self.candidate))

    @cached_property
    def truth(self) -> Ints:
        return np.array([self.candidate.labels.index(clip.label) for clip in self.clips], np.intp)

    @cached_property
    def table(self) -> Comparison:
        """Golden logits beside what the released int8 build decided, as logits that decide alike."""
        golden = {
            name: goldens.read(goldens.place(CHECKOUT, self.candidate.name, name)).logits
            for name in conditions(self.candidate)
        }
        found = baselines.read(CHECKOUT, self.candidate.name, BUILD)
        if found is None:
            raise SystemExit(f"no baseline of {BUILD}; accept one with: voxgate baseline accept models/commands")
        tested = {name: self._decided(found.last.decided.wrong, name) for name in golden}
        return compare(self.clips, self.candidate.labels, self.candidate.head.background, golden, tested)

    def _decided(self, wrong: baselines.Wrong, condition: str) -> npt.NDArray[np.float32]:
        labels = self.candidate.labels
        decided = [labels.index(str(wrong.get(clip.id, {}).get(condition, clip.label))) for clip in self.clips]
        return onehot(np.array(decided, np.intp), len(labels))

    def of(self, codes: Mapping[str, Codes]) -> npt.NDArray[np.float32]:
        """Logits of decisions by condition, stacked as the table's."""
        truth = self.truth
        parts = [np.where(codes[name] == 0, truth, codes[name].astype(np.intp) - 1) for name in codes]
        return onehot(np.concatenate(parts), len(self.candidate.labels))


def onehot(decided: Ints, labels: int) -> npt.NDArray[np.float32]:
    return np.eye(labels, dtype=np.float32)[decided]


def recorded() -> Recorded:
    candidate = load(CHECKOUT / "models" / "commands", CHECKOUT)
    return Recorded(candidate, relabel(load_corpus(candidate.head.corpus, candidate.house, None), candidate))


def data(name: str) -> dict[str, npt.NDArray[np.generic]]:
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def speakers_of(whole: Recorded) -> dict[str, list[Ints]]:
    """By accent: the clips of each of its speakers."""
    found: dict[str, dict[str, list[int]]] = {}
    for place, clip in enumerate(whole.clips):
        found.setdefault(clip.accent, {}).setdefault(clip.speaker, []).append(place)
    return {accent: [np.array(own, np.intp) for own in speakers.values()] for accent, speakers in found.items()}


@dataclass(frozen=True)
class Draw:
    """A corpus drawn anew: ``clips`` places of source clips, ``speaker`` whose each is now. Both ``(n,)``."""

    clips: Ints
    speaker: Ints

    def rows(self, total: int, times: int) -> Ints:
        """Their renderings in a table of ``times`` conditions over ``total`` clips."""
        return np.concatenate([self.clips + total * i for i in range(times)])

    def table(self, whole: Comparison, total: int) -> Comparison:
        times = len(whole.truth) // total
        rows = self.rows(total, times)
        fields = ("golden", "tested", "truth", "keyword", "accent", "condition")
        return replace(
            whole,
            **{name: getattr(whole, name)[rows] for name in fields},
            speaker=np.tile(self.speaker, times),
            clip=np.tile(np.arange(len(self.clips)), times),
        )

    def spoken(self, clips: tuple[Clip, ...]) -> tuple[Clip, ...]:
        """The clips, each under a name of its own: a speaker may be drawn twice."""
        return tuple(replace(clips[place], id=f"{clips[place].id}/{i}") for i, place in enumerate(self.clips))


def draw(speakers: Mapping[str, list[Ints]], random: np.random.Generator) -> Draw:
    """A corpus of the same make: as many speakers of each accent, with replacement."""
    return _of([own[i] for own in speakers.values() for i in random.integers(0, len(own), len(own))])


def draw_any(speakers: Mapping[str, list[Ints]], random: np.random.Generator, count: int) -> Draw:
    """``count`` speakers of whatever accent, with replacement."""
    every = [clips for own in speakers.values() for clips in own]
    return _of([every[i] for i in random.integers(0, len(every), count)])


def _of(chosen: list[Ints]) -> Draw:
    whose = np.repeat(np.arange(len(chosen)), [len(clips) for clips in chosen])
    return Draw(np.concatenate(chosen), whose.astype(np.intp))
