"""Which clips set the quantization ranges: few, chosen by a seed, from every accent and label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.audio.clip import Clip
from harness.audio.conditions import CONDITIONS, render_corpus
from harness.audio.corpus import Corpus
from harness.audio.frontend import Features, FrontEnd
from harness.cache import Cache, digest
from harness.candidate import Calibration
from harness.errors import CandidateError, nearest

FEWEST = 100  # onnxruntime, LiteRT and RKNN all document "about 100 to 500 typical inputs"
FEWEST_PER_LABEL = 4
QUIETEST_DBFS = -60.0  # median RMS level; speech at arm's length lies near -30


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Features ``(n, frames, bins)`` of the chosen clips, and what makes them doubtful."""

    features: Features
    clips: tuple[Clip, ...]
    level_db: float  # median RMS, dBFS
    warnings: tuple[str, ...]
    digest: str

    def record(self) -> dict[str, Any]:
        """A JSON-able description: ids, not audio."""
        return {
            "clips": [clip.id for clip in self.clips],
            "level_db": self.level_db,
            "warnings": list(self.warnings),
            "digest": self.digest,
        }


def calibrate(
    corpus: Corpus, calibration: Calibration, frontend: FrontEnd, cache: Cache, say: Any = lambda _: None
) -> CalibrationSet:
    """Choose, render and extract.

    Raises CandidateError for an unknown condition, CorpusError where there are no calibration clips.
    """
    name = calibration.condition
    if name not in CONDITIONS:
        raise CandidateError(
            f"a recipe's calibration asks for the unknown condition {name!r}{nearest(name, CONDITIONS)}; "
            f"there are {', '.join(CONDITIONS)}."
        )
    split = corpus.split("calibration")
    chosen = replace(split, clips=choose(split.clips, calibration))
    renditions = render_corpus(chosen, CONDITIONS[name], frontend.samples, cache, say)
    features = frontend.batch(renditions.audio)
    level = float(np.median(renditions.levels_db))
    labels = {clip.label for clip in corpus.clips}
    warnings = doubts(chosen.clips, renditions.levels_db, corpus.accents, labels)
    for warning in warnings:
        say(f"calibration: {warning}")
    return CalibrationSet(features, chosen.clips, level, warnings, digest(features.shape, features.tobytes()))


def choose(clips: Sequence[Clip], calibration: Calibration) -> tuple[Clip, ...]:
    """At most ``calibration.clips`` of ``clips``: one from each accent and label in turn, in seeded order.

    The choice depends on the seed and the clips' ids, not on their order.
    """
    random = np.random.default_rng(calibration.seed)
    strata: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.id):
        strata[clip.accent, clip.label].append(clip)
    piles = [[pile[i] for i in random.permutation(len(pile))] for _, pile in sorted(strata.items())]
    piles = [piles[i] for i in random.permutation(len(piles))]  # else a short choice is of the first accent
    longest = max(map(len, piles), default=0)
    turns = (pile[turn] for turn in range(longest) for pile in piles if turn < len(pile))
    return tuple(clip for clip, _ in zip(turns, range(calibration.clips), strict=False))


def doubts(
    clips: Sequence[Clip], levels_db: npt.NDArray[np.floating[Any]], accents: Sequence[str], labels: set[str]
) -> tuple[str, ...]:
    """Why these clips may set poor ranges; ``accents`` and ``labels`` are those of the whole corpus."""
    found = []
    fewest = max(FEWEST, FEWEST_PER_LABEL * len(labels))
    if len(clips) < fewest:
        found.append(f"only {len(clips)} clips set the ranges, at least {fewest} should")
    level = float(np.median(levels_db)) if len(levels_db) else -np.inf
    if not level >= QUIETEST_DBFS:
        found.append(f"its median level is {level:.0f} dBFS, below {QUIETEST_DBFS:g}: speech will exceed its ranges")
    heard = sorted({clip.accent for clip in clips})
    if len(heard) == 1 and len(accents) > 1:
        found.append(f"only the accent {heard[0]!r} is heard, of {len(accents)} in the corpus")
    missing = sorted(labels - {clip.label for clip in clips})
    if missing:
        found.append(f"no clip of {', '.join(missing)}")
    return tuple(found)
