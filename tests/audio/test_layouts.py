from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.audio import layouts
from harness.audio.corpus import Clip, load_corpus, read_clip
from harness.audio.layouts import split_by_speaker
from harness.errors import CorpusError

from .conftest import tone

Write = Callable[..., Path]


def table(*rows: str, header: str = "path,label,speaker,accent") -> dict[str, object]:
    files: dict[str, object] = {f"{name}.wav": tone(i) for i, name in enumerate("abc")}
    return {"clips.csv": "\n".join([header, *rows]), **files}


def test_table_needs_only_path_and_label(user_corpus: Write) -> None:
    house = user_corpus("table", table("a.wav,yes", "b.wav,no", "c.wav,yes", header="path,label"))
    corpus = load_corpus("mine", house)
    assert next((c.id, c.speaker, c.accent) for c in corpus.clips) == ("a", "a", "unlabelled")
    assert {c.split for c in corpus.clips} == {"test", "calibration"}


def test_table_columns_are_renamed_by_the_description(user_corpus: Write) -> None:
    files = table("a.wav,7,bo", "b.wav,7,di", header="path,digit,who")
    house = user_corpus("table", files, more='columns = { label = "digit", speaker = "who" }')
    assert {(c.label, c.speaker) for c in load_corpus("mine", house).clips} == {("7", "bo"), ("7", "di")}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (table("a.wav,yes", header="path,lable"), r"no column 'label' \(did you mean 'lable'\?\)"),
        (table("a.wav,yes,x", header="path,label,speakr"), r"column 'speakr' \(did you mean 'speaker'\?\)"),
        (table("a.wav,yes,x", header="path,label,label"), "'label' appears twice"),
        (table("a.wav,yes", header="path,label,accent"), "line 2: 2 cells where the header has 3"),
        (table(",yes,x,y"), "line 2: the path is empty"),
        (table("../../corpora/mine/../../../x.wav,yes,x,y"), "leads out of"),
        (table("/etc/passwd,yes,x,y"), "leads out of"),
        (table("a\0.wav,yes,x,y"), "no file name|line contains NUL"),
        (table(f"{'a' * 300}.wav,yes,x,y"), "no file name"),
        (table("a.wav,yes,x,y", "a.wav,no,x,y"), "1 clips share their id with another, first 'a'"),
        (table("a.wav,yes,tset", header="path,label,split"), r"'tset' \(did you mean 'test'\?\)"),
        (table("a.wav,yes,test", "b.wav,no,", header="path,label,split"), "split of some clips only"),
        (table("a.wav,yes,12", header="path,label,sha256"), "is no sha256"),
        (table(), "no clips"),
        ({"a.wav": tone(1)}, "found none"),
        ({**table("a.wav,yes,x,y"), "b.tsv": "path\tlabel"}, "found b.tsv, clips.csv"),
    ],
)
def test_table_faults(user_corpus: Write, files: dict[str, object], message: str) -> None:
    house = user_corpus("table", files)
    with pytest.raises(CorpusError, match=message):
        load_corpus("mine", house)


def test_a_link_does_not_lead_out(user_corpus: Write, tmp_path: Path) -> None:
    house = user_corpus("table", table("out/x.wav,yes,x,y"))
    (tmp_path / "elsewhere").mkdir()
    (house / "corpora" / "mine" / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorpusError, match="leads out of"):
        load_corpus("mine", house)


