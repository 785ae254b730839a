"""One list of recipes for all targets: each takes what its vendor allows, under the candidate's own names."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.candidate import Candidate, load
from harness.sweep.variants import path, variants
from harness.targets.registry import registry
from tests.targets.models import ds_cnn

HEAD = """
[candidate]
name = "small"
task = "keyword"
labels = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
background = []
corpus = "none"
[frontend]
kind = "mfcc"
frame_length_ms = 40.0
"""
OWN = """
[[recipe]]
target = "host"
name = "ours"
precision = "int8"
[recipe.calibration]
clips = 150
"""
PERCENTILE = """
[[recipe]]
target = "host"
name = "int8"
precision = "int8"
calibration = { algorithm = "percentile" }
"""


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    return make(tmp_path, OWN)


def make(folder: Path, recipes: str) -> Candidate:
    ds_cnn(folder / "model.onnx", channels=8, blocks=1)
    (folder / "model.toml").write_text(HEAD + recipes)
    return load(folder)


def test_a_recipe_of_the_candidate_keeps_its_name_and_stands_once(candidate: Candidate) -> None:
    taken, _ = variants(candidate, registry()["host"])
    named = [recipe.name for recipe in taken]
    assert named == ["fp32", "ours", "int8-per-tensor", "int8-symmetric", "int8-percentile", "int8-dynamic"]
    assert candidate.recipes[0] in taken


def test_variants_keep_the_candidates_calibration_clips(candidate: Candidate) -> None:
    taken, _ = variants(candidate, registry()["host"])
    assert {recipe.calibration.clips for recipe in taken} == {150}


def test_what_a_vendor_refuses_is_told_with_its_remedy(candidate: Candidate) -> None:
    _, refused = variants(candidate, registry()["host"])
    why = {each.recipe.name: each.why for each in refused}
    assert "no entropy calibration" in why["int8-entropy"]
    assert 'runtime = "litert"' in why["int8-a16"]
    assert "has no precision 'int16'" in why["int16"]
    assert "needs a float .tflite" in why["litert-int8"]


def test_another_recipe_of_a_variants_name_is_not_taken_for_it(tmp_path: Path) -> None:
    taken, _ = variants(make(tmp_path, PERCENTILE), registry()["host"])
    algorithms = {recipe.name: recipe.calibration.algorithm for recipe in taken if recipe.precision == "int8"}
    assert algorithms["int8"] == "percentile"
    assert algorithms["sweep-int8"] == "minmax"
    assert "int8-percentile" not in algorithms


def test_names_differ_on_every_target(candidate: Candidate) -> None:
    for target in registry().values():
        taken, refused = variants(candidate, target)
        ids = [each.id for each in [*taken, *(lack.recipe for lack in refused)]]
        assert len(set(ids)) == len(ids)


def test_a_path_is_a_target_and_a_runtime(candidate: Candidate) -> None:
    recipe = candidate.recipes[0]
    assert path(recipe, registry()["host"]) == "host by onnxruntime"
    assert path(recipe.model_copy(update={"target": "rk3588"}), registry()["rk3588"]) == "rk3588"
