"""Grammars: patterns with slots are spelled out, and their faults are told."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.audio.grammar import MAX_SENTENCES, Grammar, read_grammar
from harness.errors import CandidateError

WORD = st.text("abc", min_size=1, max_size=3)


def test_slots_are_spelled_out() -> None:
    grammar = Grammar(
        patterns=("go to the <room>", "stop now"), slots={"room": ("kitchen", "garden"), "unused": ("x",)}
    )
    assert grammar.sentences == ("go to the garden", "go to the kitchen", "stop now")
    assert grammar.words == ("garden", "go", "kitchen", "now", "stop", "the", "to")


def test_a_sentence_that_two_patterns_spell_is_one() -> None:
    assert Grammar(patterns=("go <a>", "<b> left"), slots={"a": ("left",), "b": ("go",)}).sentences == ("go left",)


@given(st.lists(st.lists(WORD, min_size=1, max_size=3, unique=True), min_size=1, max_size=3))
def test_a_pattern_has_as_many_sentences_as_its_slots_have_choices(slots: list[list[str]]) -> None:
    names = [f"s{i}" for i in range(len(slots))]
    grammar = Grammar(
        patterns=(" ".join(f"<{name}>" for name in names),),
        slots=dict(zip(names, map(tuple, slots), strict=True)),
    )
    assert len(grammar.sentences) == prod(map(len, slots))
    assert all(len(sentence.split()) == len(slots) for sentence in grammar.sentences)


@pytest.mark.parametrize(
    ("patterns", "slots", "told"),
    [
        (("go to the <rom>",), {"room": ("kitchen",)}, "room"),
        (("Go",), {}, "lower-case"),
        (("go  left",), {}, "single spaces"),
        (("<a> <a> <a>",), {"a": tuple("x" * (i + 1) for i in range(30))}, f"{MAX_SENTENCES:,}"),
    ],
)
def test_a_fault_is_named(patterns: tuple[str, ...], slots: dict[str, tuple[str, ...]], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Grammar(patterns=patterns, slots=slots)


@pytest.mark.parametrize(
    ("text", "told"),
    [('patterns = ["go <x>"]', "slot <x>"), ("patterns = [", "not valid TOML"), ('pattern = ["a"]', "pattern")],
)
def test_a_file_that_is_no_grammar_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "grammar.toml"
    path.write_text(text)
    with pytest.raises(CandidateError, match=told):
        read_grammar(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CandidateError, match="not there"):
        read_grammar(tmp_path / "grammar.toml")
