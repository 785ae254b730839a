"""What audio folders look like: the house's manifest, a plain table, and three public data sets.

Every layout is untrusted input: no path leaves the audio root, and the number of clips is bounded.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast, get_args
from zlib import crc32

from harness.audio.clip import Clip, Split
from harness.audio.tables import Columns, read_table_rows, read_text
from harness.errors import CorpusError, nearest

MAX_CLIPS = 200_000
CALIBRATION_SHARE = 0.2
UNKNOWN_ACCENT = "unlabelled"
WAKE_WORDS = ("alexa", "computer", "jarvis", "smart mirror", "snowboy", "view glass")  # of corpora/wakewords
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
MANIFEST = Columns(
    known=("clip", "path", "label", "speaker", "accent", "engine", "split", "sha256", "text"),
    needed=("clip", "path", "label", "split"),
)
TABLE = Columns(
    known=("clip", "path", "label", "speaker", "accent", "split", "sha256"),
    needed=("path", "label"),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where to look: the corpus folder, the audio root, and what corpus.toml says of the table."""

    name: str
    folder: Path
    root: Path
    manifest: str | None = None
    columns: dict[str, str] = field(default_factory=dict)  # ours -> the table's own name


Found = tuple[list[Clip], dict[str, str]]


def read_manifest(layout: Layout) -> Found:
    """The house's own: a TSV with every split stated, audio at the corpus' rate."""
    path = _named(layout, layout.manifest or "manifest.tsv")
    clips = _clips_of(path, layout, MANIFEST)
    return _bounded(clips, layout), {}


def read_table(layout: Layout) -> Found:
    """A user's TSV or CSV: path and label; speaker, accent, split, sha256 where known."""
    path = _named(layout, layout.manifest) if layout.manifest else _only_table(layout)
    clips = _clips_of(path, layout, TABLE)
    return _bounded([replace(clip, resample=True) for clip in clips], layout), {}


def read_speech_commands(layout: Layout) -> Found:
    """Speech Commands v2: label folders; its own lists are its splits (validation calibrates)."""
    lists: dict[str, Split] = {}
    listings: dict[str, Split] = {"testing_list.txt": "test", "validation_list.txt": "calibration"}
    for file, split in listings.items():
        if (layout.root / file).is_file():
            lists |= dict.fromkeys(read_text(layout.root / file).split(), split)
    clips = []
    for path in sorted(layout.root.glob("*/*.wav")):
        label, match = path.parent.name, re.match(r"(\w+)_nohash_\d+$", path.stem)
        if label != "_background_noise_" and match:
            split = lists.get(f"{label}/{path.name}", "train")
            clips.append(_found(layout, path, label, match[1], UNKNOWN_ACCENT, split))
    return _bounded(clips if lists else split_by_speaker(clips), layout), {}


def read_audiomnist(layout: Layout) -> Found:
    """AudioMNIST: data/<speaker>/<digit>_<speaker>_<n>.wav, accents in data/audioMNIST_meta.txt."""
    meta = _audiomnist_meta(layout)
    accents = {speaker: _slug(str(facts.get("accent", UNKNOWN_ACCENT))) for speaker, facts in meta.items()}
    clips = []
    for path in sorted(layout.root.glob("data/*/*.wav")):
        match = re.match(r"(\d)_(\w+)_\d+$", path.stem)
        if match and match[2] == path.parent.name:
            accent = accents.get(match[2], UNKNOWN_ACCENT)
            clips.append(_found(layout, path, match[1], match[2], accent, "test"))
    native: dict[str, bool] = {}
    for speaker, facts in meta.items():
        accent = accents[speaker]
        native[accent] = native.get(accent, True) and str(facts.get("native speaker", "no")).lower() == "yes"
    groups = {accent: "native" if value else "foreign" for accent, value in native.items()}
    return _bounded(split_by_speaker(clips), layout), groups


def read_fsdd(layout: Layout) -> Found:
    """Free Spoken Digit Dataset: recordings/<digit>_<speaker>_<n>.wav."""
    clips = []
    for path in sorted(layout.root.glob("recordings/*.wav")):
        match = re.match(r"(\d)_(\w+)_\d+$", path.stem)
        if match:
            clips.append(_found(layout, path, match[1], match[2], UNKNOWN_ACCENT, "test"))
    return _bounded(split_by_speaker(clips), layout), {}


def read_stamps(layout: Layout) -> Found:
    """tuxpaint-stamps: for each picture a sound of it, and its name said in many languages (``_desc_de``).

    Labels are ``effect`` and ``speech``; a language counts as one speaker, as nobody says who spoke. Pictures
    whose name is a wake word are left out: a device would be right to answer.
    """
    clips = []
    for path in sorted(layout.root.glob("usr/share/tuxpaint/stamps/**/*.ogg")):
        name = path.relative_to(layout.root).as_posix()
        if _names_wake_word(path):
            continue
        said = re.search(r"_desc(?:_([A-Za-z_]+))?\.ogg$", name)
        language = _slug(said[1] or "en") if said else UNKNOWN_ACCENT
        label, speaker = ("speech", language) if said else ("effect", name)
        clip = _found(layout, path, label, speaker, language, "test")
        clips.append(replace(clip, mixed=True))
    return _bounded(clips, layout), {}


def _names_wake_word(path: Path) -> bool:
    """Whether the text beside a stamp, its name in every language, holds a wake word of the house."""
    text = path.with_name(re.sub(r"(_desc(_[A-Za-z_]+)?)?\.ogg$", ".txt", path.name))
    return text.is_file() and any(word in read_text(text).lower() for word in WAKE_WORDS)


