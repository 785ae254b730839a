"""Files as bytes: all of them, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.candidate import load
from harness.cluster import parcel
from harness.cluster.parcel import pack_candidate, pack_whole, unpack
from harness.errors import CandidateError
from tests.house import CHECKOUT


def test_a_folder_comes_out_as_it_went_in(tmp_path: Path) -> None:
    there = tmp_path / "a" / "deep" / "er"
    there.mkdir(parents=True)
    (there / "x.bin").write_bytes(bytes(range(256)))
    (tmp_path / "a" / "empty").write_bytes(b"")
    sent = pack_whole(tmp_path / "a")
    unpack(sent, tmp_path / "b")
    assert pack_whole(tmp_path / "b") == sent
    assert [name for name, _ in sent] == ["deep/er/x.bin", "empty"]


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x"])  # noqa: S108
def test_nothing_leaves_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(CandidateError, match="leads out of its folder"):
        unpack(((name, b"x"),), folder)
    assert not (tmp_path / "x").exists()


def test_what_is_too_large_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    monkeypatch.setattr(parcel, "MOST", 4)
    with pytest.raises(CandidateError, match=r"holds 0 MiB.*run without --scheduler"):
        pack_whole(tmp_path)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("commands", {"model.onnx", "model.tflite", "model.toml"}),
        ("commands_ctc", {"grammar.toml", "model.onnx", "model.toml"}),
        ("computer", {"model.onnx", "model.tflite", "model.toml", "whole.onnx"}),
    ],
)
def test_of_a_candidate_what_a_build_reads(tmp_path: Path, name: str, files: set[str]) -> None:
    candidate = load(CHECKOUT / "models" / name)
    sent = pack_candidate(candidate)
    assert {name for name, _ in sent if not name.startswith("trained/")} == files
    unpack(sent, tmp_path)
    again = load(tmp_path)
    assert (again.head, again.frontend, again.recipes) == (candidate.head, candidate.frontend, candidate.recipes)
