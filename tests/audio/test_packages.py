"""Recordings of Debian packages: fetched once, kept out of houses, and said where they cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from harness.audio.corpus import load_corpus
from harness.audio.layouts import Layout, read_stamps
from harness.audio.packages import package
from harness.cache import Cache
from harness.errors import Unsupported

CHECKOUT = Path(__file__).parents[2]
STAMPS = "usr/share/tuxpaint/stamps"

debian = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb, as on Debian")


def stamp(root: Path, name: str, text: str, channels: int = 1, rate: int = 44100) -> None:
    path = root / STAMPS / "animals" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = np.full((rate // 2, channels), 0.25, np.float32)
    soundfile.write(path, audio, rate, format="OGG")
    path.with_name(f"{name.removesuffix('.ogg').partition('_desc')[0]}.txt").write_text(text, encoding="utf-8")


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that fetches a real .deb from a folder, and counts how often it was asked."""
    tree = tmp_path / "tree"
    stamp(tree, "frog.ogg", "A frog.")
    stamp(tree, "frog_desc_de.ogg", "A frog.\nde.utf8=Ein Frosch.", channels=2)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN" / "control").write_text(
        "Package: stamps\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: sounds\n"
    )
    subprocess.run(["dpkg-deb", "--build", str(tree), str(tmp_path / "stamps.deb")], check=True, capture_output=True)
    tools = tmp_path / "tools"
    tools.mkdir()
    script = tools / "apt-get"
    script.write_text(
        f"#!/bin/sh\necho $@ >> {tmp_path}/asked\ncase $* in *stamps) cp {tmp_path}/stamps.deb .;; "
        "*) echo 'E: Unable to locate package' >&2; exit 100;; esac\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@debian
def test_a_package_is_fetched_once_and_its_stereo_and_rates_are_read(apt: Path) -> None:
    cache = Cache(apt / "cache")
    root = package("stamps", cache)
    assert package("stamps", cache) == root
    assert len((apt / "asked").read_text().splitlines()) == 1
    clips, _ = read_stamps(Layout("stamps", apt, root))
    assert [(clip.label, clip.speaker) for clip in clips] == [
        ("effect", f"{STAMPS}/animals/frog.ogg"),
        ("speech", "de"),
    ]
    from harness.audio.clip import read_clip

    for clip in clips:
        assert read_clip(clip, 16000).shape == (8000,)


@debian
def test_a_package_that_cannot_be_had_is_a_lack_with_its_remedy_and_leaves_nothing(apt: Path) -> None:
    with pytest.raises(Unsupported, match=r"Unable to locate.*apt-get download absent tells.*do without its hours"):
        package("absent", Cache(apt / "cache"))
    assert not list((apt / "cache" / "debian").glob("[!.]*/*"))
    assert sum("update" in line for line in (apt / "asked").read_text().splitlines()) == 1


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="no name of a Debian package"):
        package("-o Dir=/", Cache(tmp_path))


def test_pictures_whose_name_is_a_wake_word_are_left_out(tmp_path: Path) -> None:
    stamp(tmp_path, "frog_desc_de.ogg", "A frog.")
    stamp(tmp_path, "spider_desc_de.ogg", "A spider.\nde.utf8=Eine Spinne am Computer.")
    clips, _ = read_stamps(Layout("stamps", tmp_path, tmp_path))
    assert [clip.path.name for clip in clips] == ["frog_desc_de.ogg"]


@pytest.mark.skipif(
    not (CHECKOUT.parent / "shared" / "data" / "digits").is_dir(),
    reason="needs the digits' recordings: unpack them as shared/data/digits beside the checkout",
)
def test_the_digits_are_recordings_of_four_speakers_at_their_own_rate() -> None:
    corpus = load_corpus("digits", CHECKOUT)
    assert (corpus.real, corpus.sample_rate, len(corpus.clips)) == (True, 8000, 2000)
    assert {clip.accent for clip in corpus.clips} == {"en-US", "fr-BE", "el-GR"}
