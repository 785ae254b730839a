"""What changed since the release is shown: figures, nodes, latencies; and nothing where nothing did."""

from __future__ import annotations

from typing import Any

import pytest
from report.rows import row

from harness.baseline import Release
from harness.report.since import flips, most_moved, placement_changes, section
from harness.row import keyed
from tests.baselines import release
from tests.score.tables import LABELS, make_clips, perfect

CLIPS = make_clips(("de", "sv"), 2, 3)
SAME = {"name": "/Conv", "op": "Conv", "dtype": "int8", "where": "npu", "fallback": False}
SOFT = {"name": "/Softmax", "op": "Softmax", "dtype": "int8", "where": "npu", "fallback": False}
FLIP = {"file": "heard-1.flac", "label": "go", "golden": "go", "tested": None, "accent": "<de>", "speaker": "s"}
FLIP |= {"condition": "clean", "id": "c"}


@pytest.fixture
def old() -> Release:
    table = perfect(("de", "sv"), speakers=2, clips=3)
    return release(table, CLIPS, LABELS, [], rows=[row("accuracy", "overall", 0.3), row("sqnr", "overall", 30.0)])


def shown(old: Release, nodes: list[dict[str, Any]], value: float = 0.3, **ms: list[float]) -> str:
    rows = [row("accuracy", "overall", value), row("sqnr", "overall", 30.0)]
    return section(rows, old, {"placement": {"nodes": nodes}}, ms)


def test_nothing_changed(old: Release) -> None:
    html = shown(old, [SAME, SOFT])
    assert "No figure changed." in html
    assert "no node moved" in html
    assert "<img" not in html


def test_a_figure_that_changed_stands_beside_what_it_was(old: Release) -> None:
    assert "0.3 -&gt; 1.2" in shown(old, [SAME, SOFT], 1.2)


def test_the_worse_come_first() -> None:
    before = keyed([row("sqnr", "overall", 30.0), row("accuracy", "overall", 0.3), row("flips", "overall", 1.0)])
    rows = [row("flips", "overall", 0.5), row("accuracy", "overall", 0.4), row("sqnr", "overall", 25.0, limit=20.0)]
    assert [line[0] for line in most_moved(rows, before)] == ["sqnr", "accuracy", "flips"]


def test_nodes_that_move_come_or_go_are_named(old: Release) -> None:
    moved = SOFT | {"where": "cpu", "dtype": "float32", "fallback": True}
    changes = placement_changes(old, [moved, SAME | {"name": "/Conv2"}])
    assert changes == [
        ("/Softmax", "changed", "Softmax int8 on npu", "Softmax float32 on cpu falls back"),
        ("/Conv2", "new", "", "Conv int8 on npu"),
        ("/Conv", "gone", "Conv int8 on npu", ""),
    ]
    assert "Placement: 3 changes" in shown(old, [moved, SAME | {"name": "/Conv2"}])


def test_latencies_are_drawn_where_both_were_measured(old: Release) -> None:
    assert (
        shown(old, [SAME, SOFT], inference=[1.0, 2.0, 30.0], total=[2.0, 3.0]).count("<img") == 1
    )  # the release has no end to end


def test_a_flip_whose_audio_is_gone_is_still_told_and_names_are_text() -> None:
    html = flips({"count": 20, "heard": [FLIP]}, {})
    assert "1 of 20" in html
    assert "gone" in html
    assert "<audio" not in html
    assert "&lt;de&gt;" in html
    assert "nothing finite" in html
    assert "<audio" in flips({"count": 1, "heard": [FLIP]}, {"heard-1.flac": b"fLaC"})
