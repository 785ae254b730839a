"""Golden outputs survive the disk, refuse what is damaged, and tell whose fault a difference is."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from harness import golden as module
from harness.audio.conditions import Renditions
from harness.audio.corpus import Clip
from harness.errors import GoldenError
from harness.golden import TOLERANCE, Golden, Logits, Provenance, difference, faults, place, read, unused, write

CLIPS = 6
AUDIO = Renditions(
    corpus="tones",
    condition="clean",
    clips=tuple(Clip(f"c{i}", Path("x"), "go", "s", "de", "test", None) for i in range(CLIPS)),
    audio=np.ones((CLIPS, 1000), np.int16),
    sample_rate=16000,
    digest="audio",
    levels_db=np.full(CLIPS, -20, np.float32),
    sketch=np.arange(CLIPS * 4, dtype=np.float32).reshape(CLIPS, 4),
)
ORIGIN = Provenance(
    candidate="tiny",
    condition="clean",
    labels=("go", "stop", "unknown"),
    model="model",
    frontend="front",
    corpus="corpus",
    audio="audio",
    tools={"onnxruntime": "1.26"},
)
LOGITS = np.random.default_rng(0).normal(size=(CLIPS, 3)).astype(np.float32)
GOLDEN = Golden(ORIGIN, LOGITS, AUDIO.levels_db, AUDIO.sketch)


def of(**origin: Any) -> Golden:
    return replace(GOLDEN, provenance=replace(ORIGIN, **origin))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = place(tmp_path, "tiny", "clean")
    write(found, GOLDEN)
    return found


def test_what_is_written_is_read(path: Path) -> None:
    found = read(path)
    assert found.provenance == ORIGIN
    for name in ("logits", "levels_db", "sketch"):
        np.testing.assert_array_equal(getattr(found, name), getattr(GOLDEN, name))
    assert [each.name for each in path.parent.iterdir()] == ["clean.safetensors"]


@given(stn.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 4)), elements=st.floats(width=32)))
def test_every_float_survives(tmp_path_factory: pytest.TempPathFactory, logits: Logits) -> None:
    path = tmp_path_factory.getbasetemp() / "float.safetensors"
    count = len(logits)
    write(path, Golden(ORIGIN, logits, np.zeros(count, np.float32), np.zeros((count, 4), np.float32)))
    np.testing.assert_array_equal(read(path).logits, logits)


def test_logits_of_every_frame_are_stored_in_half_and_read_in_full(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(0, 5, (CLIPS, 12)).astype(np.float32)  # four frames of three labels
    golden = replace(of(stored="float16"), logits=logits)
    place_ = tmp_path / "half.safetensors"
    assert difference(place_, golden) == f"clean: new, {CLIPS} renderings"
    write(place_, golden)
    assert load_file(place_)["logits"].dtype == np.float16
    found = read(place_)
    assert found.logits.dtype == np.float32
    assert faults(found, golden, AUDIO) == []  # rounding is no fault
    assert difference(place_, golden) == ""
    moved = replace(golden, logits=logits + np.float32(0.1))
    assert "float outputs differ on 6 of 6 renderings" in faults(found, moved, AUDIO)[0]


def test_a_type_of_logits_that_is_not_known_is_refused(path: Path) -> None:
    write(path, of(stored="float64"))
    with pytest.raises(GoldenError, match="stored as 'float64'"):
        read(path)


def test_the_same_golden_is_the_same_bytes(path: Path) -> None:
    before = path.read_bytes()
    write(path, read(path))
    assert path.read_bytes() == before


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(GoldenError, match=r"no golden outputs at .*--golden=new"):
        read(tmp_path / "none.safetensors")


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_a_cut_file_is_refused(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(GoldenError, match="damaged or not a golden file"):
        read(path)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.safetensors"
    path.write_bytes(content)
    with pytest.raises(GoldenError, match="damaged or not a golden file"):
        read(path)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pickled",)


def test_a_pickle_is_refused_and_not_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(GoldenError, match="not a golden file"):
        read(path)
    assert not Path("pickled").exists()


def test_an_npz_is_refused(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, logits=LOGITS)
    with pytest.raises(GoldenError, match="not a golden file"):
        read(path)


def test_a_file_too_large_is_refused_unread(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE", 100)
    with pytest.raises(GoldenError, match="larger than"):
        read(path)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"other": "x"},
        {"provenance": "no json"},
        {"provenance": "[1]"},
        {"provenance": json.dumps({"candidate": "tiny"})},
        {"provenance": json.dumps({**dict.fromkeys(Provenance.__slots__, "x"), "tools": {}, "more": 1})},
        {"provenance": json.dumps({**dict.fromkeys(Provenance.__slots__, "x"), "tools": {}, "model": 5})},
        {"provenance": json.dumps({**dict.fromkeys(Provenance.__slots__, "x"), "tools": {}, "labels": [1, 2]})},
    ],
)
def test_tensors_of_another_origin_are_refused(path: Path, metadata: dict[str, str] | None) -> None:
    save_file(load_file(path), path, metadata)
    with pytest.raises(GoldenError, match="not a golden file"):
        read(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("logits", None),
        ("logits", np.zeros(CLIPS, np.float32)),
        ("logits", np.zeros((CLIPS, 3), np.int64)),
        ("levels_db", np.zeros((CLIPS, 2), np.float32)),
        ("sketch", np.zeros((CLIPS, 3), np.float32)),
        ("sketch", np.zeros((CLIPS + 1, 4), np.float32)),
    ],
)
def test_tensors_that_do_not_fit_are_refused(path: Path, name: str, value: npt.NDArray[Any] | None) -> None:
    tensors = load_file(path)
    del tensors[name]
    if value is not None:
        tensors[name] = value
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    save_file(tensors, path, metadata)
    with pytest.raises(GoldenError, match="not a golden file"):
        read(path)


def test_golden_that_agrees_has_no_fault() -> None:
    assert faults(GOLDEN, GOLDEN, AUDIO) == []


def test_another_version_of_a_tool_alone_is_no_fault() -> None:
    assert faults(of(tools={"onnxruntime": "1.0"}), GOLDEN, AUDIO) == []


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (of(model="other"), "golden of another model (tiny other; now tiny model)"),
        (of(candidate="big"), "golden of another model (big model; now tiny model)"),
        (of(labels=("go", "halt", "unknown")), "labels are go, halt, unknown; the candidate's are go, stop, unknown"),
        (of(frontend="other"), "the front end changed"),
        (of(corpus="other"), "labels, speakers or accents of its manifest changed; the model is not to blame"),
    ],
    ids=["model", "candidate", "labels", "front end", "manifest"],
)
def test_each_cause_is_told_by_name(stored: Golden, told: str) -> None:
    (fault,) = faults(stored, GOLDEN, AUDIO)
    assert told in fault


def test_other_audio_is_a_drifted_corpus_that_names_the_clip() -> None:
    sketch = AUDIO.sketch.copy()
    sketch[2] += 10
    (fault,) = faults(replace(of(audio="other"), sketch=sketch), GOLDEN, AUDIO)
    assert "1 of 6 clips" in fault
    assert "c2" in fault
    assert "the model is not to blame" in fault


def test_more_clips_are_a_drifted_corpus() -> None:
    (fault,) = faults(replace(of(audio="other"), sketch=AUDIO.sketch[:4]), GOLDEN, AUDIO)
    assert "the corpus drifted: 4 clips recorded, 6 rendered" in fault


def test_another_processors_rounding_is_no_drift() -> None:
    assert faults(replace(of(audio="other"), sketch=AUDIO.sketch + np.float32(1e-3)), GOLDEN, AUDIO) == []


def test_float_outputs_that_differ_are_counted_and_measured() -> None:
    logits = LOGITS.copy()
    logits[1, 0] += 0.5
    logits[4, 2] += TOLERANCE / 2
    (fault,) = faults(replace(GOLDEN, logits=logits), GOLDEN, AUDIO)
    assert fault == "float outputs differ on 1 of 6 renderings, by up to 0.5 (allowed 0.001)"


def test_golden_that_is_itself_nan_never_agrees() -> None:
    logits = LOGITS.copy()
    logits[0] = np.nan
    (stored,) = faults(replace(GOLDEN, logits=logits), GOLDEN, AUDIO)
    assert "differ on 1 of 6" in stored
    (both,) = faults(replace(GOLDEN, logits=logits), replace(GOLDEN, logits=logits), AUDIO)
    assert "not finite on 1 of 6" in both


def test_an_update_says_what_it_changes(path: Path) -> None:
    assert difference(path, GOLDEN) == ""
    flipped = replace(of(model="other"), logits=np.roll(LOGITS, 1, axis=1))
    told = difference(path, flipped)
    assert told.startswith("clean: 6 of 6 decisions flip, logits move by up to ")
    assert told.endswith("changed: model")
    assert difference(path, replace(GOLDEN, logits=LOGITS[:2])) == "clean: (6, 3) -> (2, 3)"
    path.write_bytes(b"damaged")
    assert "in place of a damaged file" in difference(path, GOLDEN)
    path.unlink()
    assert difference(path, GOLDEN) == "clean: new, 6 renderings"


def test_files_nothing_asks_for_are_unused(tmp_path: Path, path: Path) -> None:
    stray = [place(tmp_path, "tiny", "gone"), place(tmp_path, "renamed", "clean"), path.with_suffix(".part")]
    for file in (*stray, path.with_name("README.md")):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")
    assert unused(tmp_path, {"tiny": ["clean", "noise"]}) == sorted(stray)


def test_a_house_without_golden_has_none_unused(tmp_path: Path) -> None:
    assert unused(tmp_path, {"tiny": ["clean"]}) == []


def test_another_grammar_decides_the_same_outputs_otherwise() -> None:
    (fault,) = faults(of(grammar="ten commands"), of(grammar="nine"), AUDIO)
    assert "the grammar changed" in fault
    assert faults(of(grammar="ten commands"), of(grammar="ten commands"), AUDIO) == []
