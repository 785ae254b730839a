from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.targets.trt_versions import OLDEST, SINCE, parse, too_new


def test_an_operator_newer_than_the_board_is_found_with_its_version() -> None:
    (found,) = too_new({"/stft": "STFT", "/conv": "Conv"}, OLDEST)
    assert (found.name, found.op, found.where, found.fallback) == ("/stft", "STFT", "gpu", True)
    assert found.reason == "TensorRT has STFT only from 10.5 on, and a board with 10.3 refuses it"


@given(st.sampled_from(sorted(SINCE)), st.integers(10, 11), st.integers(0, 20))
def test_it_is_found_exactly_below_its_version(op: str, major: int, minor: int) -> None:
    assert bool(list(too_new({"node": op}, (major, minor)))) == ((major, minor) < SINCE[op])


def test_versions_compare_by_number() -> None:
    assert parse("10.3.0.30") < parse("10.16.1") < parse("11.4.0.106")
    with pytest.raises(ValueError, match="not enough values"):
        parse("10")
