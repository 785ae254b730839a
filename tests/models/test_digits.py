"""The digits candidate: its manifest is a partition in which every speaker and digit is split alike."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from harness.audio.corpus import load_corpus
from harness.candidate import load
from harness.errors import Unsupported

HOUSE = Path(__file__).parents[2]
MANIFEST = HOUSE / "corpora" / "digit_words" / "manifest.tsv"
SPLITS = {"train": 23, "calibration": 5, "test": 22}  # of the 50 takes of each digit by each speaker


def manifest() -> list[dict[str, str]]:
    with MANIFEST.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def test_no_recording_is_in_two_splits() -> None:
    for column in ("clip", "path"):
        assert max(Counter(row[column] for row in manifest()).values()) == 1


def test_every_speaker_and_digit_is_split_alike() -> None:
    splits = Counter((row["speaker"], row["label"], row["split"]) for row in manifest())
    assert len(splits) == 4 * 10 * len(SPLITS)
    assert all(count == SPLITS[split] for (_, _, split), count in splits.items())


def test_labels_are_the_models() -> None:
    assert {row["label"] for row in manifest()} == set(load(HOUSE / "models" / "digits", HOUSE).labels)


def test_the_recordings_of_the_manifest_are_those_of_the_corpus() -> None:
    try:
        corpus = load_corpus("digit_words", HOUSE)
    except Unsupported as lack:
        pytest.skip(str(lack))
    assert all(clip.path.is_file() for clip in corpus.clips)
    assert Counter(corpus.groups.values()) == {"native": 1, "foreign": 2}
