"""The RK3588 target: what it refuses by itself, and, where its toolchain is installed, real builds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.boards import emulator
from harness.candidate import Candidate
from harness.errors import CandidateError, NotMeasured, ToolchainError, Unsupported
from harness.recipe import Recipe
from harness.targets import toolchain
from harness.targets.base import Artifact, Evidence, Features, Job
from harness.targets.rk3588 import Rk3588
from tests.targets import small
from tests.targets.models import ds_cnn, gru

LOGS = Path(__file__).parents[1] / "data" / "rknn"

real = pytest.mark.skipif(
    toolchain.installed("rk3588") is None,
    reason="the rk3588 toolchain is not installed here; run: voxgate toolchain install rk3588",
)


@pytest.fixture(scope="module")
def features() -> Features:
    return small.noise()


def make_candidate(folder: Path, write: Callable[[Path], Any] = ds_cnn) -> Candidate:
    return small.candidate(folder, "rk3588", write)


def recipe(precision: str = "int8", **settings: Any) -> Recipe:
    return Recipe.model_validate({"target": "rk3588", "name": "this", "precision": precision, **settings})


def built(candidate: Candidate, wanted: Recipe, calibration: Features) -> Artifact:
    return small.built(Rk3588(), candidate, wanted, calibration)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (recipe("fp32"), 'set precision = "fp16" or "int8"'),
        (recipe(calibration={"algorithm": "percentile"}), "no 'percentile' calibration; set algorithm to 'minmax'"),
        (recipe("int8", symmetric=True), "remove symmetric = true"),
        (recipe("int16", calibration={"algorithm": "mse"}), 'set algorithm = "minmax"'),
    ],
    ids=lambda value: value if isinstance(value, str) else value.precision,
)
def test_what_it_cannot_do_is_refused_with_the_remedy(tmp_path: Path, wanted: Recipe, reason: str) -> None:
    with pytest.raises(Unsupported, match=f"small rk3588/this: .*{reason}"):
        Rk3588().check(make_candidate(tmp_path), wanted)


def test_a_layer_to_keep_that_the_model_lacks_is_an_error_before_the_toolkit_is_asked(tmp_path: Path) -> None:
    with pytest.raises(CandidateError, match=r"small rk3588/this: keep_float names 'depth1\.cnv', .*depth1\.conv"):
        Rk3588().check(make_candidate(tmp_path), recipe(keep_float=["depth1.cnv"]))


def test_layers_are_those_with_weights(tmp_path: Path) -> None:
    layers = Rk3588().layers(make_candidate(tmp_path, lambda path: ds_cnn(path, blocks=1)), recipe())
    assert layers == ("stem.conv", "depth0.conv", "point0.conv", "logits")


def test_the_toolkit_is_told_what_each_kept_layer_makes(
    tmp_path: Path, features: Features, said: dict[str, str]
) -> None:
    said["stdout.log"] = (LOGS / "ds_cnn_int8_kept.log").read_text()
    artifact = built(make_candidate(tmp_path), recipe(keep_float=["depth1.conv", "logits"]), features)
    told = json.loads((artifact.file.parent / "request.json").read_text())["keep_float"]
    assert told == {"depth1.conv": ["depth1.conv", "depth1"], "logits": ["logits"]}
    assert artifact.placement.fallbacks == ()
    Rk3588().board(artifact.recipe).run(artifact, features[:2], lambda _: None)


def test_an_opset_the_toolkit_cannot_read_is_refused_before_it_is_asked(tmp_path: Path) -> None:
    candidate = make_candidate(tmp_path, lambda path: ds_cnn(path, opset=20))
    with pytest.raises(Unsupported, match=r"uses opset 20; .* reads 7 to 19\. Export it with opset_version=17"):
        Rk3588().check(candidate, recipe())


def test_without_its_toolchain_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "none"))
    with pytest.raises(Unsupported, match="Run: voxgate toolchain install rk3588"):
        Rk3588().check(make_candidate(tmp_path), recipe())


def test_versions_are_known_without_the_toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "none"))
    assert Rk3588().tools(recipe())["rknn-toolkit2"] == "2.5.0"


def test_its_float_path_is_fp16() -> None:
    wanted = recipe("int8")
    assert Rk3588().float_recipe(wanted).precision == "fp16"
    assert Rk3588().float_recipe(wanted).id != wanted.id


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A toolchain that writes what a test tells it to, instead of building."""
    files = {"stdout.log": (LOGS / "ds_cnn_int8.log").read_text(), "model.rknn": "compiled"}

    def run_worker(tools: object, worker: Path, request: dict[str, Any], folder: Path, **_: Any) -> dict[str, Any]:
        for name, content in files.items():
            (folder / name).write_text(content)
        (folder / "request.json").write_text(json.dumps(request))
        if "inputs" in request:
            count = len(np.load(folder / request["inputs"]))
            np.save(folder / request["outputs"], np.zeros((count, 12), np.float32))
        return {"ok": True, "build_s": 0.1}

    monkeypatch.setattr(toolchain, "run_worker", run_worker)
    monkeypatch.setattr(toolchain, "needed", lambda name: None)
    return files


def test_a_build_without_a_layer_table_is_an_error(tmp_path: Path, features: Features, said: dict[str, str]) -> None:
    said["stdout.log"] = "I rknn building done.\n"
    with pytest.raises(ToolchainError, match="small rk3588/this: the compiler's layer table cannot be trusted"):
        built(make_candidate(tmp_path), recipe(), features)


