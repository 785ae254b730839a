"""Front ends and labels that are not those the model was trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.audio.frontend import FrontEnd
from harness.cache import digest
from harness.diagnose.layers import grouped, suspected
from harness.diagnose.upstream import edit_to, other_front_ends, relabelled, toml
from tests.diagnose.test_findings import sample

LABELS = ("stop", "go", "left")


@pytest.mark.parametrize(
    "edit", [{"high_hz": 7600.0}, {"mean": 7.0}, {"window": "povey", "preemphasis": 0.97}, {"low_hz": 60.0}]
)
def test_the_front_end_golden_was_made_with_is_found_by_its_digest(edit: dict[str, Any]) -> None:
    now = FrontEnd(high_hz=4000, low_hz=20, preemphasis=0.0, mean=0.0)
    was = digest(now.model_dump() | edit)
    assert edit_to(now, was) == edit


def test_a_front_end_that_is_not_found_is_not_guessed() -> None:
    assert edit_to(FrontEnd(), digest(FrontEnd(low_hz=33.3).model_dump())) is None


def test_other_front_ends_fit_the_model() -> None:
    front = FrontEnd()
    found = list(other_front_ends(front))
    assert len(found) > 10
    assert {(other.frames, other.bins) for _, other in found} == {(front.frames, front.bins)}
    assert all(len(edit) == 1 and other != front for edit, other in found)
    assert toml({"window": "povey"}) == 'in model.toml, [frontend]: window = "povey"'


def test_swapped_labels_are_named() -> None:
    base = sample()
    swapped = base.only(np.arange(60))
    swapped.truth[:] = np.array([1, 0, 2])[base.reference.argmax(axis=1)]
    effect, moved = relabelled(swapped, LABELS)
    assert moved == [("stop", "go"), ("go", "stop")]
    assert effect.points == pytest.approx(100 * np.mean(swapped.truth < 2))
    assert effect.db is None


def test_one_word_taken_for_another_is_no_swap() -> None:
    base = sample()
    base.truth[base.truth == 0] = 1  # all that sounds like the first is meant as the second
    effect, moved = relabelled(base, LABELS)
    assert (moved, effect.points) == ([], 0)


def test_layers_are_grouped_with_their_neighbours() -> None:
    names = [f"layer{i}" for i in range(50)]
    groups = grouped(names, 24)
    assert len(groups) == 24
    assert [name for group in groups for name in group] == names
    assert grouped(names[:3]) == [(name,) for name in names[:3]]


def test_the_noisiest_layers_are_suspects() -> None:
    assert suspected({("a",): 1.0, ("b",): 90.0, ("c",): 1.0}) == [("b",)]
    assert suspected({("a",): 10.0, ("b",): np.inf}) == [("b",)]
    assert suspected({("a",): 0.0}) == []
