"""Training: what is refused before any of the candidate's code runs, and, with its toolchain, one that is killed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import psutil
import pytest

from harness import cli
from harness.build import build
from harness.cache import Cache
from harness.candidate import Candidate, load
from harness.errors import CandidateError, ToolchainError, Unsupported
from harness.quantize import trained
from harness.recipe import Recipe
from harness.targets import toolchain
from harness.targets.base import Artifact
from harness.targets.host import Host
from harness.targets.state_scales import state_scales
from harness.train import TOOLCHAIN, code_of, recipes, train
from tests.house import edit, make_house
from tests.qat import QAT, make_step, with_tflite, with_training

HOST = QAT.format("host", 'runtime = "onnxruntime"\n')
SYMMETRIC = QAT.format("jetson", "symmetric = true\n")
TUNED = HOST.replace('"qat"', '"tuned"')
COMMAND = "import sys; from harness.cli import main; sys.exit(main())"

real = pytest.mark.skipif(
    toolchain.installed(TOOLCHAIN) is None,
    reason="the qat toolchain is not installed here; run: voxgate toolchain install qat",
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    house = make_house(tmp_path / "house", accents=("de",), speakers=1, recipes=HOST + TUNED)
    with_tflite(house / "models" / "small")
    return house / "models" / "small"


def fault(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert cli.main([str(each) for each in arguments]) == 2
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith("voxgate: ")
    return told


def test_recipes_that_share_a_training_are_trained_once(model: Path) -> None:
    edit(model / "model.toml", "[[recipe]]", f"{SYMMETRIC}\n[[recipe]]")
    candidate = load(model)
    assert [trained.scheme(recipe) for recipe in recipes(candidate)] == ["symmetric", "asymmetric"]
    assert [recipe.id for recipe in recipes(candidate, ("host/tuned",))] == ["host/tuned"]
    with pytest.raises(CandidateError, match=r"no recipe 'host/qatt' .*did you mean 'host/qat'"):
        recipes(candidate, ("host/qatt",))


def test_a_candidate_can_be_trained_before_a_recipe_asks_for_it(tmp_path: Path) -> None:
    plain = load(make_house(tmp_path / "house", accents=("de",), speakers=1) / "models" / "small")
    assert [(recipe.method, trained.scheme(recipe)) for recipe in recipes(plain)] == [("qat", "asymmetric")]
    with pytest.raises(CandidateError, match=r"no recipe 'host/qat' .*declares none"):
        recipes(plain, ("host/qat",))


def test_a_candidate_without_training_says_where_it_is_told(model: Path) -> None:
    with pytest.raises(CandidateError, match=r"has no \[training\].*docs/qat.md"):
        code_of(load(model))
    data = with_training(model)
    (model / "finetune.py").unlink()
    with pytest.raises(CandidateError, match=r"names finetune.py, which is not in"):
        code_of(load(model))
    assert data.is_dir()


def test_code_out_of_the_folder_is_refused(model: Path) -> None:
    with_training(model)
    edit(model / "model.toml", "[training]\n", '[training]\ncode = "../../else.py"\n')
    with pytest.raises(CandidateError, match="leads out of its folder"):
        code_of(load(model))


def test_nothing_of_the_candidate_runs_unasked(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = with_training(model)
    (model / "finetune.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    told = fault(capsys, "train", model, "--speech", data, "--work", tmp_path / "work")
    assert f"training runs {model / 'finetune.py'}" in told
    assert "the candidate's own Python" in told
    assert "--run-code" in told
    assert not (tmp_path / "ran").exists()


def test_another_folder_than_the_training_data_is_told(model: Path, tmp_path: Path) -> None:
    with_training(model)
    candidate = load(model)
    with pytest.raises(CandidateError, match=r"holds no manifest.tsv.*voxgate corpus build training"):
        train(candidate, recipes(candidate)[0], tmp_path, tmp_path / "work", print)


def test_a_missing_toolchain_names_its_command(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = with_training(model)
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "none"))
    candidate = load(model)
    with pytest.raises(Unsupported, match="voxgate toolchain install qat"):
        train(candidate, recipes(candidate)[0], data, tmp_path / "work", print)


@real
def test_a_fault_of_the_candidates_code_is_one_paragraph(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = with_training(model)
    edit(model / "finetune.py", "loss = torch", "lost = torch")
    told = fault(capsys, "train", model, "--speech", data, "--work", tmp_path / "work", "--run-code")
    assert "finetune.py defines no function loss" in told
    assert not (model / "trained").exists()


@real
def test_a_killed_training_goes_on_to_the_same_weights(model: Path, tmp_path: Path) -> None:
    """Killed within the int8 part, its helper too; what it goes on to is what a training in one piece makes."""
    data = with_training(model, batches=30, pause=0.02)
    first = start(model, data, tmp_path / "work")
    wait_for(tmp_path / "work", "qat.checkpoint.pt", first)
    for process in (*psutil.Process(first.pid).children(recursive=True), first):
        process.kill()
    first.wait()
    assert not (model / "trained").exists()
    again = start(model, data, tmp_path / "work")
    said = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert "qat: goes on after 0 epochs and 25 batches" in said[1]
    broken = outcome(load(model))
    whole = train(load(model), recipes(load(model))[0], data, tmp_path / "other", lambda _: None)
    assert whole.files == broken.files
    check(model, broken)


@real
def test_a_step_is_trained_over_sequences_and_goes_on_with_its_states(tmp_path: Path) -> None:
    """Cut in the last epoch of the int8 part; what it goes on to is what a training in one piece makes."""
    model, data = make_step(tmp_path)
    candidate = load(model)
    said: list[str] = []
    (asked,) = recipes(candidate)
    (data / "left").write_text("1")  # the float part stays whole
    with pytest.raises(ToolchainError, match="OSError: no sound"):
        train(candidate, asked, data, tmp_path / "work", said.append)
    broken = train(candidate, asked, data, tmp_path / "work", said.append)
    assert any("qat: goes on after 1 epochs and 25 batches" in line for line in said)
    assert train(candidate, asked, data, tmp_path / "other", said.append).files == broken.files
    assert set(broken.files) == {"qat.onnx", "qat.tflite", "float.onnx", "float.tflite"}
    assert min(broken.agreement[name] for name in ("float.onnx", "float.tflite")) > 80
    assert min(broken.agreement[name] for name in ("qat.onnx", "qat.tflite")) > 20
    for runtime, wide in (("onnxruntime", {"Tanh", "Sub", "ReduceMean"}), ("litert", set())):
        built = build_on_host(candidate, asked.model_copy(update={"runtime": runtime}), tmp_path / "cache")
        assert {node.op for node in built.placement.fallbacks} <= wide
        assert [state.agree and state.read is not None for state in state_scales(built)] == [True] * 3


def build_on_host(candidate: Candidate, recipe: Recipe, cache: Path) -> Artifact:
    none = np.zeros((0, candidate.frontend.frames, candidate.frontend.bins), np.float32)
    return build(Host(), candidate, recipe, none, Cache(cache), lambda _: None)[0]


@real
@pytest.mark.parametrize(
    ("gives", "says"),
    [("hidden", r"gives \[.*\], .* in this order"), ("slow, hidden", r"hidden_next differs by .* another function")],
)
def test_a_network_that_is_not_its_onnx_is_refused(tmp_path: Path, gives: str, says: str) -> None:
    model, data = make_step(tmp_path)
    edit(model / "network.py", "[:, :, -2:], hidden, slow", f"[:, :, -2:], {gives}")
    candidate = load(model)
    with pytest.raises(ToolchainError, match=says):
        train(candidate, recipes(candidate)[0], data, tmp_path / "work", lambda _: None)


def test_a_step_is_not_trained_for_symmetric_int8(tmp_path: Path) -> None:
    model, data = make_step(tmp_path)
    edit(model / "model.toml", 'method = "qat"\n', 'method = "qat"\nsymmetric = true\n')
    candidate = load(model)
    with pytest.raises(Unsupported, match=r"host/qat: a step is not trained for symmetric int8.*remove symmetric"):
        train(candidate, recipes(candidate)[0], data, tmp_path / "work", print)


def start(model: Path, data: Path, work: Path) -> subprocess.Popen[str]:
    words = ["train", model, "--speech", data, "--work", work, "--run-code"]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(work: Path, name: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 200
    while not list(work.rglob(name)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def outcome(candidate: Candidate) -> trained.Trained:
    return trained.record(candidate, recipes(candidate)[0])


def check(model: Path, found: trained.Trained) -> None:
    """Four files that belong together: int8 in QDQ form, and float that says what the int8 was trained to say."""
    assert set(found.files) == {"qat.onnx", "qat.tflite", "float.onnx", "float.tflite"}
    assert found.seed == 3
    assert min(found.agreement[name] for name in ("float.onnx", "float.tflite")) > 80
    assert min(found.agreement[name] for name in ("qat.onnx", "qat.tflite")) > 20
    folder = model / "trained" / "asymmetric"
    graph = onnx.load(folder / "qat.onnx").graph
    stored = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8 and tensor.dims]
    assert len([tensor for tensor in stored if len(tensor.dims) > 1]) == 10  # every convolution, and the head
    assert not re.search(rb"site-packages|/tmp", (folder / "qat.onnx").read_bytes())  # nothing of this machine
    window = np.random.default_rng(0).normal(0, 1, (1, 1, 49, 40)).astype(np.float32)
    says = [
        onnxruntime.InferenceSession(folder / name).run(None, {"features": window})[0]
        for name in found.files
        if name.endswith("onnx")
    ]
    assert np.abs(says[0] - says[1]).max() < 1
