"""The golden store's gate: an update fails once, and what nothing asks for fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.gates.stored import golden, unused
from harness.golden import Golden, Provenance, place
from harness.verdict import Outcome
from tests.gates.conftest import MakeBuild

ORIGIN = Provenance("tiny", "clean", ("go", "stop", "unknown"), "m", "f", "c", "a", {})
STORED = {
    name: Golden(
        replace(ORIGIN, condition=name), np.zeros((4, 3), np.float32), np.zeros(4, np.float32), np.zeros((4, 4))
    )
    for name in ("clean", "device")
}


def test_a_store_that_agrees_passes(build: MakeBuild) -> None:
    row = golden(build().candidate, STORED, [], "check")
    assert (row.outcome, row.n, row.candidate, row.gate) == (Outcome.PASS, 8, "tiny", "golden")
    assert "2 conditions agree" in row.detail


def test_an_update_fails_once_saying_what_to_review(build: MakeBuild) -> None:
    candidate = build().candidate
    row = golden(candidate, STORED, ["clean: 3 of 4 decisions flip"], "update")
    assert (row.outcome, row.value) == (Outcome.FAIL, 1)
    assert "review and commit them: clean: 3 of 4 decisions flip" in row.detail
    assert golden(candidate, STORED, [], "update").outcome is Outcome.PASS


def test_new_outputs_pass_and_are_told(build: MakeBuild) -> None:
    row = golden(build().candidate, STORED, ["clean: new, 4 renderings"], "new")
    assert row.outcome is Outcome.PASS
    assert "written: clean: new, 4 renderings" in row.detail


def test_files_nothing_asks_for_fail_by_name(build: MakeBuild) -> None:
    candidate = build().candidate
    wanted, stray = place(candidate.house, "tiny", "clean"), place(candidate.house, "old", "clean")
    for path in (wanted, stray):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    row = unused(candidate, {"tiny": candidate})
    assert (row.outcome, row.value) == (Outcome.FAIL, 1)
    assert "golden/old/clean.safetensors; remove" in row.detail
    stray.unlink()
    assert unused(candidate, {"tiny": candidate}).outcome is Outcome.PASS


@pytest.mark.parametrize("there", [True, False])
def test_another_house_asks_for_nothing_here(build: MakeBuild, there: bool) -> None:
    candidate = build().candidate
    path = place(candidate.house, "guest", "clean")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    head = candidate.head.model_copy(update={"name": "guest"})
    house = candidate.house if there else candidate.house.parent / "elsewhere"
    guest = replace(candidate, head=head, house=house)
    row = unused(candidate, {"tiny": candidate, "guest": guest})
    assert row.outcome is (Outcome.PASS if there else Outcome.FAIL)
