"""Scores of keyword models: each rendering decided by its largest logit, beside golden's decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.audio.corpus import Clip
from harness.interval import Estimate, Values, clustered_mean, share
from harness.score.slices import Slice

Logits = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Decisions = npt.NDArray[np.intp]

SQNR_CEILING = 140.0  # dB; float32 arithmetic ends there, so identical outputs are not infinite
EVERY = slice(None)  # rendering
NO_DECISION = -1  # a rendering whose logits are not finite decides nothing and is never right


def decisions(logits: Logits) -> Decisions:
    """Label index of each row of ``(n, labels)``; NO_DECISION where a logit is not finite."""
    finite = np.isfinite(logits).all(axis=1)
    return np.where(finite, np.argmax(np.where(np.isfinite(logits), logits, -np.inf), axis=1), NO_DECISION)


def sqnr_db(golden: Logits, tested: Logits) -> float:
    """Signal-to-quantization-noise ratio of all logits together, in dB, at most SQNR_CEILING."""
    signal = float(np.square(golden.astype(np.float64)).sum())
    noise = float(np.square(tested.astype(np.float64) - golden).sum())
    floor = signal * 10 ** (-SQNR_CEILING / 10)
    tiny = float(np.finfo(np.float64).tiny)
    return float(10 * np.log10((signal + tiny) / max(noise, floor, tiny)))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Golden and tested outputs of every rendering (clip x condition), with what each one is.

    All arrays have one row a rendering; logits are ``(n, labels)``. A decision is the place of a label, or NO_DECISION.
    """

    golden: Logits
    tested: Logits
    truth: npt.NDArray[np.intp]
    keyword: Mask  # the label is a keyword, not background
    accent: npt.NDArray[np.str_]
    condition: npt.NDArray[np.str_]
    speaker: npt.NDArray[np.intp]
    clip: npt.NDArray[np.intp]

    def before(self, mask: Mask | slice = EVERY) -> Decisions:
        """What golden decides, on the renderings of ``mask``."""
        return decisions(self.golden[mask])

    def after(self, mask: Mask | slice = EVERY) -> Decisions:
        """What the tested outputs decide, likewise."""
        return decisions(self.tested[mask])

    @property
    def broken(self) -> Mask:
        """Renderings whose tested outputs are not finite."""
        return np.asarray(~np.isfinite(self.tested).all(axis=1))

    def gap(self, rendering: int) -> float:
        """Logits by which the tested outputs prefer their decision to golden's."""
        logits = self.tested[rendering]
        return float(logits[self.after()[rendering]] - logits[self.before()[rendering]])

    def where(self, part: Slice) -> Mask:
        mask = np.ones(len(self.truth), bool)
        if part.accents is not None:
            mask &= np.isin(self.accent, sorted(part.accents))
        if part.condition is not None:
            mask &= self.condition == part.condition
        return mask

    def drop(self, part: Slice, confidence: float, seed: int) -> Estimate:
        """Share of renderings golden gets right less the share tested gets right: paired."""
        mask = self.where(part)
        lost = (self.before(mask) == self.truth[mask]) - self._right(mask)
        return self._share(lost, mask, confidence, seed, (-1.0, 1.0))

    def lost(self, before: Mask, part: Slice, confidence: float, seed: int) -> Estimate:
        """Share of renderings that were right ``before`` less the share tested gets right: paired."""
        mask = self.where(part)
        lost = before[mask] - self._right(mask)
        return self._share(lost, mask, confidence, seed, (-1.0, 1.0))

    def flips(self, part: Slice, confidence: float, seed: int) -> Estimate:
        """Share of renderings whose decision differs from golden's, right or wrong."""
        mask = self.where(part)
        flipped = (self.before(mask) != self.after(mask)) | self.broken[mask]
        return self._share(flipped.astype(np.float64), mask, confidence, seed)

    def accuracy(self, part: Slice, confidence: float, seed: int, *, keywords: bool) -> Estimate:
        """Share of the tested decisions that are right; of keyword clips alone: recall."""
        mask = self.where(part) & self.keyword if keywords else self.where(part)
        return self._share(self._right(mask), mask, confidence, seed)

    def sqnr(self, part: Slice, confidence: float, seed: int) -> Estimate:
        """Signal-to-quantization-noise ratio of the logits in dB, the mean over speakers.

        For each speaker 10 log10 (sum golden^2 / sum (tested - golden)^2) over its renderings.
        """
        mask = self.where(part)
        speaker, index = np.unique(self.speaker[mask], return_inverse=True)
        golden = self.golden[mask].astype(np.float64)
        noise = self.tested[mask].astype(np.float64) - golden
        signal = np.bincount(index, np.square(golden).sum(axis=1), len(speaker))
        error = np.bincount(index, np.square(noise).sum(axis=1), len(speaker))
        floor = signal * 10 ** (-SQNR_CEILING / 10) + np.finfo(np.float64).tiny
        ratio: Values = 10 * np.log10((signal + np.finfo(np.float64).tiny) / np.maximum(error, floor))
        estimate = clustered_mean(ratio, speaker.astype(np.intp), self._clips(mask), confidence, seed)
        return Estimate(
            estimate.value,
            estimate.low,
            estimate.high,
            int(mask.sum()),
            estimate.clips,
            estimate.clusters,
            estimate.method,
            estimate.error,
        )

    def insane(self, parts: Sequence[Slice]) -> list[str]:
        """What no healthy model does: outputs that are not finite, or one decision for everything."""
        faults = []
        broken = int(self.broken.sum())
        if broken:
            faults.append(f"{broken} of {len(self.tested)} outputs are not finite")
        for part in parts:
            mask = self.where(part)
            if len(np.unique(self.truth[mask])) < 2:
                continue
            if len(np.unique(self.tested[mask], axis=0)) == 1:
                faults.append(f"outputs are constant on {part}")
            elif len(np.unique(self.after(mask))) == 1:
                faults.append(f"every decision on {part} is the same")
        return faults

    def _right(self, mask: Mask) -> Values:
        """1 where a rendering of the mask is decided right, else 0."""
        right: Values = (self.after(mask) == self.truth[mask]).astype(np.float64)
        return right

    def _clips(self, mask: Mask) -> int:
        return len(np.unique(self.clip[mask]))

    def _share(
        self, values: Values, mask: Mask, confidence: float, seed: int, span: tuple[float, float] = (0.0, 1.0)
    ) -> Estimate:
        return share(values, self.speaker[mask], self._clips(mask), confidence, seed, span)


def compare(
    clips: Sequence[Clip],
    labels: Sequence[str],
    background: Sequence[str],
    golden: Mapping[str, Logits],
    tested: Mapping[str, Logits],
) -> Comparison:
    """Stack the conditions of golden and tested outputs, each ``(len(clips), labels)``, in one table."""
    conditions = list(golden)
    times = len(conditions)
    _, speaker = np.unique([clip.speaker for clip in clips], return_inverse=True)
    truth = np.array([labels.index(clip.label) for clip in clips], np.intp)
    keyword = np.array([clip.label not in background for clip in clips])
    return Comparison(
        golden=np.concatenate([golden[c] for c in conditions]),
        tested=np.concatenate([tested[c] for c in conditions]),
        truth=np.tile(truth, times),
        keyword=np.tile(keyword, times),
        accent=np.tile(np.array([clip.accent for clip in clips]), times),
        condition=np.repeat(np.array(conditions), len(clips)),
        speaker=np.tile(speaker.astype(np.intp), times),
        clip=np.tile(np.arange(len(clips)), times),
    )
