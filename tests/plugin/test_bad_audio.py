"""Audio that cannot be judged: every fault of a corpus in one message, before anything is built on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.house import Gate, GateRun, edit, read_manifest, write_manifest

pytestmark = pytest.mark.xdist_group("bad audio")
RATE = 16000
FAULTS = ("missing", "too short", "wrong rate", "clipped", "not finite", "unreadable", "silent")
LISTED = 5  # by name; the others are counted


def tone(seconds: float, peak: float = 0.5, rate: int = RATE) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    t = np.arange(round(seconds * rate)) / rate
    return np.asarray(peak * np.sin(2 * np.pi * 300 * t), np.float32)


def spoil(clip: Path, fault: str) -> None:
    """Write audio with one fault in the place of a clip."""
    clip.unlink()
    if fault == "unreadable":
        clip.write_bytes(b"no audio")
    elif fault == "too short":
        soundfile.write(clip, tone(0.05), RATE)
    elif fault == "wrong rate":
        soundfile.write(clip, tone(1.0, rate=8000), 8000)
    elif fault == "clipped":
        soundfile.write(clip, np.clip(tone(1.0, peak=3.0), -1, 1), RATE)
    elif fault == "not finite":
        audio = tone(1.0)
        audio[100:200] = np.nan
        soundfile.write(clip, audio, RATE, subtype="FLOAT")
    elif fault == "silent":
        soundfile.write(clip, np.zeros(RATE, np.float32), RATE)


@pytest.fixture(scope="module")
def spoiled(gate: Gate, template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[GateRun, dict[str, str]]:
    """A run on a corpus with one clip of every fault, and the id of that clip."""
    house = Path(shutil.copytree(template, tmp_path_factory.mktemp("audio") / "house"))
    corpus = house / "corpora" / "few"
    rows = read_manifest(corpus)
    spoken = [row for row in rows if row["label"] != "silence"]
    for row, fault in zip(spoken, FAULTS, strict=False):
        name = row["path"].removesuffix(".flac") + ".wav"
        (corpus / row["path"]).rename(corpus / name)
        row |= {"path": name, "sha256": ""}
        spoil(corpus / name, fault)
    write_manifest(corpus, rows)
    return gate(house, "-m", "host", "-q"), {fault: row["clip"] for row, fault in zip(spoken, FAULTS, strict=False)}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_the_audio_is_told(spoiled: tuple[GateRun, dict[str, str]], fault: str) -> None:
    run, clips = spoiled
    named = FAULTS.index(fault) < LISTED
    assert (f"{clips[fault]}: {fault} (" if named else f"1 more {fault}") in run.output


def test_bad_audio_is_one_usage_error(spoiled: tuple[GateRun, dict[str, str]]) -> None:
    run, _ = spoiled
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in run.output
    assert f"corpus 'few': {len(FAULTS)} of 208 clips cannot be judged" in run.output
    assert "Mend the audio below" in run.output


def test_audio_that_is_not_what_the_manifest_was_made_of(gate: Gate, house: Path) -> None:
    corpus = house / "corpora" / "few"
    first, second = [corpus / row["path"] for row in read_manifest(corpus) if row["label"] == "yes"][:2]
    shutil.copyfile(first, second)
    run = gate(house, "-m", "host", "-q")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "sha mismatch (the samples are not those the manifest was made of)" in run.output


def test_a_clip_outside_the_corpus_is_refused(gate: Gate, house: Path) -> None:
    corpus = house / "corpora" / "few"
    rows = read_manifest(corpus)
    rows[3]["path"] = "../../../../../etc/passwd"
    write_manifest(corpus, rows)
    run = gate(house, "-m", "host", "-q")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "manifest.tsv, line 5: the path '../../../../../etc/passwd' leads out of" in run.output
    assert "copy the audio into it" in run.output
    assert "Traceback" not in run.output


def test_labels_the_model_does_not_know(gate: Gate, house: Path) -> None:
    toml = house / "models" / "small" / "model.toml"
    edit(toml, '"stop", "go"', '"stopp", "go"')
    edit(toml, '"unknown", "silence"]\nbackground = ["unknown", "silence"]', '"other", "silence"]\nbackground = []')
    run = gate(house, "-m", "host", "-q")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "corpus 'few' has the labels stop, unknown, which small does not list (did you mean 'stopp'?)" in run.output
    assert "correct the manifest" in run.output


def test_a_corpus_without_calibration_clips(gate: Gate, house: Path) -> None:
    corpus = house / "corpora" / "few"
    rows = [{**row, "split": "test"} for row in read_manifest(corpus)]
    write_manifest(corpus, rows)
    run = gate(house, "-m", "host", "-k", "drop and overall", "-q", "--golden=new")
    assert run.code == 1
    assert "corpus 'few' has no calibration clips (it has: test)" in run.output
    assert "Traceback" not in run.output
