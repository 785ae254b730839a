"""Small candidates for the HTP, and builds of them."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.candidate import Candidate
from harness.recipe import Recipe
from harness.targets import htp as target_module
from harness.targets import toolchain
from harness.targets.base import Artifact, Features, Logits
from harness.targets.htp import Htp
from tests.targets import small
from tests.targets.models import ds_cnn

DATA = Path(__file__).parents[1] / "data" / "htp"
SMALL = partial(ds_cnn, channels=16, blocks=2)

real = pytest.mark.skipif(
    toolchain.installed("htp") is None or platform.machine() != "x86_64",
    reason="the htp toolchain is not installed here, or this is not x86_64; run: voxgate toolchain install htp",
)


def make_candidate(folder: Path, write: Callable[[Path], Any] = SMALL) -> Candidate:
    return small.candidate(folder, "htp", write)


def recipe(precision: str = "int8", **settings: Any) -> Recipe:
    return Recipe.model_validate({"target": "htp", "name": "this", "precision": precision, **settings})


def built(candidate: Candidate, wanted: Recipe, calibration: Features) -> Artifact:
    return small.built(Htp(), candidate, wanted, calibration)


def outputs(artifact: Artifact, features: Features) -> Logits:
    return Htp().board(artifact.recipe).run(artifact, features, lambda _: None)


def altered(monkeypatch: pytest.MonkeyPatch, folder: Path, old: str, new: str) -> None:
    """Builds by a copy of the worker with one fault in it: the toolchain itself has no switch for these."""
    text = target_module.WORKER.read_text()
    assert old in text
    worker = folder / "htp_worker.py"
    worker.write_text(text.replace(old, new))
    monkeypatch.setattr(target_module, "WORKER", worker)
