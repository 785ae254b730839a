"""A board's table of operator times, in the documented format (see tests/data/rknn_board/ORIGIN.md)."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ToolchainError
from harness.targets.base import Evidence, OpTime
from harness.targets.rknn_perf import RANKING, parse
from harness.targets.rknn_table import TITLE

TABLES = Path(__file__).parents[1] / "data" / "rknn_board"
LOGS = ("ds_cnn_selu_eval_perf.txt", "ds_cnn_selu_runtime.log")


def text(name: str = LOGS[0]) -> str:
    return (TABLES / name).read_text()


@pytest.mark.parametrize("name", LOGS)
def test_time_by_unit_and_operator(name: str) -> None:
    profile = parse(text(name), "small rk3588/w8a8")
    assert profile.ops[0] == OpTime("Selu", 1, {"cpu": 412, "gpu": 0, "npu": 0})
    assert sum(op.calls for op in profile.ops) == 16
    assert profile.share("cpu") == pytest.approx(100 * (412 + 19 + 9 + 6) / 869)
    assert profile.share("npu") == pytest.approx(100 * (375 + 48) / 869)
    assert profile.share("gpu") == 0
    assert profile.evidence is Evidence.BOARD
    assert "RKNN" in profile.source


def test_the_last_run_in_a_log_counts() -> None:
    earlier = text().replace("412 ", "999 ")
    assert parse(earlier + text(), "small") == parse(text(), "small")


def test_releases_without_a_gpu_column_are_read() -> None:
    head, ranking = text().split(RANKING)
    narrow = re.sub(r"(?m)^(\S+ +\d+ +\d+ +)0 +", r"\1", ranking.replace("GPUTime(us)", ""))
    assert parse(head + RANKING + narrow, "small").share("cpu") == parse(text(), "small").share("cpu")


@given(st.floats(0, 1))
def test_a_log_cut_anywhere_is_an_error_or_says_the_same(part: float) -> None:
    whole = parse(text(), "small")
    with contextlib.suppress(ToolchainError):
        assert parse(text()[: int(len(text()) * part)], "small") == whole


@pytest.mark.parametrize(
    ("pattern", "replacement", "fault"),
    [
        (RANKING, "Operator Ranking", "there is none"),
        (TITLE, "Some Table", "there is none"),
        ("CPUTime", "HostTime", r"no column CPUTime\(us\)"),
        (r"\nReshape .*", "", "take 850 us, the frame 869"),
        (r"(?m)^(Selu +1 +)412", r"\g<1>12", "times of Selu do not add up to their 412 us"),
        (r"(?m)^(Selu +1 +)412( +0 +0 +)412", r"\g<1>41\g<2>41", "take 498 us, the frame 869"),
        (r"(?m)^(Selu +)1( +412)", r"\g<1>2\g<2>", "17 calls of operators for 16 layers"),
        (r"(?m)^(Selu +1 +)412", r"\g<1>-412", "'-412' of Selu is no count"),
        (r"(?m)^(Selu +1 +)412 +0", r"\g<1>412", "the row 'Selu .* has 6 cells for 7 columns"),
        (r"Total Operator Elapsed.*", "", "elapsed time of a frame is missing"),
        (r"\n3 +ConvRelu.*", "", "16 calls of operators for 15 layers"),
    ],
)
def test_a_malformed_table_is_an_error(pattern: str, replacement: str, fault: str) -> None:
    spoilt, count = re.subn(pattern, replacement, text(), count=1)
    assert count == 1
    with pytest.raises(ToolchainError, match=rf"small rk3588/w8a8.*cannot be trusted: .*{fault}.*perf_debug"):
        parse(spoilt, "small rk3588/w8a8")


def test_a_frame_without_any_time_is_an_error() -> None:
    nothing = re.sub(r"(?m)^([A-Z]\w+ +\d+ +)\d+( +)\d+( +)\d+( +)\d+", r"\g<1>0\g<2>0\g<3>0\g<4>0", text())
    with pytest.raises(ToolchainError, match="take 0 us"):
        parse(re.sub(r"(Per Frame Time\(us\): )\d+", r"\g<1>0", nothing), "small")


@pytest.mark.parametrize("empty", ["", "no devices/emulators found"])
def test_no_table_is_an_error(empty: str) -> None:
    with pytest.raises(ToolchainError, match=r"there is none.*rknn_server"):
        parse(empty, "small")
