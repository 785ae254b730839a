from __future__ import annotations

import numpy as np
import pytest

from harness.boards.clock import BLOCK, agree, timed, warm_up


class Machine:
    """A clock in nanoseconds that calls move by what they cost."""

    def __init__(self, cost_ms: object) -> None:
        self.now, self.cost_ms = 0, cost_ms

    def __call__(self) -> int:
        return self.now

    def work(self, i: int) -> None:
        self.now += int(self.cost_ms(i) * 1e6)  # type: ignore[operator]


def test_times_are_those_of_the_calls_in_order() -> None:
    machine = Machine(lambda i: i + 1)
    assert timed(machine.work, 4, machine).tolist() == [1, 2, 3, 4]


def test_steady_calls_settle_at_once() -> None:
    machine = Machine(lambda i: 1.0)
    warm = warm_up(machine.work, clock=machine)
    assert (warm.rounds, warm.settled) == (3 * BLOCK, True)


def test_the_slow_start_is_waited_out() -> None:
    machine = Machine(lambda i: 1 + 4 * np.exp(-i / 100))
    warm = warm_up(machine.work, clock=machine)
    assert warm.settled
    assert machine.cost_ms(warm.rounds) < 1.05  # type: ignore[operator]


def test_what_never_settles_is_told_and_ends() -> None:
    machine = Machine(lambda i: 1 + i / 100)
    assert not warm_up(machine.work, longest_s=1, clock=machine).settled


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.ones(3 * BLOCK), True),
        (np.ones(3 * BLOCK - 1), False),
        (np.repeat([1.0, 1.01, 1.015], BLOCK), True),
        (np.repeat([1.0, 1.01, 1.03], BLOCK), False),
        (np.where(np.arange(3 * BLOCK) % 10 == 0, 50.0, 1.0), True),
    ],
    ids=["steady", "too-few", "within", "beyond", "odd-spikes"],
)
def test_blocks_agree_by_their_medians(samples: np.ndarray, expected: bool) -> None:
    assert agree(samples) is expected
