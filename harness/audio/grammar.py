"""The sentences a command model may hear: patterns with slots, spelled out.

    patterns = ["go to the <room>", "stop now"]
    [slots]
    room = ["kitchen", "garden"]

says three sentences. A grammar is finite and small, so that every sentence of it can be scored exactly.
"""

from __future__ import annotations

import re
from functools import cached_property
from itertools import product
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import CandidateError, nearest
from harness.strict import faults, read_toml

MAX_SENTENCES = 20_000
MAX_LETTERS = 200
SLOT = re.compile(r"<([^<>]*)>")
WORDS = re.compile(r"[a-z']+( [a-z']+)*")


class Grammar(BaseModel):
    """``patterns`` of lower-case words and ``<slots>``; each slot stands for one of its phrases."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patterns: tuple[str, ...] = Field(min_length=1)
    slots: dict[str, tuple[str, ...]] = {}

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Every sentence once, sorted."""
        return tuple(sorted({sentence for pattern in self.patterns for sentence in self.spelled(pattern)}))

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(sorted({word for sentence in self.sentences for word in sentence.split()}))

    def spelled(self, pattern: str) -> list[str]:
        """The sentences of one pattern."""
        fixed = SLOT.split(pattern)  # text, slot, text, slot, ..., text
        fillings = product(*(self.slots[name] for name in fixed[1::2]))
        return [
            "".join(text + word for text, word in zip(fixed[::2], (*filling, ""), strict=True)) for filling in fillings
        ]

    @model_validator(mode="after")
    def _spells(self) -> Grammar:
        count = 0
        for pattern in self.patterns:
            size = 1
            for name in SLOT.findall(pattern):
                if not self.slots.get(name):
                    raise ValueError(f"{pattern!r:.80} has a slot <{name}>{nearest(name, self.slots)} without phrases")
                size *= len(self.slots[name])
            count += size
            if count > MAX_SENTENCES:
                raise ValueError(f"it has over {MAX_SENTENCES:,} sentences; take narrower slots")
        for sentence in self.sentences:
            if not WORDS.fullmatch(sentence) or len(sentence) > MAX_LETTERS:
                raise ValueError(f"{sentence!r:.80} is not lower-case words, single spaces between, {MAX_LETTERS} long")
        return self


def read_grammar(path: Path) -> Grammar:
    """The grammar of a TOML file. Raises CandidateError with its faults."""
    if not path.is_file():
        raise CandidateError(f"{path} is not there; write the sentences the model may hear, see docs/commands.md.")
    try:
        return Grammar.model_validate(read_toml(path, CandidateError))
    except ValidationError as error:
        raise CandidateError(f"{path}: {'; '.join(faults(error, (Grammar,)))}.") from error
