"""From effects to a verdict: what comes first, and when nothing is told apart."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.diagnose.effect import Effect, Sample, evenly
from harness.diagnose.findings import EXPLAINS, ORDER, TOUCHES, Cause, Diagnosis, Trial, ranked

NOTHING = Effect(0.0, 0.0, 0.0, 0.0, 0.0, 10, 3)
causes = st.builds(
    Cause,
    st.sampled_from(ORDER),
    st.just("it"),
    st.just(NOTHING),
    st.floats(-1, 1),
    st.just("mend it"),
)


def sample(count: int = 60) -> Sample:
    random = np.random.default_rng(0)
    reference = random.normal(0, 4, (count, 3)).astype(np.float32)
    numbers = np.arange(count)
    truth = reference.argmax(axis=1)
    return Sample(np.zeros((count, 2, 2), np.float32), reference, truth, numbers % 6, numbers, np.zeros(count, np.intp))


def told(*found: Cause, faulty: bool = True) -> Diagnosis:
    trials = (Trial("layers", "swapped", NOTHING),)
    return Diagnosis("small", "host/int8", "overall", faulty, "overall: 50 % right", (), ranked(list(found)), trials)


@given(st.lists(causes, max_size=8))
def test_what_explains_the_loss_comes_first_and_upstream_before_downstream(found: list[Cause]) -> None:
    order = ranked(found)
    assert all(cause.explained >= TOUCHES for cause in order)
    sure = [cause for cause in order if cause.sure]
    assert list(order[: len(sure)]) == sure
    places = [ORDER.index(cause.kind) for cause in sure]
    assert places == sorted(places)


def test_the_likely_cause_is_one_line_with_effect_n_and_fix() -> None:
    found = told(Cause("calibration", "too quiet", replace(NOTHING, points=9.0, db=12.0), 0.9, "record louder"))
    assert found.word == "calibration"
    assert found.line == (
        "likely cause: calibration: too quiet (+9.0 points [0.0, 0.0], +12.0 dB, n=10). Try: record louder"
    )


def test_weak_evidence_is_not_told_apart() -> None:
    weak = EXPLAINS - 0.1
    found = told(Cause("calibration", "a", NOTHING, weak, "x"), Cause("layers", "b", NOTHING, weak, "y"))
    assert found.word == "not told apart"
    assert "not told apart, calibration: a or layers: b have a part in it" in found.line
    none = told(Cause("layers", "b", NOTHING, TOUCHES - 0.1, "y"))
    assert (none.word, none.causes) == ("not told apart", ())
    assert "1 experiments, none removes the loss" in none.line


def test_nothing_at_fault_is_said() -> None:
    found = told(faulty=False)
    assert (found.word, found.line) == ("nothing", "no fault found: overall: 50 % right")


def test_the_record_is_json_whatever_the_figures() -> None:
    found = told(Cause("board", "nan", replace(NOTHING, db=-np.inf, removed=np.nan), 1.0, "x"))
    record: dict[str, Any] = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert record["causes"][0]["effect"]["db"] is None
    assert (record["verdict"], record["line"]) == ("board", found.line)


def test_an_effect_is_paired_and_counts_points_and_noise() -> None:
    base = sample()
    noise = np.random.default_rng(1).normal(0, 4, base.reference.shape).astype(np.float32)
    before, after = base.reference + noise, base.reference + noise / 10
    found = base.effect(before, after)
    assert found.db == pytest.approx(20, abs=0.01)
    assert found.removed == pytest.approx(0.99, abs=1e-3)
    assert found.points == pytest.approx(base.accuracy(after) - base.accuracy(before))
    assert found.low < found.points < found.high
    assert (found.n, found.clusters) == (60, 6)
    assert base.effect(before, before).removed == 0


def test_outputs_that_are_not_finite_are_all_noise() -> None:
    base = sample()
    broken = base.reference.copy()
    broken[0, 0] = np.nan
    assert base.sqnr(broken) == -np.inf
    assert base.effect(broken, base.reference).removed == 1
    assert base.effect(broken, broken).removed == 0


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_part_is_spread_over_the_whole(count: int, most: int) -> None:
    places = evenly(count, most)
    assert len(places) <= most
    assert (places[0], set(places) <= set(range(count))) == (0, True)
    assert len(places) == min(count, most)
