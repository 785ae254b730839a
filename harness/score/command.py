"""Scores of spoken command models: sentences heard under the grammar, and the words that letters alone spell.

Command accuracy is the share of renderings whose likeliest sentence is the one said; WER and CER are of the text
without the grammar, which hides small losses. All of it is judged beside golden, rendering by rendering.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harness.audio.corpus import Clip
from harness.interval import Estimate, Values, share
from harness.score.ctc import Decoder, best_tokens
from harness.score.keyword import EVERY, Comparison, Decisions, Logits, Mask
from harness.score.slices import Slice
from harness.score.words import Counts, letter_errors, word_errors

ANY = (-np.inf, np.inf)  # more words may be put in than were said
MISREAD = 0.15  # letters wrong from which on other readings of the tokens are tried
BETTER = 0.5  # of the letters wrong: what another reading must leave at most to be believed


@dataclass(frozen=True, slots=True)
class Decoded:
    """What outputs say: the sentence of each rendering, scores of all sentences, errors without the grammar."""

    command: Decisions
    scores: npt.NDArray[np.float64]  # (n, sentences), nats
    word_errors: Counts
    letter_errors: Counts


Decoding = Callable[[Decoder, Sequence[str], Logits], Decoded]


@dataclass(frozen=True, slots=True)
class CommandComparison(Comparison):
    """As its base, where a decision is the place of a sentence; logits are ``(n, frames * tokens)``."""

    decoder: Decoder
    said: tuple[str, ...]
    words: Counts  # said in each rendering
    letters: Counts
    float_says: Decoded
    build_says: Decoded

    def before(self, mask: Mask | slice = EVERY) -> Decisions:
        return self.float_says.command[mask]

    def after(self, mask: Mask | slice = EVERY) -> Decisions:
        return self.build_says.command[mask]

    def gap(self, rendering: int) -> float:
        """Nats by which the tested outputs prefer their sentence to golden's."""
        scores = np.maximum(self.build_says.scores[rendering], np.finfo(np.float64).min)
        return float(scores[self.after()[rendering]] - scores[self.before()[rendering]])

    def wer(self, part: Slice, confidence: float, seed: int) -> Estimate:
        """Word error rate of the tested outputs, spelled letter by letter."""
        return self._rate(self.build_says.word_errors, self.words, part, confidence, seed)

    def cer(self, part: Slice, confidence: float, seed: int) -> Estimate:
        """Letter error rate, likewise."""
        return self._rate(self.build_says.letter_errors, self.letters, part, confidence, seed)

    def wer_rise(self, part: Slice, confidence: float, seed: int) -> Estimate:
        """Word error rate of the tested outputs less golden's: paired."""
        risen = self.build_says.word_errors - self.float_says.word_errors
        return self._rate(risen, self.words, part, confidence, seed)

    def insane(self, parts: Sequence[Slice]) -> list[str]:
        faults = Comparison.insane(self, parts)
        misread = self.misread() if not self.broken.any() else ""
        return [misread, *faults] if misread else faults  # the cause before what it causes

    def misread(self) -> str:
        """Whether the tokens are read amiss: another blank, or labels shifted, spells what was said. Else empty."""
        wrong = self.build_says.letter_errors.sum() / max(1.0, self.letters.sum())
        if wrong < MISREAD:
            return ""
        tokens = best_tokens(self.decoder.frames(self.tested))
        found = {why: self._letters_wrong(other, tokens) for why, other in readings(self.decoder).items()}
        why = min(found, key=lambda name: found[name])
        if found[why] > BETTER * wrong:
            return ""
        return f"{why}: read so, {100 * found[why]:.1f} % of the letters are wrong, as declared {100 * wrong:.1f} %"

    def _letters_wrong(self, other: Decoder, tokens: npt.NDArray[np.intp]) -> float:
        wrong, letters = letter_errors(self.said, [other.spell(row) for row in tokens])
        return float(wrong.sum() / letters.sum())

    def _rate(self, errors: Counts, sizes: Counts, part: Slice, confidence: float, seed: int) -> Estimate:
        """Sum of errors over sum of sizes, clustered by speaker: the mean over words (or letters) of their errors."""
        mask = self.where(part)
        count = sizes[mask].astype(np.intp)
        values: Values = np.repeat(errors[mask] / sizes[mask], count)
        speakers = np.repeat(self.speaker[mask], count)
        clips = len(np.unique(self.clip[mask]))
        return replace(share(values, speakers, clips, confidence, seed, ANY), n=int(mask.sum()))


def readings(own: Decoder) -> dict[str, Decoder]:
    """Other ways to read the same tokens, by the fault of model.toml or runtime that each would mean."""
    found = {}
    declared = own.labels[own.blank]
    for index, label in enumerate(own.labels):
        if index != own.blank:
            swapped = list(own.labels)
            swapped[index], swapped[own.blank] = declared, label
            why = f"CTC blank index wrong: output {index} is the blank, not output {own.blank}"
            found[why] = replace(own, labels=tuple(swapped), blank=index)
    letters = [label for label in own.labels if label != declared]
    for step in (-1, 1):
        rolled = [*letters[step:], *letters[:step]]
        rolled.insert(own.blank, declared)
        found[f"labels shifted by one: each letter's output is the one {'after' if step < 0 else 'before'} it"] = (
            replace(own, labels=tuple(rolled))
        )
        whole = [*own.labels[step:], *own.labels[:step]]
        found[f"labels shifted by one, the blank too: output {whole.index(declared)} is the blank"] = replace(
            own, labels=tuple(whole), blank=whole.index(declared)
        )
    return found


def decoded(decoder: Decoder, said: Sequence[str], outputs: Logits) -> Decoded:
    """What outputs ``(n, frames * tokens)`` say, where ``said`` was said: each row by itself."""
    scores = decoder.scores(outputs)
    spelled = decoder.spelled(outputs)
    return Decoded(decoder.decided(scores), scores, word_errors(said, spelled)[0], letter_errors(said, spelled)[0])


def compare(
    clips: Sequence[Clip],
    decoder: Decoder,
    golden: Mapping[str, Logits],
    tested: Mapping[str, Logits],
    by: Decoding = decoded,
) -> CommandComparison:
    """Stack the conditions of golden and tested outputs, each ``(len(clips), frames * tokens)``, and decode both."""
    conditions = list(golden)
    times = len(conditions)
    _, speaker = np.unique([clip.speaker for clip in clips], return_inverse=True)
    said = [clip.label for clip in clips] * times
    floats = np.concatenate([golden[c] for c in conditions])
    build = np.concatenate([tested[c] for c in conditions])
    words, letters = (errors(said, said)[1] for errors in (word_errors, letter_errors))
    says = by(decoder, said, floats)
    return CommandComparison(
        golden=floats,
        tested=build,
        truth=np.array([decoder.sentences.index(text) for text in said], np.intp),
        keyword=np.ones(len(said), bool),
        accent=np.tile(np.array([clip.accent for clip in clips]), times),
        condition=np.repeat(np.array(conditions), len(clips)),
        speaker=np.tile(speaker.astype(np.intp), times),
        clip=np.tile(np.arange(len(clips)), times),
        decoder=decoder,
        said=tuple(said),
        words=words,
        letters=letters,
        float_says=says,
        build_says=says if tested is golden else by(decoder, said, build),
    )
