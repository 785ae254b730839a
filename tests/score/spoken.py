"""Outputs of a command model whose letters are known: a few sentences, spelled a letter a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.audio.corpus import Clip
from harness.score.command import CommandComparison, compare
from harness.score.ctc import Decoder, decoder

LABELS = ("<blank>", " ", *"abcdefghijklmnopqrstuvwxyz")
SENTENCES = ("come back", "go left", "go right", "stop now", "turn off the light", "turn on the light")
FRAMES = 44
CONDITIONS = ("clean", "noise-10db")

Logits = npt.NDArray[np.float32]


def own(labels: Sequence[str] = LABELS, blank: str = "<blank>", reject: float = -20.0) -> Decoder:
    return decoder(labels, blank, SENTENCES, reject)


def emit(texts: Sequence[str], seed: int = 0) -> Logits:
    """``(n, FRAMES * tokens)``: each letter for one frame, a blank behind it, then blanks."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 0.3, (len(texts), FRAMES, len(LABELS)))
    for row, text in zip(logits, texts, strict=True):
        tokens = [token for letter in text for token in (LABELS.index(letter), 0)]
        tokens += [0] * (FRAMES - len(tokens))
        row[np.arange(FRAMES), tokens] += 6
    return logits.reshape(len(texts), -1).astype(np.float32)


def make_clips(accents: Sequence[str] = ("de", "sv"), speakers: int = 4) -> list[Clip]:
    """Every sentence by each speaker."""
    return [
        Clip(f"{accent}-{s}-{text}", Path("x.flac"), text, f"{accent}-{s}", accent, "test", None)
        for accent in accents
        for s in range(speakers)
        for text in SENTENCES
    ]


def table(
    heard: Mapping[int, str] | None = None, reading: Decoder | None = None, clips: Sequence[Clip] | None = None
) -> CommandComparison:
    """Golden hears everything right; the build hears ``heard`` in place of what the clips of these places say."""
    spoken = list(clips or make_clips())
    said = [clip.label for clip in spoken]
    told = [(heard or {}).get(place, text) for place, text in enumerate(said)]
    golden = {name: emit(said, seed) for seed, name in enumerate(CONDITIONS)}
    tested = {name: emit(told, seed) for seed, name in enumerate(CONDITIONS)}
    return compare(spoken, reading or own(), golden, tested)


def blinded(whole: CommandComparison, place: int) -> CommandComparison:
    """The same with one tested output that is not finite."""
    tested = whole.tested.copy()
    tested[place, 5] = np.nan
    return replace(whole, tested=tested)
