"""Streams, pipelines and their gates: what once passed, or broke, though it should not have."""

from __future__ import annotations

import re
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.audio.frontend import FrontEnd
from harness.audio.truth import Truth
from harness.budgets import Budgets
from harness.cache import Cache
from harness.candidate import find_candidates
from harness.errors import CandidateError, Unsupported
from harness.gates import pipeline as gates
from harness.gates import streaming, wakeword
from harness.gates.base import Build
from harness.pipeline import find_pipelines
from harness.report.conclusion import conclude
from harness.row import Row
from harness.run import Run
from harness.score.drift import Pair
from harness.score.pipeline import Act, lived
from harness.score.trust import crowded
from harness.score.wakeword import Listening, Trace, detections
from harness.verdict import Outcome
from tests.house import edit
from tests.test_together import judged
from tests.tones import make_house


@pytest.fixture
def house(tmp_path: Path) -> Path:
    return make_house(tmp_path / "house")


def test_a_stream_without_one_of_its_corpora_is_not_laid(house: Path, tmp_path: Path) -> None:
    edit(house / "models/ear/model.toml", 'corpora = ["tones"]', 'corpora = ["tones", "talk"]\nword_from = ["tones"]')
    (house / "corpora/talk").mkdir()
    (house / "corpora/talk/corpus.toml").write_text('[corpus]\nname = "talk"\ndata = "talk"\n')
    (house / "corpora/talk/manifest.tsv").write_text((house / "corpora/tones/manifest.tsv").read_text())
    ear = {each.name: each for each in find_candidates([house])}["ear"]
    run = Run(folder=tmp_path / "r", cache=Cache(tmp_path / "cache"), data=tmp_path, toolchains=False)
    with pytest.raises(Unsupported, match="talk"):
        run.stream(ear, ear.streams[0])


def test_misses_of_one_kind_and_accepts_of_the_other_are_no_release() -> None:
    def row(gate: str, part: str) -> Row:
        return Row("ear", "host", "int8", gate, part, 1.0, "", 2.0, 0.0, 1.0, 9, 9, "host", Outcome.PASS, "")

    rest = [row("reset", "overall"), row("placement", "fallback")]
    (mixed,) = conclude([row("frr", "synthetic overall"), row("false accepts", "recordings overall"), *rest])
    assert mixed.word == "PARTLY JUDGED"
    (whole,) = conclude([row("frr", "synthetic overall"), row("false accepts", "synthetic overall"), *rest])
    assert whole.word == "MAY SHIP"


@pytest.mark.parametrize("line", ['targets = ["hots"]', 'word_from = ["tonse"]'])
def test_a_stream_for_nobody_is_refused(house: Path, line: str) -> None:
    edit(house / "models/ear/model.toml", "[[stream]]", f"[[stream]]\n{line}")
    with pytest.raises(CandidateError, match="the stream quiet"):
        find_candidates([house])


def test_what_a_window_holds_from_before_the_detection_moves_no_detection(house: Path, tmp_path: Path) -> None:
    edit(house / "pipelines/both/pipeline.toml", "[pipeline]", "[pipeline]\nbefore_s = 0.3")
    row = judged(house, Cache(tmp_path / "cache"), gates.SUCCESS)
    assert ": 0 never woke it" in row.detail


def test_a_command_cut_short_is_no_fast_response(house: Path, tmp_path: Path) -> None:
    edit(house / "pipelines/both/pipeline.toml", "pause_s = [0.3, 0.5]", "pause_s = [1.3, 1.5]")
    from harness.errors import NotMeasured

    with pytest.raises(NotMeasured, match="heard to its end"):
        judged(house, Cache(tmp_path / "cache"), gates.RESPONSE)


@pytest.mark.parametrize("step_s", [0.03, 0.08])
def test_a_device_is_deaf_for_all_of_its_refractory_period(step_s: float) -> None:
    trace = Trace(np.ones(200, np.float32), step_s, 200 * step_s, (), "w", False, step_s)
    assert crowded(detections(trace, 0.5, 1.0), 1.0) == 0


def test_hours_are_those_in_which_the_trigger_listens() -> None:
    truth = (Truth("w", 10, 11, False, "s", "a", "c"), Truth("go", 11.2, 12, False, "s", "a", "c"))
    assert lived(truth, "w", [Act(11.0, 14.0, "go")], 3604.0).hours == pytest.approx(1.0)


@pytest.mark.parametrize("seconds", [20, 120])
def test_a_stream_of_no_minutes_says_nothing_of_drift(seconds: int) -> None:
    wanted = Budgets.model_validate({"wakeword": {"score_sqnr": 10, "drift_db": 3}})
    candidate = SimpleNamespace(name="ear", budgets=lambda _: wanted)
    build = Build(candidate, SimpleNamespace(target="host", name="int8"), "host")  # type: ignore[arg-type]
    said = np.sin(np.arange(round(seconds / 0.08))).astype(np.float32)
    rows = streaming.drift(build, Pair(said, said * np.float32(1.01), 0.08, "short"))
    assert {row.outcome for row in rows} == {Outcome.INCONCLUSIVE}


