"""Only a run that may ship becomes a baseline, whole, and what it changes is told."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from report.rows import row

from harness import baseline as baselines
from harness.audio.clip import Clip
from harness.audio.corpus import Corpus
from harness.cache import Cache
from harness.candidate import Candidate, load
from harness.errors import BaselineError
from harness.report.accept import Asked, accept
from harness.report.records import read
from harness.row import Row
from harness.run import Run
from harness.verdict import Outcome

BUILD = "rk3588/w8a8"
CANDIDATE = """
[candidate]
name = "commands"
task = "keyword"
labels = ["go", "stop"]
corpus = "tones"
conditions = ["clean"]
[frontend]
[[recipe]]
target = "rk3588"
name = "w8a8"
precision = "int8"
[budgets]
drop.overall = 3.0
latency_ms.p50 = 5.0
file_kib = 128
"""
SANE = row("sanity", "overall", 0.0, unit="faults")
PLACED = row("placement", "fallback", 0.0, unit="nodes")
SIZE = row("footprint", "file", 2.0, unit="KiB", limit=128.0)
FAST = row("latency", "inference p50", 1.5, unit="ms")
DROP = row("accuracy", "overall", 0.3)
GOOD = [SANE, PLACED, SIZE, FAST, DROP]
OPEN = row("latency", "inference", None, outcome=Outcome.NOT_MEASURED, detail="needs a board")


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    folder = tmp_path / "house" / "models" / "commands"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"onnx")
    (folder / "model.toml").write_text(CANDIDATE)
    return load(folder, tmp_path / "house")


def accepted(candidate: Candidate, work: Path, rows: Iterable[Row], asked: Asked | None = None, **facts: object) -> str:
    """What accepting a run of these rows prints."""
    folder = work / "runs" / "20260101-000000-1"
    build = folder / "commands" / BUILD
    build.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(each.as_json()) + "\n" for each in rows))
    (folder / "run.json").write_text(json.dumps({"exitstatus": 0, "command": "pytest", **facts}))
    node = {"name": "/Conv", "op": "Conv", "dtype": "int8", "where": "npu", "fallback": False, "reason": ""}
    made = {"key": "0123", "evidence": "emulator", "sizes": {"file": 2048}, "tools": {}, "placement": {"nodes": [node]}}
    (build / "artifact.json").write_text(json.dumps(made))
    decided = {"audio": {}, "confidence": 0.95, "scores": {}, "wrong": {"c": {"clean": None}}}
    (build / "decisions.json").write_text(json.dumps(decided))
    times = [float(i) for i in range(201)]
    (build / "timings.json").write_text(json.dumps({"ms": {"inference": times, "total": times}}))
    latest = work / "runs" / "latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(folder.name)
    return "\n".join(accept(read(work), candidate, knowing(work), asked or Asked()))


def knowing(work: Path) -> Run:
    """A run that has its corpus at hand."""
    run = Run(folder=work / "baseline", cache=Cache(work / "cache"))
    clip = Clip("c", Path("c.flac"), "go", "s", "de", "test")
    run._memory["corpus", "commands"] = Corpus("tones", work, (clip,), 16000, {"de": "foreign"}, real=False)
    return run


def stored(candidate: Candidate) -> baselines.Baseline:
    found = baselines.read(candidate.house, "commands", BUILD)
    assert found is not None
    return found


def test_a_run_that_may_ship_is_kept_with_its_origin(candidate: Candidate, tmp_path: Path) -> None:
    said = accepted(candidate, tmp_path / "work", GOOD, commit={"commands": "c0ffee"}, environment={"voxgate": "0.1.0"})
    assert "the first baseline, MAY SHIP" in said
    release = stored(candidate).last
    assert release == stored(candidate).oldest
    assert release.figures() == tuple(GOOD)
    assert (release.origin.run, release.origin.commit) == ("20260101-000000-1", "c0ffee")
    assert release.origin.voxgate == "0.1.0"
    assert release.latency_ms["inference"][50] == 100.0
    assert release.nodes == (("/Conv", "Conv", "int8", "npu", False),)


def test_the_next_one_says_what_changes_and_keeps_the_first(candidate: Candidate, tmp_path: Path) -> None:
    accepted(candidate, tmp_path / "work", GOOD)
    said = accepted(candidate, tmp_path / "work", [*GOOD[:-1], row("accuracy", "overall", 1.2)])
    assert "accuracy overall: 0.3 -> 1.2 points" in said
    assert "1 of 5 figures differ" in said
    assert [each.figures()[-1].value for each in (stored(candidate).oldest, stored(candidate).last)] == [0.3, 1.2]
    accepted(candidate, tmp_path / "work", GOOD, Asked(restart=True))
    assert stored(candidate).first is None


LOST = row("accuracy", "overall", 9.0, outcome=Outcome.FAIL, detail="lost much")
UNSURE = row("accuracy", "overall", 3.0, outcome=Outcome.INCONCLUSIVE, detail="needs 9 more clips")
BROKEN = row("conversion", "float parity", None, outcome=Outcome.INFRA, detail="disk full")


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([*GOOD[:-1], LOST], "is DO NOT SHIP (FAIL: lost much"),
        ([*GOOD[:-1], UNSURE], "is UNDECIDED"),
        ([*GOOD, BROKEN], "is NOT JUDGED"),
        ([SIZE, DROP], "is PARTLY JUDGED"),
        ([each for each in GOOD if each is not FAST], "was judged in part: no latency inference p50"),
        ([each for each in GOOD if each is not SIZE], "was judged in part: no footprint file"),
        ([each for each in GOOD if each is not FAST] + [OPEN], "--without-board accepts it"),
        ([row("golden", "golden", 0.0, target="host", recipe="golden")], "the last run judged no build of it"),
        ([row("sanity", "overall", 0.0, candidate="other")], "the last run judged no build of it"),
    ],
)
def test_nothing_less_is_accepted(candidate: Candidate, tmp_path: Path, rows: list[Row], why: str) -> None:
    with pytest.raises(BaselineError) as caught:
        accepted(candidate, tmp_path / "work", rows)
    assert why in str(caught.value)
    assert not (candidate.house / "baselines").exists()


def test_open_board_figures_are_accepted_when_asked_and_on_record(candidate: Candidate, tmp_path: Path) -> None:
    rows = [each for each in GOOD if each is not FAST] + [OPEN]
    accepted(candidate, tmp_path / "work", rows, Asked(without_board=True))
    assert stored(candidate).last.origin.word == "PASSES HERE, BOARD FIGURES OPEN"


@pytest.mark.parametrize("status", [2, 3, None])
def test_a_run_that_was_stopped_is_refused(candidate: Candidate, tmp_path: Path, status: int | None) -> None:
    with pytest.raises(BaselineError, match="did not come to its end"):
        accepted(candidate, tmp_path / "work", GOOD, exitstatus=status)


def test_an_unknown_build_names_the_nearest(candidate: Candidate, tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="did you mean 'rk3588/w8a8'"):
        accepted(candidate, tmp_path / "work", GOOD, Asked(builds=("rk3588/w8a16",)))


def test_records_that_are_gone_are_named(candidate: Candidate, tmp_path: Path) -> None:
    accepted(candidate, tmp_path / "work", GOOD)
    (tmp_path / "work" / "runs" / "latest" / "commands" / BUILD / "decisions.json").unlink()
    with pytest.raises(BaselineError, match=r"are incomplete .*decisions\.json"):
        list(accept(read(tmp_path / "work"), candidate, knowing(tmp_path / "work"), Asked()))


def test_a_wake_word_has_golden_scores_and_no_baseline(candidate: Candidate, tmp_path: Path) -> None:
    spoken = load(Path(__file__).parents[2] / "models" / "computer", candidate.house)
    accepted(candidate, tmp_path / "work", GOOD)
    with pytest.raises(BaselineError, match=r"no baseline of computer: .*golden scores tell what changed"):
        list(accept(read(tmp_path / "work"), spoken, knowing(tmp_path / "work"), Asked()))
