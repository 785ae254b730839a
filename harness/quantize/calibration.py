"""Which clips set the quantization ranges: few, chosen by a seed, from every accent, label, loudness and condition."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.audio.clip import Clip
from harness.audio.conditions import CONDITIONS, Renderer, render_corpus, render_into
from harness.audio.corpus import Corpus
from harness.audio.frontend import Features, FrontEnd
from harness.cache import Cache, digest
from harness.errors import CandidateError, nearest
from harness.recipe import Calibration

FEWEST = 100  # onnxruntime, LiteRT and RKNN all document "about 100 to 500 typical inputs"
FEWEST_PER_LABEL = 4
QUIETEST_DBFS = -60.0  # median RMS level; speech at arm's length lies near -30


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Features ``(n, frames, bins)`` of the chosen clips, and what makes them doubtful."""

    features: Features
    clips: tuple[Clip, ...]
    conditions: tuple[str, ...]  # of each clip
    levels_db: npt.NDArray[np.float32]  # of each clip, RMS dBFS
    level_db: float  # median RMS, dBFS
    warnings: tuple[str, ...]
    digest: str

    def record(self) -> dict[str, Any]:
        """A JSON-able description: ids, not audio."""
        return {
            "clips": [clip.id for clip in self.clips],
            "conditions": dict(Counter(self.conditions)),
            "level_db": self.level_db,
            "warnings": list(self.warnings),
            "digest": self.digest,
        }


def calibrate(
    corpus: Corpus,
    calibration: Calibration,
    frontend: FrontEnd,
    cache: Cache,
    say: Any = lambda _: None,
    *,
    sentences: bool = False,
    by: Renderer = render_into,
) -> CalibrationSet:
    """Choose, render and extract. Where labels are ``sentences``, not all of them need be heard.

    Raises CandidateError for an unknown condition, CorpusError where there are no calibration clips.
    """
    for name in calibration.conditions:
        if name not in CONDITIONS:
            raise CandidateError(
                f"a recipe's calibration asks for the unknown condition {name!r}{nearest(name, CONDITIONS)}; "
                f"there are {', '.join(CONDITIONS)}."
            )
    split = corpus.split("calibration")
    plain = render_corpus(split, CONDITIONS["clean"], frontend.samples, cache, say, by)
    loudness = {clip.id: float(level) for clip, level in zip(split.clips, plain.levels_db, strict=True)}
    chosen = choose(split.clips, calibration, loudness)
    through = spread(chosen, calibration)
    features = np.zeros((len(chosen), frontend.frames, frontend.bins), np.float32)
    levels = np.zeros(len(chosen), np.float32)
    for name in calibration.conditions:
        places = [place for place, condition in enumerate(through) if condition == name]
        if places:
            part = replace(split, clips=tuple(chosen[place] for place in places))
            renditions = render_corpus(part, CONDITIONS[name], frontend.samples, cache, say, by)
            features[places], levels[places] = frontend.batch(renditions.audio), renditions.levels_db
    labels = set() if sentences else {clip.label for clip in corpus.clips}
    warnings = doubts(chosen, levels, corpus.accents, labels)
    for warning in warnings:
        say(f"calibration: {warning}")
    level = float(np.median(levels))
    key = digest(features.shape, features.tobytes())
    return CalibrationSet(features, chosen, through, levels, level, warnings, key)


def choose(
    clips: Sequence[Clip], calibration: Calibration, loudness: Mapping[str, float] = MappingProxyType({})
) -> tuple[Clip, ...]:
    """At most ``calibration.clips`` of ``clips``: one from each accent and label in turn, in seeded order.

    Within an accent and label quiet, middling and loud clips take turns, by ``loudness`` (id to dBFS) where it is
    given. The choice depends on the seed and the clips' ids, not on their order.
    """
    random = np.random.default_rng(calibration.seed)
    strata: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.id):
        strata[clip.accent, clip.label].append(clip)
    piles = [[pile[i] for i in random.permutation(len(pile))] for _, pile in sorted(strata.items())]
    piles = [piles[i] for i in random.permutation(len(piles))]  # else a short choice is of the first accent
    if loudness:
        bounds = np.quantile(sorted(loudness.values()), (1 / 3, 2 / 3), method="inverted_cdf")
        third = {name: int(np.searchsorted(bounds, level)) for name, level in loudness.items()}
        piles = [_by_turns(pile, third, first) for first, pile in enumerate(piles)]
    longest = max(map(len, piles), default=0)
    turns = (pile[turn] for turn in range(longest) for pile in piles if turn < len(pile))
    return tuple(clip for clip, _ in zip(turns, range(calibration.clips), strict=False))


def _by_turns(pile: Sequence[Clip], third: Mapping[str, int], first: int) -> list[Clip]:
    """The pile with quiet, middling and loud clips in turn, beginning with the third ``first``."""
    parts = [[clip for clip in pile if third[clip.id] == (first + i) % 3] for i in range(3)]
    return [clip for turn in zip_longest(*parts) for clip in turn if clip is not None]


def spread(chosen: Sequence[Clip], calibration: Calibration) -> tuple[str, ...]:
    """The condition of each chosen clip: within an accent they take turns, each accent beginning with another."""
    names = calibration.conditions
    accents = sorted({clip.accent for clip in chosen})
    turn = {accent: place + calibration.seed for place, accent in enumerate(accents)}
    through = []
    for clip in chosen:
        through.append(names[turn[clip.accent] % len(names)])
        turn[clip.accent] += 1
    return tuple(through)


def doubts(
    clips: Sequence[Clip], levels_db: npt.NDArray[np.floating[Any]], accents: Sequence[str], labels: set[str]
) -> tuple[str, ...]:
    """Why these clips may set poor ranges; ``accents`` and ``labels`` are those of the whole corpus."""
    found = []
    level = float(np.median(levels_db)) if len(levels_db) else -np.inf
    if not level >= QUIETEST_DBFS:
        found.append(f"its median level is {level:.0f} dBFS, below {QUIETEST_DBFS:g}: speech will exceed its ranges")
    fewest = max(FEWEST, FEWEST_PER_LABEL * len(labels))
    if len(clips) < fewest:
        found.append(f"only {len(clips)} clips set the ranges, at least {fewest} should")
    heard = sorted({clip.accent for clip in clips})
    if len(heard) == 1 and len(accents) > 1:
        found.append(f"only the accent {heard[0]!r} is heard, of {len(accents)} in the corpus")
    missing = sorted(labels - {clip.label for clip in clips})
    if missing:
        found.append(f"no clip of {', '.join(missing)}")
    return tuple(found)
