"""Errors of text against what was said: words and letters put in place of others, left out, put in (jiwer)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jiwer
import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]

# Pinned: figures of two runs compare only where both texts went through the same steps.
NORMALIZER = "lower case, no punctuation, single spaces, trimmed"
_NORMAL: list[Any] = [jiwer.ToLowerCase(), jiwer.RemovePunctuation(), jiwer.RemoveMultipleSpaces(), jiwer.Strip()]  # type: ignore[no-untyped-call]
_WORDS = jiwer.Compose([*_NORMAL, jiwer.ReduceToListOfListOfWords()])
_LETTERS = jiwer.Compose([*_NORMAL, jiwer.ReduceToListOfListOfChars()])


def word_errors(said: Sequence[str], heard: Sequence[str]) -> tuple[Counts, Counts]:
    """``(n,)`` errors and ``(n,)`` words said of each text: their ratio of sums is the WER."""
    return _errors(jiwer.process_words(list(said), list(heard), _WORDS, _WORDS))


def letter_errors(said: Sequence[str], heard: Sequence[str]) -> tuple[Counts, Counts]:
    """As :func:`word_errors`, by letters and spaces: CER."""
    return _errors(jiwer.process_characters(list(said), list(heard), _LETTERS, _LETTERS))


def _errors(found: Any) -> tuple[Counts, Counts]:
    wrong = [
        sum(max(part.ref_end_idx - part.ref_start_idx, part.hyp_end_idx - part.hyp_start_idx) for part in parts)
        for parts in ([part for part in row if part.type != "equal"] for row in found.alignments)
    ]
    return np.array(wrong, np.float64), np.array([len(row) for row in found.references], np.float64)
