"""Margins, cells and groups of a corpus, and slices found by their ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import CandidateError
from harness.score.slices import cells, groups, margins, matching

ACCENTS = {"us": "native", "gb": "native", "de": "foreign", "sv": "foreign", "xx": "other"}
CONDITIONS = ("clean", "noise-10db")


def ids(pattern: str) -> list[str]:
    return [part.id for part in matching(pattern, ACCENTS, ("sv",), CONDITIONS)]


def test_groups_part_native_seen_and_unseen() -> None:
    found = groups(ACCENTS, ("sv",))
    assert found == {"native": {"us", "gb"}, "seen": {"de"}, "unseen": {"sv"}}


def test_an_empty_group_is_none() -> None:
    assert groups({"us": "native"}, ("sv",)) == {"native": {"us"}}


def test_margins_are_overall_groups_accents_and_conditions() -> None:
    found = margins(ACCENTS, ("sv",), CONDITIONS)
    assert [part.id for part in found] == [
        "overall",
        *(f"accents={name}" for name in ("native", "seen", "unseen")),
        *(f"accent={name}" for name in ("de", "gb", "sv", "us", "xx")),
        *(f"condition={name}" for name in CONDITIONS),
    ]
    assert {part.kind for part in found} == {"overall", "group", "accent", "condition"}


def test_one_accent_under_one_condition_has_no_margin_but_overall() -> None:
    assert [str(part) for part in margins({"us": "native"}, (), ("clean",))] == ["overall"]
    assert cells({"us": "native"}, CONDITIONS) == cells(ACCENTS, ("clean",)) == []


def test_cells_are_every_accent_under_every_condition() -> None:
    found = cells(ACCENTS, CONDITIONS)
    assert len({part.id for part in found}) == len(ACCENTS) * len(CONDITIONS)
    assert all(part.kind == "cell" and part.accents and part.condition for part in found)


def test_a_pattern_names_every_slice_it_matches() -> None:
    assert ids("accents=unseen,condition=clean") == ["accents=unseen,condition=clean"]
    assert ids("accent=*,condition=clean") == [f"accent={a},condition=clean" for a in sorted(ACCENTS)]


@pytest.mark.parametrize(
    ("wrong", "meant"), [("overal", "overall"), ("accent=dee", "accent=de"), ("condition=noise10db", "noise-10db")]
)
def test_an_unknown_slice_is_refused_with_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(CandidateError, match=f"no slice is named '{wrong}'.*did you mean '[^']*{meant}"):
        ids(wrong)


@given(st.dictionaries(st.text("abc[]*?!", min_size=1, max_size=4), st.sampled_from(["native", "foreign"]), max_size=4))
def test_every_slice_is_found_by_its_own_id(accents: dict[str, str]) -> None:
    for part in (*margins(accents, (), CONDITIONS), *cells(accents, CONDITIONS)):
        assert part in matching(part.id, accents, (), CONDITIONS)
