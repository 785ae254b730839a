"""A small keyword candidate for each target's tests, built by the target itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from harness.candidate import Candidate, load
from harness.recipe import Recipe
from harness.targets.base import Artifact, Features, Job, Logits, Target

LABELS = [f"word{i}" for i in range(12)]
TFLITE = 'tflite = "model.tflite"\n'
MODEL_TOML = f"""
[candidate]
name = "small"
task = "keyword"
labels = {LABELS}
background = []
corpus = "none"
%s[frontend]
kind = "mfcc"
frame_length_ms = 40.0
[[recipe]]
target = "%s"
name = "int8"
precision = "int8"
%s"""


def candidate(
    folder: Path, target: str, write: Callable[[Path], Any], *, files: str = "", recipe: str = ""
) -> Candidate:
    """``write`` makes its model.onnx; ``files`` and ``recipe`` are lines more of model.toml."""
    folder.mkdir(exist_ok=True)
    write(folder / "model.onnx")
    (folder / "model.toml").write_text(MODEL_TOML % (files, target, recipe))
    return load(folder)


def built(
    target: Target, candidate: Candidate, wanted: Recipe, calibration: Features, folder: Path | str = "build"
) -> Artifact:
    """What the target makes of it in ``folder``: a new one, beside the model unless it is elsewhere."""
    place = candidate.folder / folder
    place.mkdir()
    target.check(candidate, wanted)
    return target.build(Job(candidate, wanted, calibration, candidate.model, place, "key"))


def float_logits(candidate: Candidate, features: Features) -> Logits:
    session = onnxruntime.InferenceSession(candidate.model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"features": window[None, None]})[0] for window in features])


def noise() -> Features:
    """Windows ``(32, 49, 10)``, all alike."""
    return np.random.default_rng(1).standard_normal((32, 49, 10)).astype(np.float32)


def coloured() -> Features:
    """Windows ``(48, 49, 10)`` of differing loudness and colour, so that outputs depend on them."""
    random = np.random.default_rng(1)
    loudness = random.lognormal(0.5, 1, (48, 1, 1))
    colour = 3 * random.standard_normal((48, 1, 10))
    return (random.standard_normal((48, 49, 10)) * loudness + colour).astype(np.float32)
