"""From a token a frame to text: by the best token of each frame, and as the likeliest sentence of a grammar.

The likelihood of a sentence sums over every way to spell it (CTC's forward recursion: Graves et al., ICML 2006,
section 4.1). A grammar is small enough to score all of it: sentences that begin alike share that part of the
recursion, which is exact, so no beam is searched and none can be too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

TOGETHER = 64  # renderings scored at a time
NOTHING = -1  # no sentence of the grammar was heard


@dataclass(frozen=True, slots=True)
class Heard:
    """One rendering: the sentence of the grammar (empty: none), what its letters alone spell, and how sure it is.

    ``score`` is the log-likelihood of the sentence, nats a letter.
    """

    text: str
    spelled: str
    score: float


@dataclass(frozen=True, slots=True)
class Tree:
    """The sentences' common beginnings: node 0 is the empty one, every other one letter more than its parent."""

    token: Indices  # (nodes,)
    parent: Indices
    twice: npt.NDArray[np.bool_]  # the letter is its parent's: a blank must stand between
    end: Indices  # (sentences,): the node of each


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes outputs ``(n, frames * tokens)``. A sentence less likely than ``reject`` nats a letter is none."""

    labels: tuple[str, ...]
    blank: int
    sentences: tuple[str, ...]
    reject: float
    tree: Tree

    def frames(self, outputs: Logits) -> Logits:
        """``(n, frames, tokens)``."""
        return outputs.reshape(len(outputs), -1, len(self.labels))

    def spelled(self, outputs: Logits) -> list[str]:
        """What the best token of each frame spells: repeats are one, blanks are none; empty where not finite."""
        return [self.spell(row) for row in best_tokens(self.frames(outputs))]

    def spell(self, tokens: Indices) -> str:
        """``(frames,)`` tokens as text."""
        changed = np.asarray(np.diff(tokens, prepend=NOTHING) != 0)
        return "".join(self.labels[i] for i in tokens[changed & (tokens != self.blank) & (tokens >= 0)])

    def scores(self, outputs: Logits) -> npt.NDArray[np.float64]:
        """Log-likelihood ``(n, sentences)`` of each sentence; -inf where outputs are not finite."""
        logits = self.frames(outputs)
        parts = [self._scores(logits[at : at + TOGETHER]) for at in range(0, len(logits), TOGETHER)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.sentences)))

    def decided(self, scores: npt.NDArray[np.float64]) -> Indices:
        """The likeliest sentence of each row of :meth:`scores`; NOTHING where all are rejected."""
        best = scores.argmax(axis=1)
        return np.where(self.sure(scores) >= self.reject, best, NOTHING)

    def sure(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Nats a letter of the likeliest sentence of each row."""
        letters = np.array([len(sentence) for sentence in self.sentences])
        best = scores.argmax(axis=1)
        figures: npt.NDArray[np.float64] = scores[np.arange(len(scores)), best] / letters[best]
        return figures

    def hear(self, output: Logits) -> Heard:
        """One window's output ``(frames, tokens)``, or flat."""
        rows = np.asarray(output, np.float32).reshape(1, -1)
        scores = self.scores(rows)
        which = int(self.decided(scores)[0])
        text = self.sentences[which] if which >= 0 else ""
        return Heard(text, self.spelled(rows)[0], float(self.sure(scores)[0]))

    def _scores(self, logits: Logits) -> npt.NDArray[np.float64]:
        finite = np.asarray(np.isfinite(logits).all(axis=(1, 2)))
        likely = softmax(np.where(finite[:, None, None], logits, 0))
        tree = self.tree
        count, frames, _ = likely.shape
        on_blank = np.zeros((count, len(tree.token)))  # the beginning is spelled, and a blank came last
        on_letter = np.zeros_like(on_blank)  # its own last letter did
        on_blank[:, 0] = 1.0
        log_scale = np.zeros(count)
        for frame in range(frames):
            now = likely[:, frame]
            either = on_blank + on_letter
            entered = np.where(tree.twice, on_blank[:, tree.parent], either[:, tree.parent])
            on_letter = now[:, tree.token] * (on_letter + entered)
            on_letter[:, 0] = 0.0
            on_blank = now[:, [self.blank]] * either
            largest = np.maximum(on_blank.max(axis=1), on_letter.max(axis=1))  # else all would underflow in time
            on_blank /= largest[:, None]
            on_letter /= largest[:, None]
            log_scale += np.log(largest)
        with np.errstate(divide="ignore"):
            scores = np.log((on_blank + on_letter)[:, tree.end]) + log_scale[:, None]
        return np.where(finite[:, None], scores, -np.inf)


def decoder(labels: Sequence[str], blank: str, sentences: Sequence[str], reject: float = -np.inf) -> Decoder:
    """A decoder of ``labels``, one letter each beside ``blank``."""
    tokens = tuple(labels)
    tree = _tree([[tokens.index(letter) for letter in sentence] for sentence in sentences])
    return Decoder(tokens, tokens.index(blank), tuple(sentences), reject, tree)


def best_tokens(logits: Logits) -> Indices:
    """``(n, frames)`` of ``(n, frames, tokens)``; NOTHING throughout a rendering that is not finite."""
    finite = np.asarray(np.isfinite(logits).all(axis=(1, 2)))
    return np.where(finite[:, None], np.where(np.isfinite(logits), logits, 0).argmax(axis=2), NOTHING)


def softmax(logits: Logits) -> npt.NDArray[np.float64]:
    rows = logits.astype(np.float64)
    powers = np.exp(rows - rows.max(axis=-1, keepdims=True))
    likely: npt.NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return likely


def _tree(spelled: Sequence[Sequence[int]]) -> Tree:
    known: dict[tuple[int, ...], int] = {(): 0}
    token, parent = [0], [0]
    for sentence in spelled:
        for end in range(1, len(sentence) + 1):
            beginning = tuple(sentence[:end])
            if beginning not in known:
                known[beginning] = len(token)
                parent.append(known[beginning[:-1]])
                token.append(beginning[-1])
    tokens, parents = np.array(token), np.array(parent)
    twice = (tokens == tokens[parents]) & (parents > 0)
    return Tree(tokens, parents, twice, np.array([known[tuple(sentence)] for sentence in spelled]))
