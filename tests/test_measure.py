from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import measure
from harness.audio.frontend import FrontEnd
from harness.boards.clock import Samples

pytest_plugins = "pytester"


@pytest.mark.parametrize(("q", "count"), [(0.9, 64), (0.95, 130), (0.99, 662), (0.999, 6636)])
def test_samples_needed_are_those_of_mlperf(q: float, count: int) -> None:
    assert measure.needed(q) == count


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99])
def test_too_few_samples_are_refused_with_the_number_needed(q: float) -> None:
    count = measure.needed(q)
    samples = np.arange(count, dtype=float)
    refused = measure.percentile(samples[1:], q)
    assert (refused.value, refused.low, refused.high) == (None, None, None)
    assert f"needs {count} samples, there are {count - 1}" in refused.reason
    assert measure.percentile(samples, q).value is not None


def test_a_percentile_is_one_of_the_samples() -> None:
    found = measure.percentile(np.arange(1000)[::-1], 0.95)
    assert found.value == 949
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_bounds_are_exact_order_statistics() -> None:
    """Summed by hand: of 130 samples, how many lie below their 95th percentile, and how likely."""
    below = np.cumsum([math.comb(130, i) * 0.95**i * 0.05 ** (130 - i) for i in range(131)])
    found = measure.percentile(np.arange(1, 131), 0.95, confidence=0.95)
    assert found.high == 1 + np.flatnonzero(below >= 0.95)[0]
    assert found.low == 1 + np.flatnonzero(1 - below >= 0.95)[-1]


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_bounds_cover_as_often_as_they_say(q: float) -> None:
    random = np.random.default_rng(0)
    truth = -math.log(1 - q)  # the quantile of the exponential distribution
    found = [measure.percentile(random.exponential(size=400), q, 0.95) for _ in range(400)]
    above = np.mean([f.high is not None and f.high >= truth for f in found])
    below = np.mean([f.low is not None and f.low <= truth for f in found])
    assert 0.92 <= above < 0.995, "0.95 asked for, 400 trials: standard error 0.011"
    assert 0.92 <= below < 0.995


@settings(max_examples=50)
@given(st.lists(st.floats(0.01, 1e3), min_size=130, max_size=300), st.floats(0.5, 0.99))
def test_bounds_enclose_the_value(samples: list[float], confidence: float) -> None:
    found = measure.percentile(samples, 0.95, confidence)
    assert found.low is not None
    assert found.value is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high


def test_a_spike_stays() -> None:
    samples = np.r_[np.ones(999), 1000.0]
    assert measure.Latency(samples, 0, True).worst_ms == 1000


class Machine:
    """A clock in nanoseconds that only moves by the inference's cost."""

    def __init__(self) -> None:
        self.now = 0
        self.calls = 0

    def __call__(self) -> int:
        return self.now

    def infer(self, features: Samples) -> Samples:
        self.calls += 1
        self.now += 2_000_000 + (50_000_000 if self.calls % 100 == 0 else 0)
        return np.zeros(3)


def test_end_to_end_parts_are_of_the_same_rounds() -> None:
    machine, front = Machine(), FrontEnd()
    audio = np.random.default_rng(0).standard_normal((3, front.samples)).astype(np.float32) * 0.1
    found = measure.end_to_end(front, audio, machine.infer, 200, machine)  # type: ignore[arg-type]
    parts = found.front.samples_ms + found.inference.samples_ms + found.decision.samples_ms
    np.testing.assert_allclose(found.total.samples_ms, parts)
    assert np.median(found.inference.samples_ms) == 2
    assert found.inference.worst_ms == 52, "spikes are kept"
    assert found.total.settled
    assert found.total.warmup == 96


def test_real_end_to_end_takes_longer_than_inference() -> None:
    front = FrontEnd()
    audio = np.random.default_rng(0).standard_normal((2, front.samples)).astype(np.float32) * 0.1
    found = measure.end_to_end(front, audio, lambda features: features[0], 70)
    assert (found.total.samples_ms > found.inference.samples_ms).all()
    assert np.median(found.front.samples_ms) > 0.05


def test_drift_after_warm_up_is_not_settled() -> None:
    assert measure.steady(np.ones(300))
    assert not measure.steady(np.linspace(1, 1.5, 300))
    assert not measure.steady(np.ones(2))


def test_side_by_side_finds_the_slower() -> None:
    work = np.random.default_rng(0).standard_normal((60, 60))

    def heavy(_: int) -> None:
        for _ in range(6):
            work @ work

    ratio = measure.interleave(heavy, lambda _: work @ work, 60)
    assert ratio.median.low is not None
    assert ratio.median.low > 2
    assert len(ratio.a.samples_ms) == len(ratio.b.samples_ms) == 60


def test_the_environment_is_plain_values() -> None:
    facts = measure.environment()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cpus"] >= 1
    assert set(facts) >= {"cpu", "governor", "load_average"}


BENCHMARKED = """
import pytest
from harness import measure
SAMPLES = [25.533, 25.546, 31.0, 24.9, 25.5]

{mark}
def test_latency(benchmark):
    measure.replay(benchmark, SAMPLES)
    benchmark.extra_info["evidence"] = "board"
"""
MARK = "@pytest.mark.benchmark(timer=measure.device_clock)"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest-benchmark switches itself off where it sees xdist: the worker that runs this is not the inner run's."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def test_pytest_benchmark_records_our_samples(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BENCHMARKED.format(mark=MARK))
    out = Path(pytester.path) / "out.json"
    result = pytester.runpytest_inprocess("-p", "no:voxgate", f"--benchmark-json={out}", "--benchmark-save-data")
    result.assert_outcomes(passed=1)
    (recorded,) = json.loads(out.read_text())["benchmarks"]
    assert [1e3 * value for value in recorded["stats"]["data"]] == pytest.approx([25.533, 25.546, 31.0, 24.9, 25.5])
    assert recorded["stats"]["rounds"] == 5
    assert 1e3 * recorded["stats"]["max"] == pytest.approx(31.0)
    assert recorded["extra_info"] == {"evidence": "board"}
    assert recorded["options"]["timer"] == "device_clock"


def test_replay_without_our_clock_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BENCHMARKED.format(mark=""))
    result = pytester.runpytest_inprocess("-p", "no:voxgate")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*another clock was recorded*"])


def test_replay_goes_through_when_benchmarks_are_disabled(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BENCHMARKED.format(mark=MARK))
    pytester.runpytest_inprocess("-p", "no:voxgate", "--benchmark-disable").assert_outcomes(passed=1)
