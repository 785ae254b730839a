"""The wakewords candidate: its manifest is a partition of the recordings, and its model hears the test split."""

from __future__ import annotations

import csv
import tomllib
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from harness.audio.checks import audio_sha256
from harness.audio.clip import fit, read_clip
from harness.audio.corpus import Corpus, load_corpus
from harness.audio.frontend import FrontEnd
from harness.errors import Unsupported

HOUSE = Path(__file__).parents[2]
FOLDER = HOUSE / "models" / "wakewords"
MANIFEST = HOUSE / "corpora" / "wakewords" / "manifest.tsv"
TOML = tomllib.loads((FOLDER / "model.toml").read_text(encoding="utf-8"))
LABELS = TOML["candidate"]["labels"]
SPLITS = {"train": 0.45, "calibration": 0.10, "test": 0.45}
LEAST_ACCURACY = 97.0  # percent of the test clips, clean
LARGEST_PARITY = 1e-4  # logits

Wave = npt.NDArray[np.float32]


def test_manifest_is_a_partition() -> None:
    rows = manifest()
    for column in ("clip", "path", "sha256"):
        repeated = [value for value, count in Counter(row[column] for row in rows).items() if count > 1]
        assert not repeated, f"{column} stands in two rows, so perhaps in two splits"
    assert {row["split"] for row in rows} == set(SPLITS)


@pytest.mark.parametrize("label", LABELS)
def test_every_word_is_split_alike(label: str) -> None:
    splits = Counter(row["split"] for row in manifest() if row["label"] == label)
    for split, share in SPLITS.items():
        assert splits[split] / splits.total() == pytest.approx(share, abs=0.01)


def test_labels_are_the_model_s_and_the_folders() -> None:
    rows = manifest()
    assert {row["label"] for row in rows} == set(LABELS)
    assert all(row["path"].split("/")[0].replace("_", " ") == row["label"] for row in rows)


def test_absent_recordings_say_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"--data DIR or VOXGATE_DATA.*wake-word-benchmark"):
        load_corpus("wakewords", HOUSE, tmp_path)


def test_every_recording_is_the_manifest_s() -> None:
    for clip in recordings().clips:
        assert audio_sha256(read_clip(clip, 16000)) == clip.sha256, clip.id


def test_test_clips_are_heard_in_quiet() -> None:
    audio, labels = heard_clips()
    assert 100 * np.mean(decided(audio) == labels) >= LEAST_ACCURACY


def test_digital_silence_gives_no_word_away() -> None:
    """Only alexa was recorded with digital silence around it; every other word with it must stay what it is."""
    audio, labels = heard_clips()
    others = labels != LABELS.index("alexa")
    gated = np.stack([without_pauses(wave) for wave in audio[others]])
    assert np.mean(decided(gated) == labels[others]) >= np.mean(decided(audio[others]) == labels[others]) - 0.01


def test_both_files_say_the_same() -> None:
    interpreter_of = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    interpreter = interpreter_of(str(FOLDER / "model.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    at, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    for features in frontend().batch(heard_clips()[0][::50]):
        interpreter.set_tensor(at["index"], features.reshape(at["shape"]))
        interpreter.invoke()
        assert np.abs(interpreter.get_tensor(out["index"]) - logits(features)).max() <= LARGEST_PARITY


def manifest() -> list[dict[str, str]]:
    with MANIFEST.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


@lru_cache(maxsize=1)
def recordings() -> Corpus:
    try:
        return load_corpus("wakewords", HOUSE)
    except Unsupported as lack:
        pytest.skip(str(lack))


@lru_cache(maxsize=1)
def heard_clips() -> tuple[Wave, npt.NDArray[np.int64]]:
    """Windows ``(n, samples)`` and labels of the test split."""
    clips = recordings().split("test").clips
    windows = [fit(read_clip(clip, frontend().sample_rate), frontend().samples) for clip in clips]
    return np.stack(windows), np.array([LABELS.index(clip.label) for clip in clips])


def frontend() -> FrontEnd:
    return FrontEnd(**TOML["frontend"])


def decided(audio: Wave) -> npt.NDArray[np.int64]:
    return np.array([logits(features).argmax() for features in frontend().batch(audio)])


def logits(features: Wave) -> Wave:
    return np.asarray(session().run(None, {"features": features[None, None]})[0])


@lru_cache(maxsize=1)
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])


def without_pauses(audio: Wave) -> Wave:
    """Zeros before the first and after the last 20 ms within 35 dB of the loudest."""
    level = np.square(audio.reshape(-1, 320)).mean(axis=1)
    loud = np.flatnonzero(level > level.max() * 10**-3.5)
    gated = np.zeros_like(audio)
    gated[loud[0] * 320 : (loud[-1] + 1) * 320] = audio[loud[0] * 320 : (loud[-1] + 1) * 320]
    return gated
