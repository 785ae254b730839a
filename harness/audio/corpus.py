"""Corpora: speech with a label, a speaker and an accent for every clip.

A corpus is a folder ``corpora/<name>`` of a house with a ``corpus.toml``; its audio lies beside it or in the
data folder. What the files look like is the business of :mod:`harness.audio.layouts`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from harness.audio.clip import Clip, Split, Wave, fit, read_clip
from harness.audio.layouts import LAYOUTS, Layout
from harness.audio.packages import package
from harness.cache import digest
from harness.errors import CorpusError, Unsupported, nearest
from harness.strict import Strict, faults, read_toml

__all__ = ["Clip", "Corpus", "Split", "Wave", "corpus_names", "fit", "load_corpus", "read_clip"]

UNGROUPED = "other"


@dataclass(frozen=True, slots=True)
class Corpus:
    """Clips of one rate. ``groups`` maps each accent to ``native``, ``foreign``, or a team's own word."""

    name: str
    root: Path
    clips: tuple[Clip, ...]
    sample_rate: int
    groups: dict[str, str]
    real: bool

    def split(self, name: Split) -> Corpus:
        """The clips of one split; raises CorpusError where there are none."""
        clips = tuple(clip for clip in self.clips if clip.split == name)
        if not clips:
            found = ", ".join(sorted({clip.split for clip in self.clips}))
            raise CorpusError(
                f"corpus {self.name!r} has no {name} clips (it has: {found}); name them in the split column "
                "of its manifest, or add speakers: a split holds whole speakers."
            )
        return replace(self, clips=clips)

    @property
    def accents(self) -> tuple[str, ...]:
        return tuple(sorted({clip.accent for clip in self.clips}))

    @property
    def digest(self) -> str:
        """Digest of rate, ids, labels, speakers, accents, splits and audio; the order is no part."""
        rows = [(c.id, c.label, c.speaker, c.accent, c.split, audio_sha(c)) for c in self.clips]
        return digest("corpus", self.sample_rate, sorted(rows))


class Accent(Strict):
    title: str = ""
    group: str = UNGROUPED


class Head(Strict):
    name: str
    description: str = ""
    layout: Literal["manifest", "table", "speech_commands", "audiomnist", "fsdd", "stamps"] = "manifest"
    sample_rate: int = Field(16000, ge=4000, le=48000)
    licence: str = ""
    real: bool = False
    data: str | None = None
    package: str | None = None  # of Debian, that holds the audio
    manifest: str | None = None
    columns: dict[str, str] = Field({})
    builder: int | None = None  # of a synthetic corpus: the version of what made it


class CorpusToml(Strict):
    corpus: Head
    accents: dict[str, Accent] = Field({})


def corpus_names(house: Path) -> list[str]:
    """The corpora of a house, sorted."""
    return sorted(path.parent.name for path in (house / "corpora").glob("*/corpus.toml"))


def load_corpus(name: str, house: Path, data: Path | None = None) -> Corpus:
    """Read ``house/corpora/<name>``; the audio itself is not opened (see :mod:`harness.audio.checks`).

    ``data`` is the folder of audio kept out of the house; without it, the environment's VOXGATE_DATA, then
    ``shared/data`` beside the house. Raises CorpusError for an unknown name or a fault of the description or
    manifest, Unsupported where the data folder is absent.
    """
    known = corpus_names(house)
    if name not in known or not re.fullmatch(r"[\w.-]+", name):
        there = f"its corpora: {', '.join(known)}" if known else "it has no corpora/*/corpus.toml"
        raise CorpusError(f"{house} has no corpus {name!r}{nearest(name, known)}; {there}.")
    folder = (house / "corpora" / name).resolve()
    description = _read_toml(folder / "corpus.toml")
    head = description.corpus
    root = _data_root(head, house, data) if head.data else package(head.package) if head.package else folder
    layout = Layout(name, folder, root, head.manifest, head.columns)
    clips, groups = LAYOUTS[head.layout](layout)
    stated = {accent: value.group for accent, value in description.accents.items()}
    present = {clip.accent for clip in clips}
    return Corpus(
        name=name,
        root=root,
        clips=tuple(clips),
        sample_rate=head.sample_rate,
        groups={accent: stated.get(accent, groups.get(accent, UNGROUPED)) for accent in sorted(present)},
        real=head.real,
    )


def _read_toml(path: Path) -> CorpusToml:
    raw = read_toml(path, CorpusError)
    try:
        return CorpusToml.model_validate(raw)
    except ValidationError as error:
        raise CorpusError(f"{path}: {'; '.join(faults(error, (CorpusToml, Head, Accent)))}.") from error


def _data_root(head: Head, house: Path, data: Path | None) -> Path:
    named = data or (Path(os.environ["VOXGATE_DATA"]) if "VOXGATE_DATA" in os.environ else None)
    folder = (named or house.resolve().parent / "shared" / "data").resolve()
    root = (folder / str(head.data)).resolve()
    if not root.is_relative_to(folder):
        raise CorpusError(f"corpus {head.name!r}: data = {head.data!r} leads out of {folder}.")
    if not root.is_dir():
        source = f" Where it comes from: {head.description}" if head.description else ""
        raise Unsupported(
            f"the audio of corpus {head.name!r} is not here: {root} does not exist. Fetch it and name "
            f"the folder that holds {head.data}/ with --data DIR or VOXGATE_DATA.{source}"
        )
    return root


def audio_sha(clip: Clip) -> str:
    """The manifest's own sha256, else one of the file's bytes."""
    if clip.sha256 is not None:
        return clip.sha256
    if not clip.path.is_file():
        return "missing"
    stat = clip.path.stat()
    return _file_sha(clip.path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=200_000)
def _file_sha(path: Path, size: int, mtime_ns: int) -> str:
    return digest(path)