def test_a_build_without_a_model_is_an_error(tmp_path: Path, features: Features, said: dict[str, str]) -> None:
    del said["model.rknn"]
    with pytest.raises(ToolchainError, match=r"wrote no model\.rknn"):
        built(make_candidate(tmp_path), recipe(), features)


def test_calibration_must_be_there_and_finite(tmp_path: Path, features: Features, said: dict[str, str]) -> None:
    candidate = make_candidate(tmp_path)
    (tmp_path / "build").mkdir()
    job = Job(candidate, recipe(), features[:0], candidate.model, tmp_path / "build", "key")
    with pytest.raises(ToolchainError, match="int8 needs calibration clips"):
        Rk3588().build(job)
    with pytest.raises(CandidateError, match="1 of 32 feature windows hold NaN"):
        Rk3588().build(replace(job, calibration=np.where(np.arange(32)[:, None, None] == 7, np.nan, features)))


def test_what_is_simulated_must_be_what_was_judged(tmp_path: Path, features: Features, said: dict[str, str]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    board = Rk3588().board(artifact.recipe)
    assert board.run(artifact, features, lambda _: None).shape == (32, 12)
    said["stdout.log"] = (LOGS / "ds_cnn_int8_selu.log").read_text()
    with pytest.raises(ToolchainError, match=r"placed Selu:tail \(int8 on cpu\) where Conv:pool_2conv0"):
        board.run(artifact, features, lambda _: None)


def test_an_artifact_whose_request_is_gone(tmp_path: Path, features: Features, said: dict[str, str]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    (artifact.file.parent / "request.json").write_text("{")
    with pytest.raises(ToolchainError, match=r"is unusable .* remove that folder and run again"):
        Rk3588().board(artifact.recipe).run(artifact, features, lambda _: None)


def test_the_simulator_has_no_clock(tmp_path: Path, features: Features, said: dict[str, str]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    with pytest.raises(NotMeasured, match="needs a board"):
        Rk3588().board(artifact.recipe).open(artifact)


def test_a_known_fault_of_the_toolkit_comes_with_its_remedy(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch, said: dict[str, str]
) -> None:
    def refuse(*_: Any, **__: Any) -> dict[str, Any]:
        raise ToolchainError("small rk3588/this: rknn_worker refused: ValueError: KeyError: 'LayerNormalization'.")

    monkeypatch.setattr(toolchain, "run_worker", refuse)
    with pytest.raises(ToolchainError, match="needs axis and epsilon written out"):
        built(make_candidate(tmp_path), recipe(), features)


@real
def test_fp16_is_close_to_float_and_int8_less_so(tmp_path: Path, features: Features) -> None:
    for name in ("fp16", "int8"):
        (tmp_path / name).mkdir()
    wanted = small.float_logits(make_candidate(tmp_path / "fp16"), features)
    far = {}
    for precision in ("fp16", "int8"):
        artifact = built(make_candidate(tmp_path / precision), recipe(precision), features)
        assert artifact.placement.fallbacks == ()
        assert artifact.evidence is Evidence.EMULATOR
        assert artifact.sizes.weights
        assert artifact.sizes.activations
        got = Rk3588().board(artifact.recipe).run(artifact, features, lambda _: None)
        assert got.shape == (32, 12)
        far[precision] = float(np.abs(got - wanted).max() / np.abs(wanted).max())
    assert far["fp16"] < 0.005 < far["int8"] < 0.3


@real
def test_a_layer_forced_to_the_cpu_is_named(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path), recipe(op_target={"depth1.conv": "cpu"}), features)
    assert [(node.name, node.where) for node in artifact.placement.fallbacks] == [("Conv:depth1.conv", "cpu")]
    Rk3588().board(artifact.recipe).run(artifact, features[:2], lambda _: None)


@real
def test_a_gru_that_stays_float_is_named(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path, gru), recipe(), features)
    assert "exGRU:gru" in {node.name for node in artifact.placement.fallbacks}


@real
def test_two_processes_answer_as_one(tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = built(make_candidate(tmp_path), recipe(calibration={"algorithm": "entropy"}), features)
    board = Rk3588().board(artifact.recipe)
    alone = board.run(artifact, features, lambda _: None)
    monkeypatch.setattr(emulator, "SPLIT", 8)
    assert np.array_equal(board.run(artifact, features, lambda _: None), alone)


@real
def test_an_operator_unknown_to_the_toolkit_is_a_clear_error(tmp_path: Path, features: Features) -> None:
    with pytest.raises(ToolchainError, match=r"small rk3588/this: rknn_worker refused: .*To run it again by hand"):
        built(make_candidate(tmp_path, lambda path: ds_cnn(path, tail="Det")), recipe(), features)


@real
def test_layers_kept_in_float_are_and_the_rest_is_not(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path), recipe(keep_float=["stem.conv", "logits"]), features)
    floats = {node.name for node in artifact.placement.nodes if node.dtype == "float16" and node.op.startswith("Conv")}
    assert {name.partition("#")[0] for name in floats} == {"Conv:stem.conv", "Conv:logits"}
    assert artifact.placement.fallbacks == ()
    assert Rk3588().board(artifact.recipe).run(artifact, features, lambda _: None).shape == (32, 12)


@real
def test_int16_is_closer_to_float_than_fp16(tmp_path: Path, features: Features) -> None:
    candidate = make_candidate(tmp_path)
    artifact = built(candidate, recipe("int16"), features)
    got = Rk3588().board(artifact.recipe).run(artifact, features, lambda _: None)
    assert np.abs(got - small.float_logits(candidate, features)).max() < 0.01
    assert artifact.placement.fallbacks == ()