@pytest.mark.parametrize("pause", ["[0.9, 0.1]", "[-9.0, -8.0]", f"[0.1, {'1' * 5000}]"])
def test_pauses_that_cannot_be_meant_are_refused(house: Path, pause: str) -> None:
    path = house / "pipelines/both/pipeline.toml"
    path.write_text(re.sub("pause_s = .*", f"pause_s = {pause}", path.read_text()))
    with pytest.raises(CandidateError):
        find_pipelines([house], {each.name: each for each in find_candidates([house])})


def test_false_accepts_tell_how_much_speech_their_hours_hold() -> None:
    truth = (Truth("other", 10, 70, False, "s", "a", "c", "1"), Truth("other", 100, 160, False, "s", "a", "c", "1"))
    heard = Listening((Trace(np.zeros(9, np.float32), 0.08, 3600.0, truth, "w", False, 0.08),), 1.0)
    wanted = Budgets.model_validate({"wakeword": {"false_accepts_per_hour": 5}})
    candidate = SimpleNamespace(name="ear", budgets=lambda _: wanted)
    build = Build(candidate, SimpleNamespace(target="host", name="int8"), "host")  # type: ignore[arg-type]
    assert (
        "1.00 h of synthetic (2 min of them speech, 1 clips)"
        in wakeword.false_accepts(build, heard, heard.at(0.5)).detail
    )


@pytest.mark.parametrize(
    ("name", "line", "told"),
    [
        ("ear", 'wakeword.frr.slices = { "condition=kitchn" = 5.0 }', "did you mean 'condition=kitchen'"),
        ("ear", 'wakeword.frr.slices = { "accent=xx" = 5.0 }', "wakeword.frr.slices names 'accent=xx', on which host/"),
        ("hand", 'drop.slices = { "accent=xx" = 5.0 }', "hand: drop.slices names 'accent=xx', on which host/fp32 is"),
    ],
)
def test_a_limit_on_a_slice_that_nothing_is_judged_on_is_refused(
    house: Path, tmp_path: Path, name: str, line: str, told: str
) -> None:
    def ready() -> None:
        run = Run(folder=tmp_path / "r", cache=Cache(tmp_path / "cache"), toolchains=False)
        run.ready({each.name: each for each in find_candidates([house])}[name])

    toml = house / "models" / name / "model.toml"
    toml.write_text(f"{toml.read_text()}\n[budgets]\n{line}\n")
    with pytest.raises(CandidateError, match=told):
        ready()
    edit(toml, line, 'wakeword.frr.slices = { "condition=kitchen" = 5.0 }\ndrop.slices = { overall = 5.0 }')
    ready()


def test_a_limit_on_an_accent_that_only_another_target_hears_is_refused(house: Path, tmp_path: Path) -> None:
    shutil.copytree(house / "corpora/tones", house / "corpora/talk")
    edit(house / "corpora/talk/corpus.toml", "tones", "talk")
    edit(house / "corpora/talk/manifest.tsv", "\ts1\ten\t", "\ts1\tsv\t")
    toml = house / "models/ear/model.toml"
    one = '[[stream]]\nname = "{0}"\ncorpora = ["{1}"]\nhours = 0.01\nwords = 1\ntargets = ["{2}"]\n'
    text = toml.read_text()
    first, last = text.index("[[stream]]"), text.index("[[recipe]]")
    both = one.format("quiet", "tones", "rk3588") + one.format("talk", "talk", "host")
    for target, refused in (("host", False), ("rk3588", True)):
        limit = f'[budgets.for.{target}]\nwakeword.frr.slices = {{ "accent=sv" = 5.0 }}\n'
        toml.write_text(f"{text[:first]}{both}{text[last:]}\n{limit}")
        run = Run(folder=tmp_path / "r", cache=Cache(tmp_path / "cache"), toolchains=False)
        ear = {each.name: each for each in find_candidates([house])}["ear"]
        with pytest.raises(CandidateError, match="'accent=sv', on which rk3588/fp16") if refused else nullcontext():
            run.ready(ear)


@pytest.mark.parametrize("line", ["frr = { overall = 5.0 }", "delay_ms = { p50 = 300.0 }"])
def test_a_stream_without_words_can_keep_no_limit_of_misses_or_delays(house: Path, line: str) -> None:
    toml = house / "models/ear/model.toml"
    edit(toml, "words = 1\n", "words = 0\n")
    find_candidates([house])
    edit(toml, "[[stream]]", f"[budgets.wakeword]\n{line}\n[[stream]]")
    with pytest.raises(CandidateError, match=r"the stream quiet has words = 0, so that host/fp32, which hears it"):
        find_candidates([house])


def test_features_of_another_version_of_their_maker_are_made_anew(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = {each.name: each for each in find_candidates([house])}["hand"]
    hits = []
    for made_by in ("pymicro-features 1", "pymicro-features 2"):
        monkeypatch.setattr(FrontEnd, "made_by", property(lambda _, name=made_by: name))
        run = Run(folder=tmp_path / "r", cache=Cache(tmp_path / "cache"), toolchains=False)
        run.features(hand, "clean")
        hits += [entry.hit for entry in run.cache.used if entry.kind == "features"]
    assert hits == [False, False]
