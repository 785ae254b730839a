"""Write manifest.tsv: who says which digit in which recording, and its split.

    python -m corpora.digit_words.make_manifest ../shared/data/digits

The folder holds ``clips.tsv`` (path, digit, speaker, accent). Within each speaker and digit the clips are ordered and
split as those of corpora/wakewords are.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

from corpora.wakewords.make_manifest import ordered, split_of

HERE = Path(__file__).resolve().parent
COLUMNS = ("clip", "path", "label", "speaker", "accent", "split")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path)
    with (parser.parse_args().recordings / "clips.tsv").open(encoding="utf-8", newline="") as file:
        clips = {row["path"].removesuffix(".flac"): row for row in csv.DictReader(file, delimiter="\t")}
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for clip, row in clips.items():
        alike[row["speaker"], row["digit"]].append(clip)
    rows = []
    for ids in alike.values():
        for rank, clip in enumerate(ordered(ids)):
            row = clips[clip]
            split = split_of(rank / len(ids))
            rows.append((clip, row["path"], row["digit"], row["speaker"], row["accent"], split))
    with (HERE / "manifest.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *sorted(rows)])
    print(f"{len(rows)} clips in {HERE / 'manifest.tsv'}")


if __name__ == "__main__":
    main()
