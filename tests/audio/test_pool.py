"""Work spread over helpers is the work itself: values, order, errors; and a helper that dies costs nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from harness.audio import pool
from harness.audio.conditions import CONDITIONS, render_corpus
from harness.audio.corpus import load_corpus
from harness.audio.frontend import FrontEnd
from harness.cache import Cache
from harness.errors import CorpusError
from tests.audio.parts import dies_beside, process_of, refused

RATE = 16000


@pytest.fixture
def spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers, however few the clips and processors; none that another test has killed."""
    monkeypatch.setattr(pool, "ENOUGH", 1)
    monkeypatch.setattr(pool, "processors", lambda: 2)
    pool._idle.clear()


@pytest.mark.usefixtures("spread")
def test_answers_keep_their_order_and_are_others_work() -> None:
    found = list(pool.over(process_of, range(20), 20))
    assert [number for number, _ in found] == list(range(20))
    assert os.getpid() not in {process for _, process in found}
    assert len({process for _, process in found}) == 2


def test_a_few_clips_are_done_here() -> None:
    assert {process for _, process in pool.over(process_of, range(20), pool.ENOUGH - 1)} == {os.getpid()}


@pytest.mark.usefixtures("spread")
def test_a_helper_that_is_killed_costs_nothing() -> None:
    assert list(pool.over(dies_beside, [(number, os.getpid()) for number in range(9)], 9)) == list(range(9))


@pytest.mark.usefixtures("spread")
def test_an_error_is_the_one_it_is_here() -> None:
    with pytest.raises(CorpusError, match="clip 3 is no readable audio"):
        list(pool.over(refused, [3], 1))


@pytest.mark.usefixtures("spread")
def test_what_was_broken_off_is_no_answer_to_the_next() -> None:
    begun = pool.over(process_of, range(20), 20)
    assert next(begun)[0] == 0
    begun.close()
    assert [number for number, _ in pool.over(process_of, range(100, 120), 20)] == list(range(100, 120))
    with pytest.raises(CorpusError, match="clip 0"):
        list(pool.over(refused, range(20), 20))
    assert [number for number, _ in pool.over(process_of, range(200, 220), 20)] == list(range(200, 220))


@pytest.mark.usefixtures("spread")
def test_two_that_ask_in_turns_have_their_own_answers() -> None:
    one, other = (pool.over(process_of, range(first, first + 20), 20) for first in (0, 100))
    pairs = list(zip(one, other, strict=True))
    assert [(a[0], b[0]) for a, b in pairs] == [(number, number + 100) for number in range(20)]


@pytest.mark.parametrize("rows", [0, 1, 49, 50, 120])
def test_rows_are_taken_as_they_were_sent(rows: int, tmp_path: Path) -> None:
    whole = np.random.default_rng(0).integers(-9, 9, (rows, 3, 2)).astype(np.int16)
    np.save(tmp_path / "whole.npy", whole)
    mapped = np.load(tmp_path / "whole.npy", mmap_mode="r") if rows else whole
    for array in (whole, mapped, mapped[::-1], mapped[1:], whole[:, ::-1]):
        parts = [pool.taken(request) for request in pool.rows(array)]
        assert all(len(part) <= pool.SIZE for part in parts)
        assert np.array_equal(np.concatenate([np.zeros((0, 3, 2), np.int16), *parts]), array)
    sent = [request[2] for request in pool.rows(mapped)]
    assert not any(isinstance(content, bytes) for content in sent), "what lies in a file goes by its name"


@pytest.mark.parametrize("name", ["clean", "noise-20db", "device"])
def test_renderings_and_features_are_the_same_to_the_bit(
    house: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = load_corpus("tones", house)
    monkeypatch.setattr(pool, "SIZE", 5)
    alone = render_corpus(corpus, CONDITIONS[name], RATE, Cache(tmp_path / "alone"), print)
    features = FrontEnd().batch(alone.audio)
    monkeypatch.setattr(pool, "ENOUGH", 1)
    monkeypatch.setattr(pool, "processors", lambda: 2)
    pool._idle.clear()
    spread = render_corpus(corpus, CONDITIONS[name], RATE, Cache(tmp_path / "spread"), print)
    assert spread.digest == alone.digest
    assert np.array_equal(spread.levels_db, alone.levels_db)
    assert np.array_equal(spread.sketch, alone.sketch)
    assert np.array_equal(FrontEnd().batch(spread.audio), features)
