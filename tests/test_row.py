"""A row is one line of plain text, whatever the model or the manifest calls its parts."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.row import Row
from harness.verdict import Outcome


def row(part: str = "overall", detail: str = "", value: float | None = 1.0) -> Row:
    return Row(
        "tiny", "host", "int8", "accuracy", part, value, "points", 2.0, 0.5, 1.5, 9, 3, "host", Outcome.FAIL, detail
    )


@given(st.text())
def test_names_of_others_cannot_steer_a_terminal(name: str) -> None:
    found = row(name, name)
    assert found.slice.isprintable()
    assert found.detail.isprintable()
    if name.isprintable():
        assert (found.slice, found.detail) == (name, name)


def test_escapes_are_shown_and_lines_cannot_be_forged() -> None:
    found = row("accent=\x1b[2K", "falls back: Conv x\nMAY SHIP  tiny on host/int8")
    assert found.slice == r"accent=\x1b[2K"
    assert "\n" not in found.detail


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_row_is_json_and_back(value: float | None) -> None:
    record = json.loads(json.dumps(row(value=value).as_json(), allow_nan=False))
    assert Row.from_json(record) == row(value=None)
