"""Write manifest.tsv: which recording is of which word, in which split, and what it holds.

    python corpora/wakewords/make_manifest.py ../shared/data/wakewords

The folder holds the recordings as ``<wake_word>/<number>.flac`` at 16 kHz. Within each word the clips are ordered by
the crc32 of their id and a seed: the first 45 % train, the next 10 % calibrate, the rest test. The choice hangs on
nothing but the ids, so it repeats anywhere.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

from harness.audio.checks import audio_sha256
from harness.audio.clip import Clip, read_clip

HERE = Path(__file__).resolve().parent
COLUMNS = ("clip", "path", "label", "split", "sha256")
SAMPLE_RATE = 16000
SEED = 6
TRAIN, CALIBRATION = 0.45, 0.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path)
    root = parser.parse_args().recordings
    rows = [row for word in sorted(root.iterdir()) if word.is_dir() for row in rows_of(root, word)]
    with (HERE / "manifest.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerows([COLUMNS, *sorted(rows)])
    print(f"{len(rows)} clips in {HERE / 'manifest.tsv'}")


def rows_of(root: Path, word: Path) -> list[tuple[str, ...]]:
    """One row a recording of one word, each in its split."""
    files = {path.relative_to(root).with_suffix("").as_posix(): path for path in word.glob("*.flac")}
    ids = ordered(files)
    rows = []
    for rank, clip in enumerate(ids):
        label = word.name.replace("_", " ")
        path = files[clip].relative_to(root).as_posix()
        rows.append((clip, path, label, split_of(rank / len(ids)), sha256(clip, files[clip])))
    return rows


def ordered(ids: Iterable[str]) -> list[str]:
    return sorted(ids, key=lambda clip: (crc32(f"{SEED}/{clip}".encode()), clip))


def split_of(share: float) -> str:
    if share < TRAIN:
        return "train"
    return "calibration" if share < TRAIN + CALIBRATION else "test"


def sha256(clip: str, path: Path) -> str:
    only_its_audio = Clip(clip, path, label="", speaker="", accent="", split="test")
    return audio_sha256(read_clip(only_its_audio, SAMPLE_RATE))


if __name__ == "__main__":
    main()