def test_the_number_of_clips_is_bounded(user_corpus: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    house = user_corpus("table", table("a.wav,yes,x,y", "b.wav,no,x,y"))
    monkeypatch.setattr(layouts, "MAX_CLIPS", 1)
    with pytest.raises(CorpusError, match="more than 1 rows"):
        load_corpus("mine", house)


def test_latin1_is_refused(user_corpus: Write) -> None:
    house = user_corpus("table", table("a.wav,yes,x,y"))
    (house / "corpora" / "mine" / "clips.csv").write_bytes("path,label\na.wav,für".encode("latin1"))
    with pytest.raises(CorpusError, match="not UTF-8"):
        load_corpus("mine", house)


def test_speech_commands_keeps_its_own_splits(user_corpus: Write) -> None:
    house = user_corpus(
        "speech_commands",
        {
            "yes/aa_nohash_0.wav": tone(1),
            "yes/bb_nohash_0.wav": tone(2),
            "bed/aa_nohash_1.wav": tone(3),
            "_background_noise_/hum.wav": tone(4),
            "testing_list.txt": "yes/aa_nohash_0.wav\n",
            "validation_list.txt": "yes/bb_nohash_0.wav\n",
        },
    )
    clips = {c.id: c for c in load_corpus("mine", house).clips}
    assert {key: (c.label, c.speaker, c.split) for key, c in clips.items()} == {
        "yes/aa_nohash_0": ("yes", "aa", "test"),
        "yes/bb_nohash_0": ("yes", "bb", "calibration"),
        "bed/aa_nohash_1": ("bed", "aa", "train"),
    }


def test_audiomnist_takes_accents_and_groups_from_its_meta(user_corpus: Write) -> None:
    meta = {
        "01": {"accent": "German", "native speaker": "no"},
        "02": {"accent": "german", "native speaker": "no"},
        "03": {"accent": "South African", "native speaker": "yes"},
    }
    files = {f"data/{s}/{d}_{s}_0.wav": tone(d, rate=48000) for s in meta for d in (0, 1)}
    house = user_corpus("audiomnist", {**files, "data/audioMNIST_meta.txt": json.dumps(meta)}, rate=48000)
    corpus = load_corpus("mine", house)
    assert len(corpus.clips) == 6
    assert corpus.groups == {"german": "foreign", "south-african": "native"}
    assert len(read_clip(corpus.clips[0], corpus.sample_rate)) == 9600


@pytest.mark.parametrize("meta", ["{", "[1]", '{"01": 2}', "[" * 100_000])
def test_audiomnist_meta_faults(user_corpus: Write, meta: str) -> None:
    house = user_corpus("audiomnist", {"data/audioMNIST_meta.txt": meta})
    with pytest.raises(CorpusError, match="audioMNIST_meta"):
        load_corpus("mine", house)


def test_fsdd_by_file_names(user_corpus: Write) -> None:
    files = {f"recordings/{d}_{s}_0.wav": tone(d, rate=8000) for s in ("bo", "di") for d in (3, 4)}
    corpus = load_corpus("mine", user_corpus("fsdd", files, rate=8000))
    assert {(c.label, c.speaker) for c in corpus.clips} == {("3", "bo"), ("4", "bo"), ("3", "di"), ("4", "di")}
    assert len(read_clip(corpus.clips[0], corpus.sample_rate)) == 9600


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=40))
def test_nobody_calibrates_and_tests(speakers: list[str]) -> None:
    clips = [Clip(str(i), Path("x"), "yes", s, "here", "test") for i, s in enumerate(speakers)]
    split = split_by_speaker(clips)
    by = {name: {c.speaker for c in split if c.split == name} for name in ("calibration", "test")}
    assert not by["calibration"] & by["test"]
    assert by["test"]
    assert bool(by["calibration"]) == (len(set(speakers)) > 1)
    assert split_by_speaker(reversed(clips)) == list(reversed(split))


def test_real_digits_load(tmp_path: Path) -> None:
    data = Path(__file__).parents[3] / "shared" / "data"
    if not (data / "digits").is_dir():
        pytest.skip("real recordings are not here: clone the Free Spoken Digit Dataset to ../shared/data/digits")
    folder = tmp_path / "corpora" / "digits"
    folder.mkdir(parents=True)
    (folder / "corpus.toml").write_text(
        '[corpus]\nname = "digits"\nlayout = "table"\ndata = "digits"\nreal = true\ncolumns = { label = "digit" }\n'
    )
    corpus = load_corpus("digits", tmp_path, data)
    assert len(corpus.clips) == 2000
    assert corpus.accents == ("el-GR", "en-US", "fr-BE")
    assert len(corpus.split("calibration").clips) == 500
