"""A house with a corpus of tones, written as a user would lay it out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from harness.cache import Cache

RATE = 16000
HEADER = "clip\tpath\tlabel\tspeaker\taccent\tengine\tsplit\tsha256\ttext"
DESCRIPTION = (
    '[corpus]\nname = "tones"\nsample_rate = 16000\n'
    '[accents.here]\ntitle = "From here"\ngroup = "native"\n[accents.there]\ngroup = "foreign"\n'
)

Pcm = npt.NDArray[np.int16]


def tone(seed: int, seconds: float = 0.6, rate: int = RATE) -> Pcm:
    """A syllable of a sort: a few harmonics that swell and fade, with a little breath."""
    draw = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * k * draw.uniform(100, 200) * t) / k for k in range(1, 8))
    wave = wave * np.hanning(len(t)) + 0.01 * draw.normal(size=len(t))
    return np.asarray(wave / np.abs(wave).max() * 12000, np.int16)


def sha(pcm: Pcm) -> str:
    return hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest()


def write_audio(path: Path, pcm: Pcm, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, pcm, rate, subtype="PCM_16")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Corpus ``tones``: 12 clips, 6 speakers, 2 accents, a third of them for calibration."""
    folder = tmp_path / "house" / "corpora" / "tones"
    rows = [HEADER]
    for i in range(12):
        pcm = tone(i)
        write_audio(folder / "clips" / f"{i}.flac", pcm)
        split = "calibration" if i % 6 < 2 else "test"
        accent = "here" if i % 2 else "there"
        label = "yes" if i % 3 else "no"
        cells = (f"c{i}", f"clips/{i}.flac", label, f"s{i % 6}", accent, "tone", split, sha(pcm), "hm")
        rows.append("\t".join(cells))
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    (folder / "corpus.toml").write_text(DESCRIPTION)
    return tmp_path / "house"


@pytest.fixture
def user_corpus(tmp_path: Path) -> Callable[..., Path]:
    """Writes corpora/mine of a user's layout; returns its house."""

    def write(layout: str, files: dict[str, str | Pcm], rate: int = RATE, more: str = "") -> Path:
        folder = tmp_path / "house" / "corpora" / "mine"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "corpus.toml").write_text(f'[corpus]\nname = "mine"\nlayout = "{layout}"\n{more}')
        for name, content in files.items():
            if isinstance(content, str):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(content)
            else:
                write_audio(folder / name, content, rate)
        return tmp_path / "house"

    return write


@pytest.fixture(scope="session")
def room_cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """One cache for the session: simulating rooms takes seconds."""
    return Cache(tmp_path_factory.mktemp("rooms"))
