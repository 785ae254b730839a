"""A build is made once for its inputs, and its record is trusted only as far as it reads."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import build as module
from harness.build import RECORD, artifact_key, build, content, load
from harness.cache import Cache
from harness.candidate import Candidate
from harness.candidate import load as load_candidate
from harness.errors import ToolchainError, Unsupported
from harness.recipe import Recipe
from harness.targets.base import Ability, Artifact, Board, Evidence, Features, Job, Node, Placement, Sizes, Target

MODEL = """
[candidate]
name = "tiny"
task = "keyword"
labels = ["go", "stop"]
corpus = "tones"
tflite = "model.tflite"
[frontend]
[[recipe]]
target = "fake"
name = "int8"
precision = "int8"
"""
FEATURES: Features = np.arange(12, dtype=np.float32).reshape(1, 3, 4)


class Fake(Target):
    """A toolchain that copies the model, and counts how often it is asked."""

    name = "fake"
    title = "a toolchain for tests"

    def __init__(self) -> None:
        self.builds = 0
        self.version = "1.0"
        self.options: dict[str, Any] = {}
        self.unsupported = False

    def tools(self, recipe: Recipe) -> dict[str, str]:
        return {"fakec": self.version}

    def settings(self) -> dict[str, Any]:
        return self.options

    def abilities(self) -> tuple[Ability, ...]:
        return (Ability("compile", True, f"fakec {self.version}"),)

    def check(self, candidate: Candidate, recipe: Recipe) -> None:
        if self.unsupported:
            raise Unsupported("no int8 here; use fp16")

    def build(self, job: Job) -> Artifact:
        self.builds += 1
        file = job.folder / "model.bin"
        file.write_bytes(job.model.read_bytes())
        nodes = (Node("/conv", "Conv", "int8", "npu", False), Node("/mean", "Mean", "fp16", "npu", True, "no int8"))
        sizes = Sizes(file=4, weights=3)
        return Artifact(
            job.candidate.name,
            job.recipe,
            job.key,
            file,
            Placement(nodes, Evidence.STATIC, 2, "fakec's table"),
            sizes,
            Evidence.EMULATOR,
            self.tools(job.recipe),
        )

    def board(self, recipe: Recipe) -> Board:
        raise NotImplementedError


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name in ("model.onnx", "model.tflite"):
        (folder / name).write_bytes(name.encode())
    (folder / "model.toml").write_text(MODEL)
    return load_candidate(folder)


@pytest.fixture
def made(tmp_path: Path, candidate: Candidate) -> tuple[Artifact, Path]:
    artifact, entry = build(Fake(), candidate, candidate.recipes[0], FEATURES, Cache(tmp_path / "cache"), print)
    return artifact, entry.path


def test_the_same_inputs_are_built_once_and_loaded_equal(tmp_path: Path, candidate: Candidate) -> None:
    target, recipe, told = Fake(), candidate.recipes[0], list[str]()
    first, made = build(target, candidate, recipe, FEATURES, Cache(tmp_path / "cache"), told.append)
    second, found = build(target, candidate, recipe, FEATURES, Cache(tmp_path / "cache"), told.append)
    assert first == second
    assert (target.builds, made.hit, found.hit) == (1, False, True)
    assert told == ["building tiny for fake/int8"]
    assert first.file.read_bytes() == b"model.onnx"
    assert (first.candidate, first.recipe, first.tools) == ("tiny", recipe, {"fakec": "1.0"})
    assert [node.fallback for node in first.placement.nodes] == [False, True]
    assert (first.sizes, first.placement.partitions) == (Sizes(4, 3, None), 2)
    assert second.placement.source == "fakec's table"


def test_what_a_target_cannot_do_is_said_before_anything_is_built(tmp_path: Path, candidate: Candidate) -> None:
    target = Fake()
    target.unsupported = True
    with pytest.raises(Unsupported, match="use fp16"):
        build(target, candidate, candidate.recipes[0], FEATURES, Cache(tmp_path / "cache"), print)
    assert target.builds == 0


def test_a_precision_the_target_does_not_know_is_refused(tmp_path: Path, candidate: Candidate) -> None:
    """Else it would be built as something else without a word."""
    target, recipe = Fake(), candidate.recipes[0].model_copy(update={"precision": "int8-dynamic"})
    with pytest.raises(
        Unsupported, match="tiny fake/int8: fake has no precision 'int8-dynamic'; set one of fp16, fp32"
    ):
        build(target, candidate, recipe, FEATURES, Cache(tmp_path / "cache"), print)
    assert target.builds == 0


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"runtime": "litert"}, "runtime = 'litert'"),
        ({"op_target": {"x": "cpu"}}, "op_target = {'x': 'cpu'}"),
        ({"keep_float": ("stem",)}, "keep_float = ('stem',)"),
        ({"activation_bits": 16}, "activation_bits = 16"),
        ({"soc": "SM8550"}, "soc = 'SM8550'"),
    ],
)
def test_a_key_the_target_does_not_read_is_refused(
    tmp_path: Path, candidate: Candidate, update: dict[str, Any], said: str
) -> None:
    target, recipe = Fake(), candidate.recipes[0].model_copy(update=update)
    with pytest.raises(Unsupported, match=f"tiny fake/int8: {re.escape(said)} means nothing to fake; remove it"):
        build(target, candidate, recipe, FEATURES, Cache(tmp_path / "cache"), print)
    assert target.builds == 0


def test_a_build_that_fails_leaves_nothing_to_be_found(tmp_path: Path, candidate: Candidate) -> None:
    class Crashing(Fake):
        def build(self, job: Job) -> Artifact:
            (job.folder / "half.bin").write_bytes(b"half")
            raise ToolchainError("the compiler crashed")

    cache, recipe = Cache(tmp_path / "cache"), candidate.recipes[0]
    with pytest.raises(ToolchainError, match="crashed"):
        build(Crashing(), candidate, recipe, FEATURES, cache, print)
    artifact, entry = build(Fake(), candidate, recipe, FEATURES, cache, print)
    assert not entry.hit
    assert [path.name for path in artifact.file.parent.iterdir() if path.name == "half.bin"] == []


def other_model(_: Fake, candidate: Candidate) -> Candidate:
    candidate.model.write_bytes(b"other")
    return candidate


def other_tflite(_: Fake, candidate: Candidate) -> Candidate:
    assert candidate.tflite is not None
    candidate.tflite.write_bytes(b"other")
    return candidate


def no_tflite(_: Fake, candidate: Candidate) -> Candidate:
    return replace(candidate, head=candidate.head.model_copy(update={"tflite": None}))


def other_name(_: Fake, candidate: Candidate) -> Candidate:
    return replace(candidate, head=candidate.head.model_copy(update={"name": "other"}))


def other_version(target: Fake, candidate: Candidate) -> Candidate:
    target.version = "1.1"
    return candidate


def other_settings(target: Fake, candidate: Candidate) -> Candidate:
    target.options = {"optimize": 3}
    return candidate


@pytest.mark.parametrize(
    "change",
    [other_model, other_tflite, no_tflite, other_name, other_version, other_settings],
    ids=lambda f: f.__name__,
)
def test_every_input_is_in_the_key(candidate: Candidate, change: Callable[[Fake, Candidate], Candidate]) -> None:
    target, recipe = Fake(), candidate.recipes[0]
    before = artifact_key(target, candidate, recipe, FEATURES)
    assert before == artifact_key(Fake(), candidate, recipe, FEATURES.copy())
    assert before != artifact_key(target, change(target, candidate), recipe, FEATURES)


@pytest.mark.parametrize(
    "features", [FEATURES + 1, FEATURES.reshape(3, 1, 4), FEATURES[:0]], ids=["values", "shape", "none"]
)
def test_calibration_is_in_the_key(candidate: Candidate, features: Features) -> None:
    recipe = candidate.recipes[0]
    assert artifact_key(Fake(), candidate, recipe, features) != artifact_key(Fake(), candidate, recipe, FEATURES)


@pytest.mark.parametrize("update", [{"name": "x"}, {"precision": "fp16"}, {"per_channel": False}, {"symmetric": True}])
def test_the_recipe_is_in_the_key(candidate: Candidate, update: dict[str, Any]) -> None:
    recipe = candidate.recipes[0]
    other = recipe.model_copy(update=update)
    assert artifact_key(Fake(), candidate, other, FEATURES) != artifact_key(Fake(), candidate, recipe, FEATURES)


def test_the_version_of_voxgate_is_in_the_key(candidate: Candidate, monkeypatch: pytest.MonkeyPatch) -> None:
    before = artifact_key(Fake(), candidate, candidate.recipes[0], FEATURES)
    monkeypatch.setattr(module, "__version__", "0.0.0")
    assert artifact_key(Fake(), candidate, candidate.recipes[0], FEATURES) != before


def edit(folder: Path, where: str, value: Any) -> None:
    """Put ``value`` at a place of the record, as ``placement.nodes``; None drops it."""
    record = json.loads((folder / RECORD).read_text())
    *parents, key = where.split(".")
    part = record
    for parent in parents:
        part = part[parent]
    part[key] = value
    if value is None:
        del part[key]
    (folder / RECORD).write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("placement", None),
        ("key", None),
        ("placement.nodes", []),
        ("placement.nodes", [{"name": "x"}]),
        ("placement.nodes", [5]),
        ("placement.evidence", "hearsay"),
        ("placement", []),
        ("recipe", {}),
        ("sizes", {"file": 1, "other": 2}),
        ("file", 5),
        ("evidence", "hearsay"),
    ],
    ids=str,
)
def test_a_damaged_record_is_refused_with_the_remedy(made: tuple[Artifact, Path], where: str, value: Any) -> None:
    edit(made[1], where, value)
    with pytest.raises(ToolchainError, match=r"unusable .*remove that folder and run again"):
        load(made[1])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000], ids=range(6))
def test_a_record_that_is_no_record_is_refused(made: tuple[Artifact, Path], content: bytes) -> None:
    (made[1] / RECORD).write_bytes(content)
    with pytest.raises(ToolchainError, match="remove that folder and run again"):
        load(made[1])


def test_an_absent_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="remove that folder"):
        load(tmp_path)


def test_an_artifact_whose_file_is_gone_is_refused(made: tuple[Artifact, Path]) -> None:
    made[0].file.unlink()
    with pytest.raises(ToolchainError, match="remove that folder"):
        load(made[1])


def test_an_artifact_that_was_changed_since_is_refused(made: tuple[Artifact, Path]) -> None:
    made[0].file.write_bytes(b"another")
    with pytest.raises(ToolchainError, match=r"not what was built: it was changed since.*remove that folder"):
        load(made[1])


def test_the_build_of_other_inputs_is_not_taken_for_this_one(tmp_path: Path, candidate: Candidate) -> None:
    """A stale folder under this key, as a cache restored by hand may hold."""
    cache, recipe = Cache(tmp_path / "cache"), candidate.recipes[0]
    _, wanted = build(Fake(), candidate, recipe, FEATURES, cache, print)
    _, other = build(Fake(), candidate, recipe, FEATURES + 1, cache, print)
    shutil.rmtree(wanted.path)
    shutil.copytree(other.path, wanted.path)
    with pytest.raises(ToolchainError, match="build of other inputs"):
        build(Fake(), candidate, recipe, FEATURES, cache, print)


def test_an_artifact_may_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a" / "parts").mkdir(parents=True)
    (tmp_path / "a" / "parts" / "one").write_bytes(b"1")
    before = content(tmp_path / "a")
    (tmp_path / "a" / "parts" / "one").rename(tmp_path / "a" / "parts" / "two")
    assert content(tmp_path / "a") != before


def test_a_record_cannot_name_a_file_elsewhere(made: tuple[Artifact, Path]) -> None:
    edit(made[1], "file", f"../../{made[0].file.name}")
    assert load(made[1]).file == made[0].file
