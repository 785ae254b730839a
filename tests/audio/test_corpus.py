from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.audio.corpus import Clip, corpus_names, fit, load_corpus, read_clip
from harness.errors import CorpusError, Unsupported

from .conftest import tone, write_audio


def edit(house: Path, file: str, old: str, new: str) -> None:
    path = house / "corpora" / "tones" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_manifest_gives_clips_groups_and_splits(house: Path) -> None:
    corpus = load_corpus("tones", house)
    assert corpus_names(house) == ["tones"]
    assert len(corpus.clips) == 12
    assert corpus.accents == ("here", "there")
    assert corpus.groups == {"here": "native", "there": "foreign"}
    calibration, test = corpus.split("calibration"), corpus.split("test")
    assert len(calibration.clips) == 4
    assert not {c.speaker for c in calibration.clips} & {c.speaker for c in test.clips}
    with pytest.raises(CorpusError, match=r"no train clips \(it has: calibration, test\)"):
        corpus.split("train")


def test_unknown_corpus_names_the_nearest(house: Path) -> None:
    with pytest.raises(CorpusError, match=r"no corpus 'tonse' \(did you mean 'tones'\?\)"):
        load_corpus("tonse", house)
    with pytest.raises(CorpusError, match="no corpus"):
        load_corpus("../tones", house)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("manifest.tsv", "\tyes\t", "\tno\t"),
        ("manifest.tsv", "c1\t", "d1\t"),
        ("manifest.tsv", "\ts1\t", "\ts2\t"),
        ("manifest.tsv", "\there\t", "\tthere\t"),
        ("corpus.toml", "16000", "8000"),
    ],
)
def test_digest_changes_with_every_input(house: Path, file: str, old: str, new: str) -> None:
    before = load_corpus("tones", house).digest
    assert load_corpus("tones", house).digest == before
    edit(house, file, old, new)
    assert load_corpus("tones", house).digest != before


def test_digest_follows_the_stated_sha_not_the_order_of_rows(house: Path) -> None:
    before = load_corpus("tones", house).digest
    path = house / "corpora" / "tones" / "manifest.tsv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]))
    assert load_corpus("tones", house).digest == before
    sha = load_corpus("tones", house).clips[0].sha256
    edit(house, "manifest.tsv", str(sha), "0" * 64)
    assert load_corpus("tones", house).digest != before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sample_rate", "sample_rat", r"unknown key corpus.sample_rat \(did you mean 'sample_rate'\?\)"),
        ("16000", "'fast'", "corpus.sample_rate"),
        ("[corpus]", "[corpus", "not valid TOML"),
        ("[corpus]", '[corpus]\nlayout = "zip"', "corpus.layout"),
        ("[corpus]", '[corpus]\ndata = "../.."', "leads out of"),
        ("[corpus]", '[corpus]\nmanifest = "../../../x.tsv"', "leads out of"),
    ],
)
def test_description_faults(house: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    edit(house, "corpus.toml", old, new)
    with pytest.raises(CorpusError, match=message):
        load_corpus("tones", house, tmp_path)


def test_absent_data_is_unsupported_and_says_how_to_get_it(house: Path, tmp_path: Path) -> None:
    edit(house, "corpus.toml", "[corpus]", '[corpus]\ndata = "far"\ndescription = "ask the moon"')
    with pytest.raises(Unsupported, match=r"--data DIR or VOXGATE_DATA.*ask the moon"):
        load_corpus("tones", house, tmp_path)


def test_data_folder_by_option_or_environment(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(house, "corpus.toml", "[corpus]", '[corpus]\ndata = "far"')
    (tmp_path / "data").mkdir()
    (house / "corpora" / "tones" / "clips").rename(tmp_path / "data" / "far")
    path = house / "corpora" / "tones" / "manifest.tsv"
    path.write_text(path.read_text().replace("clips/", ""))
    assert load_corpus("tones", house, tmp_path / "data").clips[0].path.is_file()
    monkeypatch.setenv("VOXGATE_DATA", str(tmp_path / "data"))
    assert load_corpus("tones", house).root == tmp_path / "data" / "far"


def clip(path: Path, resample: bool = False) -> Clip:
    return Clip("c", path, "yes", "s", "here", "test", resample=resample)


def test_read_clip_is_float_of_full_scale_one(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.array([0, 16384, -32768], np.int16))
    audio = read_clip(clip(tmp_path / "a.wav"), 16000)
    assert audio.dtype == np.float32
    assert audio.tolist() == [0.0, 0.5, -1.0]


def test_wrong_rate_is_refused_or_resampled(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", tone(1, rate=8000), 8000)
    with pytest.raises(CorpusError, match=r"wrong rate: clip 'c'.*8000 Hz, its corpus at 16000 Hz"):
        read_clip(clip(tmp_path / "a.wav"), 16000)
    audio = read_clip(clip(tmp_path / "a.wav", resample=True), 16000)
    assert len(audio) == 9600
    dry = tone(1, rate=8000) / 32768
    assert np.sqrt(np.mean(audio**2)) == pytest.approx(np.sqrt(np.mean(dry**2)), rel=0.02)


def test_unreadable_audio_is_one_paragraph(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is missing"):
        read_clip(clip(tmp_path / "none.wav"), 16000)
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    with pytest.raises(CorpusError, match="no readable audio"):
        read_clip(clip(tmp_path / "bad.wav"), 16000)
    write_audio(tmp_path / "stereo.wav", np.zeros((100, 2), np.int16))
    with pytest.raises(CorpusError, match="has 2 channels"):
        read_clip(clip(tmp_path / "stereo.wav"), 16000)
    write_audio(tmp_path / "long.wav", np.zeros(61 * 4000, np.int16), 4000)
    with pytest.raises(CorpusError, match="lasts 61 s"):
        read_clip(clip(tmp_path / "long.wav"), 4000)
    with (tmp_path / "large.wav").open("wb") as file:
        file.truncate(21 * 1024 * 1024)
    with pytest.raises(CorpusError, match="21 MiB"):
        read_clip(clip(tmp_path / "large.wav"), 16000)


waves = hnp.arrays(np.float32, st.integers(0, 300), elements=st.floats(-1, 1, width=32))


@given(waves, st.integers(1, 300))
def test_fit_gives_the_length_and_keeps_what_matters(audio: np.ndarray, samples: int) -> None:
    fitted = fit(audio, samples)
    assert fitted.shape == (samples,)
    assert fitted.dtype == np.float32
    energy = np.sum(fitted.astype(np.float64) ** 2)
    if len(audio) <= samples:
        before = (samples - len(audio)) // 2
        assert np.array_equal(fitted[before : before + len(audio)], audio)
        assert energy == pytest.approx(np.sum(audio.astype(np.float64) ** 2))
    else:
        windows = np.lib.stride_tricks.sliding_window_view(audio.astype(np.float64), samples)
        assert energy == pytest.approx(np.square(windows).sum(axis=1).max(), abs=1e-9)
