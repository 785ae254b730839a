"""Synthetic outputs of a keyword model on a corpus of accents, speakers, clips and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.audio.corpus import Clip
from harness.score.keyword import Comparison, Logits, compare

LABELS = ("go", "stop", "unknown")
CONDITIONS = ("clean", "noise-10db")

Mask = npt.NDArray[np.bool_]


def make_clips(accents: Sequence[str], speakers: int, clips: int) -> list[Clip]:
    """``clips`` of each speaker, ``speakers`` of each accent, labels in turn."""
    return [
        Clip(f"{accent}-{s}-{c}", Path("x.flac"), LABELS[(s + c) % len(LABELS)], f"{accent}-{s}", accent, "test", None)
        for accent in accents
        for s in range(speakers)
        for c in range(clips)
    ]


def logits_of(decided: npt.NDArray[np.intp], random: np.random.Generator) -> Logits:
    """Noisy logits ``(n, labels)`` whose largest is that of ``decided``."""
    logits = random.normal(0, 0.3, (len(decided), len(LABELS)))
    logits[np.arange(len(decided)), decided] += 6
    return logits.astype(np.float32)


def perfect(
    accents: Sequence[str] = ("de", "sv"),
    speakers: int = 5,
    clips: int = 6,
    conditions: Sequence[str] = CONDITIONS,
    seed: int = 0,
) -> Comparison:
    """Golden right everywhere, and tested outputs that equal it."""
    random = np.random.default_rng(seed)
    spoken = make_clips(accents, speakers, clips)
    truth = np.array([LABELS.index(clip.label) for clip in spoken], np.intp)
    golden = {condition: logits_of(truth, random) for condition in conditions}
    return compare(spoken, LABELS, ("unknown",), golden, golden)


def wrong_where(table: Comparison, wrong: Mask) -> Comparison:
    """The same table with the tested decision turned from right to the next label where ``wrong``."""
    tested = table.tested.copy()
    tested[wrong] = np.roll(table.tested[wrong], 1, axis=1)
    return replace(table, tested=tested)
