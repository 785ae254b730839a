"""A baseline survives the disk as text a person can review, and refuses what is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.baseline import MAX_FILE, Baseline, decided_wrong, place, read, right_before, text
from harness.errors import BaselineError, CandidateError
from harness.score.slices import margins
from tests.baselines import baseline, release
from tests.report.rows import row
from tests.score.tables import CONDITIONS, LABELS, make_clips, perfect, wrong_where

CLIPS = make_clips(("de", "sv"), 3, 4)
TABLE = perfect(("de", "sv"), speakers=3, clips=4)
MARGINS = margins({"de": "foreign", "sv": "foreign"}, (), CONDITIONS)
STORED = baseline(release(wrong_where(TABLE, TABLE.clip < 5), CLIPS, LABELS, MARGINS, rows=[row("sqnr", "overall")]))
FIRST = json.loads(text(STORED))


def put(house: Path, content: str) -> Path:
    path = place(house, "tiny", "rk3588/w8a8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def found(house: Path) -> Baseline | None:
    return read(house, "tiny", "rk3588/w8a8")


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    put(tmp_path, text(STORED))
    assert found(tmp_path) == STORED


def test_none_is_none(tmp_path: Path) -> None:
    assert found(tmp_path) is None


def test_one_figure_and_one_clip_a_line() -> None:
    lines = text(STORED).splitlines()
    assert sum('"gate": "sqnr"' in line for line in lines) == 1
    assert sum(line.strip().startswith('"de-0-0": {') for line in lines) == 1
    assert max(map(len, lines)) < 1000


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=len(TABLE.truth), max_size=len(TABLE.truth)))
def test_what_was_right_is_known_from_what_was_wrong(lost: list[bool]) -> None:
    mask = np.array(lost)
    wrong = decided_wrong(wrong_where(TABLE, mask), CLIPS, LABELS)
    assert (right_before(wrong, TABLE, CLIPS) == ~mask).all()


def changed(**parts: Any) -> str:
    return json.dumps(FIRST | parts)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "damaged or none"),
        ("{", "damaged or none"),
        ("[]", "is damaged"),
        ("null", "is damaged"),
        ("[" * 100_000, "damaged or none"),
        (changed(format=2), "format: Input should be less than or equal to 1"),
        (changed(candidate="other"), "it is that of other on rk3588/w8a8"),
        (changed(build="host/int8"), "it is that of tiny on host/int8"),
        (changed(more=1), "more: Extra inputs"),
        (changed(last=None), "last:"),
        (changed(last=FIRST["last"] | {"rows": [{"gate": "x"}]}), "a row is none"),
        (changed(last=FIRST["last"] | {"nodes": [["a"]]}), "last.nodes"),
        (text(STORED)[:-200], "damaged or none"),
    ],
)
def test_what_is_damaged_is_refused_with_the_remedy(tmp_path: Path, content: str, why: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(BaselineError) as caught:
        found(tmp_path)
    assert why in str(caught.value)
    assert str(path) in str(caught.value)
    assert "voxgate baseline accept" in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    house = tmp_path_factory.mktemp("bytes")
    put(house, "").write_bytes(content)
    with pytest.raises(BaselineError):
        found(house)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with put(tmp_path, "").open("r+b") as file:
        file.truncate(MAX_FILE + 1)
    with pytest.raises(BaselineError, match="larger than 16 MiB"):
        found(tmp_path)


def test_no_path_leads_out_of_the_house(tmp_path: Path) -> None:
    with pytest.raises(CandidateError, match="leads out"):
        read(tmp_path / "house", "tiny", "../../../etc/x")
