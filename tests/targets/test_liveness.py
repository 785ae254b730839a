from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from harness.targets.liveness import peak_live


def test_a_chain_holds_two_neighbours() -> None:
    steps = [(["in", "w"], ["a"]), (["a"], ["b"]), (["b"], ["out"])]
    assert peak_live(steps, {"in": 10, "a": 100, "b": 50, "out": 4}, {"out"}) == 150


def test_a_skip_connection_stays_alive() -> None:
    steps = [(["in"], ["a"]), (["a"], ["b"]), (["b"], ["c"]), (["c", "a"], ["out"])]
    sizes = {"in": 1, "a": 100, "b": 100, "c": 100, "out": 1}
    assert peak_live(steps, sizes, {"out"}) == 300


def test_an_output_made_early_stays_to_the_end() -> None:
    steps = [(["in"], ["out1"]), (["in"], ["a"]), (["a"], ["out2"])]
    assert peak_live(steps, {"in": 1, "out1": 50, "a": 60, "out2": 7}, {"out1", "out2"}) == 117


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=12))
def test_the_peak_lies_between_one_pair_and_all(widths: list[int]) -> None:
    steps = [([i], [i + 1]) for i in range(len(widths) - 1)]
    peak = peak_live(steps, dict(enumerate(widths)), {len(widths) - 1})
    assert peak == max(a + b for a, b in itertools.pairwise(widths))
    assert peak <= sum(widths)