LAYOUTS: dict[str, Callable[[Layout], Found]] = {
    "manifest": read_manifest,
    "table": read_table,
    "speech_commands": read_speech_commands,
    "audiomnist": read_audiomnist,
    "fsdd": read_fsdd,
    "stamps": read_stamps,
}


def split_by_speaker(clips: Iterable[Clip]) -> list[Clip]:
    """A fifth of the speakers (at least one of two) calibrates, the others test; nobody does both.

    Speakers are ordered by the crc32 of their name: the choice repeats, and new clips do not move it.
    """
    clips = list(clips)
    speakers = sorted({clip.speaker for clip in clips}, key=lambda name: (crc32(name.encode()), name))
    count = max(1, round(CALIBRATION_SHARE * len(speakers))) if len(speakers) > 1 else 0
    chosen = frozenset(speakers[:count])
    return [replace(clip, split="calibration" if clip.speaker in chosen else "test") for clip in clips]


def _clips_of(path: Path, layout: Layout, columns: Columns) -> list[Clip]:
    rows = read_table_rows(path, columns, layout.columns, MAX_CLIPS)
    clips = [_clip_of(row, where, layout) for where, row in rows]
    stated = {row.get("split", "") != "" for _, row in rows}
    if len(stated) == 2:
        raise CorpusError(f"{path} states the split of some clips only; state all, or leave the column out.")
    return clips if stated == {True} else split_by_speaker(clips)


def _clip_of(row: dict[str, str], where: str, layout: Layout) -> Clip:
    clip_id = row.get("clip") or _id(row["path"])
    split = row.get("split") or "test"
    if split not in get_args(Split):
        raise CorpusError(
            f"{where}: split {split!r}{nearest(split, get_args(Split))}; known: {', '.join(get_args(Split))}."
        )
    sha256 = row.get("sha256", "").lower() or None
    if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise CorpusError(f"{where}: {sha256!r:.20} is no sha256; give 64 hex digits or leave it empty.")
    return Clip(
        id=clip_id,
        path=_inside(layout.root, row["path"], where),
        label=row["label"],
        speaker=row.get("speaker") or clip_id,
        accent=row.get("accent") or UNKNOWN_ACCENT,
        split=cast(Split, split),
        sha256=sha256,
    )


def _found(layout: Layout, path: Path, label: str, speaker: str, accent: str, split: Split) -> Clip:
    name = path.relative_to(layout.root).as_posix()
    return Clip(_id(name), _inside(layout.root, name, name), label, speaker, accent, split, resample=True)


def _id(path: str) -> str:
    """A clip without an id of its own goes by its path, less a suffix of audio."""
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in AUDIO_SUFFIXES else path


def _inside(root: Path, name: str, where: str) -> Path:
    try:
        path = (root / name).resolve()
        path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name too long, a null byte
        why = getattr(error, "strerror", None) or error  # with the name, an OSError is as long as the name
        raise CorpusError(f"{where}: {name!r:.60} is no file name ({why}); mend the path.") from error
    if not path.is_relative_to(root):
        raise CorpusError(f"{where}: the path {name!r} leads out of {root}; copy the audio into it.")
    return path


def _bounded(clips: list[Clip], layout: Layout) -> list[Clip]:
    if not clips:
        raise CorpusError(
            f"corpus {layout.name!r}: no clips in {layout.root}; does its layout in corpus.toml fit? Known: "
            f"{', '.join(LAYOUTS)}."
        )
    if len(clips) > MAX_CLIPS:
        raise CorpusError(f"corpus {layout.name!r} has over {MAX_CLIPS:,} clips; take a part of it.")
    twice = [clip_id for clip_id, count in Counter(clip.id for clip in clips).items() if count > 1]
    if twice:
        raise CorpusError(
            f"corpus {layout.name!r}: {len(twice)} clips share their id with another, first {twice[0]!r}; "
            "ids name outputs in golden, so give each its own."
        )
    return clips


def _named(layout: Layout, name: str) -> Path:
    """A table beside corpus.toml, else in the audio root."""
    for folder in dict.fromkeys((layout.folder, layout.root)):
        path = _inside(folder, name, str(layout.folder / "corpus.toml"))
        if path.is_file():
            return path
    raise CorpusError(
        f"corpus {layout.name!r} has no {name} in {layout.folder}"
        f"{'' if layout.root == layout.folder else f' or {layout.root}'}; build the corpus, or name another "
        "with manifest = in corpus.toml."
    )


def _only_table(layout: Layout) -> Path:
    folders = dict.fromkeys((layout.folder, layout.root))
    files = [path for folder in folders for path in sorted(folder.iterdir())]
    tables = [path for path in files if path.suffix in (".tsv", ".csv")]
    if len(tables) != 1:
        found = ", ".join(path.name for path in tables) or "none"
        raise CorpusError(
            f"corpus {layout.name!r} needs one .tsv or .csv beside its audio, found {found}; name it with "
            "manifest = in corpus.toml."
        )
    return tables[0]


def _audiomnist_meta(layout: Layout) -> dict[str, dict[str, object]]:
    path = layout.root / "data" / "audioMNIST_meta.txt"
    if not path.is_file():
        raise CorpusError(f"corpus {layout.name!r}: {path} is missing; it holds the accents of the speakers.")
    try:
        meta = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CorpusError(f"{path} is not JSON: {error}.") from error
    if not isinstance(meta, dict) or not all(isinstance(facts, dict) for facts in meta.values()):
        raise CorpusError(f"{path} must map each speaker to facts about them.")
    return cast(dict[str, dict[str, object]], meta)


def _slug(text: str) -> str:
    """One spelling for an accent the data writes as ``German`` and ``german``."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or UNKNOWN_ACCENT
