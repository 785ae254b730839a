"""Energy of one inference, on a simulated bench whose power, clocks and delays are known."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import energy
from harness.boards.energy import Trace
from harness.errors import InfraError


@dataclass
class Bench:
    """A board and its meter on one made-up clock: ``idle_w`` at rest, ``extra_w`` more for ``each_s`` an inference."""

    idle_w: float = 2.0
    extra_w: float = 1.5
    each_s: float = 0.005
    overhead_s: float = 0.0  # of a call, at rest: what travels over ssh
    late_s: float = 0.0  # by which a sample's line arrives late
    hertz: float = 50.0
    noise_w: float = 0.0
    drift_w: float = 0.0  # of the idle power, a second
    dies_at: float = math.inf
    source: str = "stand-in: a simulated meter"
    now: float = 100.0
    worked: list[tuple[float, float]] = field(default_factory=list)
    running: bool = False

    def start(self) -> None:
        self.began, self.running = self.now, True

    def stop(self) -> Trace:
        self.running = False
        times = np.arange(self.began, min(self.now, self.dies_at), 1 / self.hertz)
        busy = np.zeros(len(times), bool)
        for start, end in self.worked:
            busy |= (times >= start) & (times < end)
        noise = np.random.default_rng(1).normal(0, self.noise_w, len(times)) if self.noise_w else 0.0
        watts = self.idle_w + self.drift_w * (times - self.began) + self.extra_w * busy + noise
        return Trace(times + self.late_s, watts, self.source)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def work(self, seconds: float) -> int:
        count = math.ceil(seconds / self.each_s) if self.each_s else 0
        self.now += self.overhead_s / 2
        self.worked.append((self.now, self.now + count * self.each_s))
        self.now += count * self.each_s + self.overhead_s / 2
        return count

    def measure(self, **changes: float) -> energy.Energy:
        return energy.measure(self, self.work, clock=lambda: self.now, sleep=self.sleep, **changes)  # type: ignore[arg-type]


def test_idle_is_subtracted_and_the_rest_shared_by_the_inferences() -> None:
    found = Bench().measure()
    assert found.mj == pytest.approx(np.full(energy.BLOCKS, 7.5), rel=0.01), "1.5 W more for 5 ms"
    assert found.idle_w == pytest.approx(np.full(energy.BLOCKS, 2.0))
    assert found.busy_w == pytest.approx(3.5)
    assert found.inferences == energy.BLOCKS * 600
    assert "stand-in" in found.source


@pytest.mark.parametrize("late_s", [0.05, 0.15])
def test_lines_that_arrive_late_do_not_matter(late_s: float) -> None:
    assert Bench(late_s=late_s).measure().mj.mean() == pytest.approx(7.5, rel=0.01)


def test_what_a_call_waits_at_rest_does_not_matter() -> None:
    assert Bench(overhead_s=0.4).measure().mj.mean() == pytest.approx(7.5, rel=0.02)


def test_a_slowly_drifting_supply_does_not_matter() -> None:
    assert Bench(drift_w=0.01).measure().mj.mean() == pytest.approx(7.5, rel=0.02)


def test_noise_widens_the_blocks_around_the_same_mean() -> None:
    found = Bench(noise_w=0.3).measure()
    assert 0 < found.mj.std() < 1
    assert found.mj.mean() == pytest.approx(7.5, abs=0.3)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 50), st.floats(0.01, 20), st.sampled_from([0.001, 0.005, 0.04]))
def test_energy_is_extra_power_times_time_whatever_the_board_takes_at_rest(
    idle_w: float, extra_w: float, each_s: float
) -> None:
    found = Bench(idle_w=idle_w, extra_w=extra_w, each_s=each_s).measure()
    assert found.mj.mean() == pytest.approx(1e3 * extra_w * each_s, rel=0.02)


def test_a_meter_that_samples_too_seldom_is_infra() -> None:
    with pytest.raises(InfraError, match=r"gave \d samples in 1.1 s at rest.*interval_s"):
        Bench(hertz=5).measure()


def test_a_meter_that_falls_silent_is_infra() -> None:
    with pytest.raises(InfraError, match=r"stand-in.* gave .* silent for"):
        Bench(dies_at=120.0).measure()


def test_a_board_that_ran_nothing_is_infra() -> None:
    with pytest.raises(InfraError, match="ran no inference"):
        Bench(each_s=0).measure()


def test_the_meter_is_stopped_when_the_work_fails() -> None:
    bench = Bench()

    def lost(_: float) -> int:
        bench.sleep(1)
        raise InfraError("the board is gone")

    with pytest.raises(InfraError, match="the board is gone"):
        energy.measure(bench, lost, clock=lambda: bench.now, sleep=bench.sleep)
    assert not bench.running


@pytest.mark.parametrize(
    ("seconds", "watts", "said"),
    [([0, 1, 2], [1, math.nan, 1], "not finite"), ([0, 2, 1], [1, 1, 1], "out of order"), ([0, 1], [1], "not finite")],
)
def test_samples_that_make_no_sense_are_refused(seconds: list[float], watts: list[float], said: str) -> None:
    with pytest.raises(InfraError, match=said):
        Trace(np.array(seconds, float), np.array(watts, float), "this meter")


def test_joules_by_hand() -> None:
    trace = Trace(np.array([0.0, 1.0, 3.0]), np.array([1.0, 3.0, 3.0]), "this meter")
    assert trace.joules(0, 3, 0) == pytest.approx(2 + 6)
    assert trace.joules(0.5, 2, 1.0) == pytest.approx(0.75 + 2.0), "its ends lie between samples"
    assert trace.silence(0, 4) == 2
