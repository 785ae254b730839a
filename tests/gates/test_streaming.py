"""Gates of a state: each fault is red and named, health is green."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.audio.truth import Truth
from harness.candidate import load
from harness.gates import streaming as gates
from harness.gates.base import Build
from harness.golden_stream import StreamGolden
from harness.score.drift import Pair
from harness.score.wakeword import Listening, Trace
from harness.streaming import Probe, Released, averaged
from harness.targets.state_scales import StateScale
from harness.verdict import Outcome
from tests.gates.conftest import MakeBuild

STEP_S = 0.08
DRIFT = "wakeword = { score_sqnr = 15.0, drift_db = 1.5 }"


def scores(minutes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(round(minutes * 60 / STEP_S)).astype(np.float32)


def pair(minutes: int, noise: np.ndarray | float) -> Pair:
    plain = scores(minutes)
    return Pair(plain, plain + np.float32(1) * (scores(minutes, 1) * noise).astype(np.float32), STEP_S, "talk")


def test_a_state_that_is_not_reset_between_streams_is_named(build: MakeBuild) -> None:
    fresh, kept = scores(1), scores(1, 2)
    row = gates.reset(build(), Probe(fresh, kept, kept))
    assert row.outcome is Outcome.FAIL
    assert "its state is not reset between streams" in row.detail
    assert gates.reset(build(), Probe(fresh, fresh, kept)).outcome is Outcome.PASS


def test_a_build_without_a_state_tests_no_reset(build: MakeBuild) -> None:
    assert gates.reset(build(), Probe(scores(1), scores(1), scores(1))).outcome is Outcome.INCONCLUSIVE


def test_a_state_of_two_scales_is_named_with_both(build: MakeBuild) -> None:
    wrong = StateScale("hidden", (0.0078, 0), (0.0098, 0))
    row = gates.scales(build(), [StateScale("context", (0.03, 3), (0.03, 3)), wrong])
    assert row.outcome is Outcome.FAIL
    assert "state quantized with the wrong scale: hidden is written in steps of 0.0078" in row.detail
    assert "context is" not in row.detail
    assert gates.scales(build(), [replace(wrong, read=wrong.written)]).outcome is Outcome.PASS


def test_an_error_that_grows_over_minutes_is_drift(build: MakeBuild) -> None:
    steps = round(36 * 60 / STEP_S)
    level, growth = gates.drift(build(DRIFT), pair(36, np.linspace(0.02, 0.12, steps)))
    assert (level.outcome, growth.outcome) == (Outcome.PASS, Outcome.FAIL)
    assert "its state drifts while it listens, as one quantized with the wrong scale does" in growth.detail


def test_an_error_that_stays_is_none(build: MakeBuild) -> None:
    rows = gates.drift(build(DRIFT), pair(36, 0.05))
    assert [row.outcome for row in rows] == [Outcome.PASS, Outcome.PASS]
    assert "n=36 minutes (0.60 h of talk)" in rows[1].detail


def test_too_few_minutes_rule_no_drift_out(build: MakeBuild) -> None:
    _, growth = gates.drift(build(DRIFT), pair(20, 0.05))
    assert growth.outcome is Outcome.INCONCLUSIVE
    assert "30 minutes" in growth.detail


def test_scores_that_are_not_finite_do_not_pass(build: MakeBuild) -> None:
    broken = pair(36, 0.05)
    broken.tested[1000:1100] = np.nan
    level, _ = gates.drift(build(DRIFT), broken)
    assert level.outcome is not Outcome.PASS


def test_streaming_that_says_another_thing_than_the_whole_fails(build: MakeBuild) -> None:
    assert gates.whole(build("parity = 1e-3"), pair(31, 1e-6)).outcome is Outcome.PASS
    row = gates.whole(build("parity = 1e-3"), pair(31, 0.1))
    assert row.outcome is Outcome.FAIL
    assert "loses or repeats something between chunks" in row.detail


def test_a_float_path_that_loses_its_state_fails(build: MakeBuild) -> None:
    assert gates.converted(build(), pair(1, 0.001)).outcome is Outcome.PASS
    assert gates.converted(build(), pair(1, 0.5)).outcome is Outcome.FAIL


IMPORTED = """
[candidate]
name = "ready"
task = "wakeword"
model = "ready.tflite"
imported = true
labels = ["hey"]
corpus = "tones"
threshold = 0.5
[frontend]
[[recipe]]
target = "host"
name = "int8"
runtime = "litert"
precision = "int8"
[[stream]]
name = "talk"
corpora = ["tones"]
hours = 1
words = 50
[budgets]
regression.overall = 5.0
"""


@pytest.fixture
def imported(tmp_path: Path) -> Build:
    folder = tmp_path / "models" / "ready"
    folder.mkdir(parents=True)
    (folder / "ready.tflite").write_bytes(b"TFL3")
    (folder / "model.toml").write_text(IMPORTED)
    candidate = load(folder, tmp_path)
    return Build(candidate, candidate.recipes[0], "host")


def released(missed: int, model: str) -> Released:
    """Fifty words, all heard by the release before; of which the present one misses some."""
    truth = tuple(Truth("hey", 60.0 * i, 60.0 * i + 1, True, f"s{i}", "en", "quiet", f"c{i}") for i in range(50))
    said = np.zeros(round(3000 / STEP_S), np.float32)
    for word in truth:
        said[round((word.end_s + 0.1) / STEP_S)] = 1
    now = said.copy()
    now[: round((60.0 * missed - 1) / STEP_S) if missed else 0] = 0
    points = []
    for each in (said, now):
        points.append(Listening((Trace(each, STEP_S, 3000.0, truth, "hey", True, STEP_S),), 1.0).at(0.5))
    goldens = [StreamGolden("ready", "talk", "a", name, "f", each) for name, each in (("old", said), (model, now))]
    return Released(goldens[0], goldens[1], points[0], points[1], "")


def test_an_imported_model_is_held_to_its_previous_release_and_the_verdict_says_so(imported: Build) -> None:
    same = gates.golden(imported, released(0, "old"), "check")
    assert same.outcome is Outcome.PASS
    assert "golden is the previous release, as this model came without a float source; this is that" in same.detail
    better = gates.golden(imported, released(0, "new"), "check")
    assert (better.outcome, better.value) == (Outcome.INCONCLUSIVE, 0.0)  # 50 words rule out 5.8 points at best
    worse = gates.golden(imported, released(20, "new"), "check")
    assert worse.outcome is Outcome.FAIL
    assert "previous release" in worse.detail
    assert "Words lost since 40.00 points" in worse.detail


def test_rewritten_golden_fails_once(imported: Build) -> None:
    told = replace(released(0, "new"), written="new, 100 steps")
    assert gates.golden(imported, told, "update").outcome is Outcome.FAIL


def test_scores_are_averaged_over_what_was_said_before() -> None:
    assert averaged(np.array([4, 0, 0, 8], np.float32), 2).tolist() == [2, 2, 0, 4]
    assert averaged(np.array([4, 1], np.float32), 1).tolist() == [4, 1]


def test_states_that_take_each_other_s_place_are_wired_crosswise(build: MakeBuild) -> None:
    one, other = (0.0078, 0), (0.03, 3)
    row = gates.scales(build(), [StateScale("context", one, other), StateScale("hidden", other, one)])
    assert row.outcome is Outcome.FAIL
    assert "states are wired crosswise: context, hidden" in row.detail


@pytest.mark.parametrize(("late", "told"), [(4, "4 steps late (320 ms)"), (-7, "7 steps early (560 ms)")])
def test_frames_lost_or_heard_twice_are_named_and_no_matter_of_the_state(
    build: MakeBuild, late: int, told: str
) -> None:
    healthy = pair(36, 0.05)
    assert gates.aligned(build(), healthy).outcome is Outcome.PASS
    size = round(60 / STEP_S)
    slipped = healthy.tested.copy()
    slipped[12 * size :] = np.roll(healthy.tested, late)[12 * size :]
    row = gates.aligned(build(), replace(healthy, tested=slipped))
    assert (row.outcome, row.value) == (Outcome.FAIL, abs(late))
    assert f"scores come {told} from minute 13 on" in row.detail
    assert "Neither model nor state is to blame" in row.detail


def test_less_than_a_minute_tells_of_no_steps(build: MakeBuild) -> None:
    said = np.random.default_rng(0).standard_normal(700).astype(np.float32)
    row = gates.aligned(build(), Pair(said, np.roll(said, 20), STEP_S, "short"))
    assert row.outcome is Outcome.INCONCLUSIVE
    assert "less than the minute" in row.detail
