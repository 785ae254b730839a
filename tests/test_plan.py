"""What a corpus cannot decide is named before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.audio.corpus import Clip
from harness.candidate import Candidate, load
from harness.interval import nothing_flipped
from harness.plan import Decidable, plan
from harness.score.slices import margins

CONDITIONS = ("clean", "noise-10db")
ACCENTS = {"de": "foreign", "sv": "foreign"}
MODEL = """
[candidate]
name = "tiny"
task = "keyword"
labels = ["go", "stop"]
corpus = "tones"
[frontend]
[[recipe]]
target = "host"
name = "int8"
precision = "int8"
[budgets]
drop = { overall = 5.0, accent = 8.0 }
flips = { condition = 2.0 }
"""


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    (tmp_path / "model.toml").write_text(MODEL)
    return load(tmp_path)


def planned(candidate: Candidate, clips: dict[str, int], speakers: int = 4) -> dict[tuple[str, str], Decidable]:
    spoken = [
        Clip(f"{accent}{i}", Path("x"), "go", f"{accent}-{i % speakers}", accent, "test", None)
        for accent, count in clips.items()
        for i in range(count)
    ]
    parts = margins(ACCENTS, (), CONDITIONS)
    found = plan(candidate, candidate.recipes[0], spoken, parts, len(CONDITIONS))
    return {(entry.gate, entry.slice): entry for entry in found}


def test_only_declared_budgets_are_planned(candidate: Candidate) -> None:
    assert set(planned(candidate, {"de": 40, "sv": 40})) == {
        ("drop", "overall"),
        ("drop", "accent=de"),
        ("drop", "accent=sv"),
        ("flips", "condition=clean"),
        ("flips", "condition=noise-10db"),
    }


def test_each_entry_counts_renderings_clips_and_speakers(candidate: Candidate) -> None:
    found = planned(candidate, {"de": 40, "sv": 36})
    overall, sv, clean = found["drop", "overall"], found["drop", "accent=sv"], found["flips", "condition=clean"]
    assert (overall.n, overall.clips, overall.clusters) == (152, 76, 8)
    assert (sv.n, sv.clips, sv.clusters) == (72, 36, 4)
    assert (clean.n, clean.clips, clean.clusters) == (76, 76, 8)


def test_36_clips_decide_8_points_and_35_do_not(candidate: Candidate) -> None:
    enough = planned(candidate, {"de": 40, "sv": 36})["drop", "accent=sv"]
    assert enough.ok
    assert enough.smallest == pytest.approx(7.98, abs=0.01)
    few = planned(candidate, {"de": 40, "sv": 35})["drop", "accent=sv"]
    assert not few.ok
    assert few.text == ("tiny host/int8 drop accent=sv: limit 8 but 35 clips of 4 speakers rule out 8.2 at best")


def test_conditions_add_no_clips_to_a_condition(candidate: Candidate) -> None:
    found = planned(candidate, {"de": 60, "sv": 60})["flips", "condition=clean"]
    assert found.smallest == pytest.approx(100 * nothing_flipped(120, 0.95))
    assert not found.ok


def test_one_speaker_decides_nothing_however_many_clips(candidate: Candidate) -> None:
    found = planned(candidate, {"de": 500, "sv": 500}, speakers=1)
    assert not found["drop", "accent=sv"].ok
    assert found["drop", "overall"].ok


def test_an_accent_without_clips_is_undecidable(candidate: Candidate) -> None:
    found = planned(candidate, {"de": 60})["drop", "accent=sv"]
    assert (found.ok, found.n, found.smallest) == (False, 0, 100)


def test_a_record_is_json(candidate: Candidate) -> None:
    entry = planned(candidate, {"de": 40, "sv": 40})["drop", "overall"]
    assert json.loads(json.dumps(entry.record()))["smallest"] == entry.smallest
