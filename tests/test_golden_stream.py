"""Golden scores of a stream: kept, checked, and told apart from what they do not belong to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness import golden_stream as goldens
from harness.errors import GoldenError
from harness.golden_stream import StreamGolden

SCORES = np.random.default_rng(0).standard_normal(500).astype(np.float32)
GOLDEN = StreamGolden("hey", "talk", "audio", "model", "front", SCORES)


def test_written_golden_is_read_again(tmp_path: Path) -> None:
    path = GOLDEN.file(tmp_path)
    stored, told = goldens.settle(path, GOLDEN, "new")
    assert told == "new, 500 steps"
    again, told = goldens.settle(path, replace(GOLDEN, model="other"), "new")
    assert (again.model, told) == ("model", "")
    assert np.array_equal(again.scores, SCORES)
    assert goldens.faults(stored, GOLDEN, imported=False) == ""


def test_an_update_says_what_it_changes(tmp_path: Path) -> None:
    path = GOLDEN.file(tmp_path)
    goldens.write(path, GOLDEN)
    assert goldens.settle(path, GOLDEN, "update")[1] == ""
    _, told = goldens.settle(path, replace(GOLDEN, model="next", scores=SCORES * np.float32(1.1)), "update")
    assert told == "scores agree to 20.0 dB; changed: model"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"model": "other"}, "the golden of another model"),
        ({"frontend": "other"}, "the front end changed"),
        ({"audio": "other"}, "the stream drifted"),
        ({"scores": SCORES * np.float32(np.nan)}, "not finite"),
        ({"scores": SCORES + np.float32(0.5)}, "its runtime answers otherwise"),
    ],
)
def test_what_cannot_judge_is_told(changed: dict[str, object], reason: str) -> None:
    assert reason in goldens.faults(GOLDEN, replace(GOLDEN, **changed), imported=False)  # type: ignore[arg-type]


def test_another_model_is_the_previous_release_of_an_imported_one() -> None:
    assert goldens.faults(GOLDEN, replace(GOLDEN, model="next", scores=-SCORES), imported=True) == ""


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_a_damaged_file_is_one_paragraph(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "talk.safetensors"
    path.write_bytes(content)
    with pytest.raises(GoldenError, match="damaged or no golden of a stream"):
        goldens.read(path)
    with pytest.raises(GoldenError, match="pytest --golden=new"):
        goldens.read(tmp_path / "none.safetensors")
