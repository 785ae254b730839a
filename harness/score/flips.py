"""Renderings whose decision the quantized model changed, the worst first: what a person should listen to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.audio.corpus import Clip
from harness.score.keyword import Comparison


@dataclass(frozen=True, slots=True)
class Flip:
    """One rendering: what it says, what float and the build decided, and where it is: ``clip`` of the test split."""

    clip: int
    id: str
    label: str
    accent: str
    speaker: str
    condition: str
    golden: str
    tested: str | None  # None: the outputs are not finite
    lost: bool  # float was right
    gap: float  # logits by which the build prefers its decision to float's


def flips(comparison: Comparison, clips: Sequence[Clip], labels: Sequence[str]) -> list[Flip]:
    """Every changed decision: those that lost a right one first, then by how sure the build is of its own."""
    before, after = comparison.before(), comparison.after()
    found = []
    for i in np.flatnonzero((before != after) & (before >= 0)):
        clip = clips[comparison.clip[i]]
        found.append(
            Flip(
                clip=int(comparison.clip[i]),
                id=clip.id,
                label=clip.label,
                accent=clip.accent,
                speaker=clip.speaker,
                condition=str(comparison.condition[i]),
                golden=labels[before[i]],
                tested=labels[after[i]] if after[i] >= 0 else None,
                lost=bool(before[i] == comparison.truth[i]),
                gap=comparison.gap(int(i)) if after[i] >= 0 else float("inf"),
            )
        )
    return sorted(found, key=lambda flip: (not flip.lost, -flip.gap, flip.id, flip.condition))
