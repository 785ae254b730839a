from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from harness.audio import checks
from harness.audio.checks import check_audio, clipped_share, require_audio
from harness.audio.corpus import load_corpus
from harness.cache import Cache
from harness.errors import CorpusError

from .conftest import tone, write_audio


def clips_folder(house: Path) -> Path:
    return house / "corpora" / "tones" / "clips"


def kinds(house: Path) -> set[tuple[str, str]]:
    return {(finding.clip, finding.kind) for finding in check_audio(load_corpus("tones", house))}


def test_sound_audio_has_no_faults(house: Path) -> None:
    assert check_audio(load_corpus("tones", house)) == []
    require_audio(load_corpus("tones", house))


def test_each_fault_is_found(house: Path) -> None:
    folder = clips_folder(house)
    (folder / "0.flac").unlink()
    (folder / "1.flac").write_bytes(b"no audio")
    write_audio(folder / "2.flac", tone(2, seconds=0.05))
    write_audio(folder / "3.flac", tone(3, rate=8000), 8000)
    loud = tone(4).astype(np.int32) * 8
    write_audio(folder / "4.flac", np.clip(loud, -32768, 32767).astype(np.int16))
    write_audio(folder / "5.flac", np.zeros(9600, np.int16))
    write_audio(folder / "6.flac", tone(7))
    broken = (tone(7) / 32768).astype(np.float32)
    broken[5] = np.nan
    (folder / "7.flac").unlink()
    soundfile.write(folder / "7.wav", broken, 16000, subtype="FLOAT")
    (folder / "7.wav").rename(folder / "7.flac")
    write_audio(folder / "8.flac", np.zeros((9600, 2), np.int16))
    assert kinds(house) == {
        ("c0", "missing"),
        ("c1", "unreadable"),
        ("c2", "too short"),
        ("c2", "sha mismatch"),
        ("c3", "wrong rate"),
        ("c3", "sha mismatch"),
        ("c4", "clipped"),
        ("c4", "sha mismatch"),
        ("c5", "silent"),
        ("c5", "sha mismatch"),
        ("c6", "sha mismatch"),
        ("c7", "not finite"),
        ("c8", "unreadable"),
    }
    with pytest.raises(CorpusError) as caught:
        require_audio(load_corpus("tones", house))
    message = str(caught.value)
    assert "9 of 12 clips cannot be judged: c0: missing" in message
    assert "and 1 more clipped, 1 more not finite, 4 more sha mismatch, 1 more silent, 1 more unreadable" in message
    assert "\n" not in message


def test_silence_may_be_silent(house: Path) -> None:
    write_audio(clips_folder(house) / "5.flac", np.zeros(9600, np.int16))
    corpus = load_corpus("tones", house)
    found = {finding.kind for finding in check_audio(corpus, silence=("yes", "no"))}
    assert found == {"sha mismatch"}


def test_clipping_counts_runs_of_one_sign() -> None:
    wave = np.zeros(1000, np.float32)
    wave[[10, 20, 30, 31]] = 1.0
    assert clipped_share(wave) == 0.0
    wave[40:43] = -1.0
    assert clipped_share(wave) == pytest.approx(0.003)
    assert clipped_share(np.tile(np.array([1, -1], np.float32), 500)) == 0.0
    assert clipped_share(np.ones(8, np.float32)) == 1.0


def test_answer_is_kept_until_a_file_changes(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path / "cache")
    corpus = load_corpus("tones", house)
    assert check_audio(corpus, cache) == []
    with monkeypatch.context() as patched:
        patched.setattr(checks, "_findings", lambda *_: pytest.fail("checked again"))
        assert check_audio(corpus, cache) == []
    write_audio(clips_folder(house) / "6.flac", tone(99))
    assert [finding.kind for finding in check_audio(corpus, cache)] == ["sha mismatch"]
