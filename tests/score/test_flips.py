"""The flips a person hears first are right decisions that were lost, the surest first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.score.flips import flips
from tests.score.tables import LABELS, make_clips, perfect, wrong_where

CLIPS = make_clips(("de", "sv"), 3, 4)
TABLE = perfect(("de", "sv"), speakers=3, clips=4)


def test_without_a_flip_there_is_nothing_to_hear() -> None:
    assert flips(TABLE, CLIPS, LABELS) == []


def test_a_flip_says_what_was_said_heard_and_where() -> None:
    wrong = (TABLE.clip == 5) & (TABLE.condition == "clean")
    (flip,) = flips(wrong_where(TABLE, wrong), CLIPS, LABELS)
    clip = CLIPS[5]
    assert (flip.id, flip.label, flip.accent, flip.speaker) == (clip.id, clip.label, clip.accent, clip.speaker)
    assert (flip.condition, flip.golden, flip.lost) == ("clean", clip.label, True)
    assert flip.tested == LABELS[(LABELS.index(clip.label) + 1) % len(LABELS)]


def test_lost_decisions_come_first_then_the_surest() -> None:
    spoiled = wrong_where(TABLE, TABLE.clip < 6)
    gained = replace(spoiled, golden=np.where((TABLE.clip == 0)[:, None], spoiled.tested, spoiled.golden))
    mended = replace(gained, tested=np.where((TABLE.clip == 0)[:, None], TABLE.tested, gained.tested))
    found = flips(mended, CLIPS, LABELS)
    assert len(found) == 12
    assert [flip.lost for flip in found] == [True] * 10 + [False] * 2
    gaps = [flip.gap for flip in found[:10]]
    assert gaps == sorted(gaps, reverse=True)


def test_outputs_that_are_not_finite_lose_first() -> None:
    tested = wrong_where(TABLE, TABLE.clip == 1).tested
    tested[0] = np.nan
    found = flips(replace(TABLE, tested=tested), CLIPS, LABELS)
    assert (found[0].tested, found[0].gap) == (None, pytest.approx(np.inf))
