"""Builds of a candidate whose budgets each test writes for itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.candidate import load
from harness.gates.base import Build

HEAD = """
[candidate]
name = "tiny"
task = "keyword"
labels = ["go", "stop", "unknown"]
corpus = "tones"
[frontend]
[[recipe]]
target = "rk3588"
name = "w8a8"
precision = "int8"
"""

MakeBuild = Callable[..., Build]


@pytest.fixture
def build(tmp_path: Path) -> MakeBuild:
    """A build of candidate ``tiny`` by rk3588/w8a8, with the budgets (and allow-list) given as TOML."""

    def make(budgets: str = "", more: str = "", seed: int = 0) -> Build:
        folder = tmp_path / "models" / "tiny"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(b"onnx")
        (folder / "model.toml").write_text(f"{HEAD}{more}\n[budgets]\n{budgets}\n")
        candidate = load(folder, tmp_path)
        return Build(candidate, candidate.recipes[0], "emulator", seed)

    return make
