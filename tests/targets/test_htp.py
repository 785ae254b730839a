"""The HTP target: what it refuses by itself, and what it makes of what its toolchain left."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.boards import hosted
from harness.build import refuse_strange
from harness.errors import CandidateError, NotMeasured, ToolchainError, Unsupported
from harness.recipe import Recipe
from harness.targets import toolchain
from harness.targets.base import Evidence, Features
from harness.targets.htp import Htp
from tests.targets.htp_builds import DATA, built, make_candidate, outputs, recipe


@pytest.fixture(autouse=True)
def not_hosted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(hosted.CHOICE, raising=False)


@pytest.fixture(scope="module")
def features() -> Features:
    return np.random.default_rng(1).standard_normal((32, 49, 10)).astype(np.float32)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (recipe("fp32"), 'set precision = "fp16" or "int8"'),
        (recipe("fp16", soc="QCS6490"), r"QCS6490 \(v68\) has no exact float.*or a soc with a v73"),
        (recipe("fp16", soc="SM8450"), r"SM8450 \(v69\) has no exact float"),
        (recipe("fp16", activation_bits=16), "activation_bits is of int8; remove it"),
        (recipe(calibration={"algorithm": "entropy"}), "no entropy calibration.*one of minmax, percentile"),
        (recipe(soc="QCS6490", keep_float=["logits"]), "no exact float to keep layers in.*SM8550"),
        (recipe(soc="21"), r"Hexagon V66.*target = \"rb5\""),
        (recipe(soc="SM8150"), "knows no HTP"),
        (recipe(soc="SM8551"), "did you mean 'SM8550'"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_remedy(tmp_path: Path, wanted: Recipe, reason: str) -> None:
    with pytest.raises(Unsupported, match=f"small htp/this: .*{reason}"):
        Htp().check(make_candidate(tmp_path), wanted)


def test_it_honours_chip_and_activation_bits_and_nothing_of_other_targets(tmp_path: Path) -> None:
    candidate = make_candidate(tmp_path)
    refuse_strange(Htp(), candidate, recipe(soc="SM8650", activation_bits=16))
    with pytest.raises(Unsupported, match=r"op_target = .* means nothing to htp"):
        refuse_strange(Htp(), candidate, recipe(op_target={"a": "cpu"}))


def test_without_its_toolchain_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "none"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(Unsupported, match="Run: voxgate toolchain install htp"):
        Htp().check(make_candidate(tmp_path), recipe())
    compiles, emulates, board = Htp().abilities()
    assert (compiles.ready, emulates.ready, board.ready) == (False, False, False)
    assert compiles.remedy == emulates.remedy == "voxgate toolchain install htp"


def test_off_x86_64_nothing_is_called_an_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(Unsupported, match="driven on x86_64 only, this is aarch64"):
        Htp().check(make_candidate(tmp_path), recipe())
    assert [ability.ready for ability in Htp().abilities()] == [False] * 3
    monkeypatch.setattr(toolchain, "install", lambda *_: pytest.fail("there is nothing to install"))
    Htp().provision(make_candidate(tmp_path), print)


def test_versions_are_known_without_the_toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "none"))
    assert Htp().tools(recipe())["onnxruntime-qnn"] == "2.7.0"


def test_its_float_path_is_fp16_on_the_same_chip() -> None:
    wanted = recipe(soc="SM8650", activation_bits=16)
    own = Htp().float_recipe(wanted)
    assert (own.precision, own.soc, own.activation_bits) == ("fp16", "SM8650", 8)
    assert own.id != wanted.id


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A toolchain that leaves what a recorded build left, or what a test tells it to, instead of building."""
    recorded = DATA / "ds_cnn_a8w8"
    files = {name: (recorded / name).read_bytes() for name in ("qnn-log.jsonl", "graph-0.json", "result.json")}
    files |= {"context.onnx": b"context", "context_qnn.bin": (DATA / "context-options.txt").read_bytes()}

    def run_worker(tools: object, worker: Path, request: dict[str, Any], folder: Path, **_: Any) -> dict[str, Any]:
        if worker == hosted.WORKER:
            shutil.copyfile(DATA / "hub-profile.json", folder / "profile.json")
            return {"attributes": ["hexagon:v73"]}
        (folder / "request.json").write_text(json.dumps(request))
        if "inputs" in request:
            np.save(folder / request["outputs"], np.zeros((len(np.load(folder / request["inputs"])), 12), np.float32))
            return json.loads(files.get("run.json", b'{"assigned": [{"provider": "QNNExecutionProvider"}]}'))
        for name, content in files.items():
            (folder / name).write_bytes(content)
        answer: dict[str, Any] = json.loads(files["result.json"])
        return answer

    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(toolchain, "run_worker", run_worker)
    monkeypatch.setattr(toolchain, "needed", lambda name: None)
    return files


def test_what_was_compiled_is_read_back(tmp_path: Path, features: Features, said: dict[str, bytes]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    assert artifact.placement.fallbacks == ()
    assert artifact.sizes.weights == 2000
    assert artifact.sizes.file == len(said["context_qnn.bin"])
    assert artifact.evidence is Evidence.EMULATOR
    assert not (artifact.file.parent / "calibration.npy").exists()


def test_a_binary_for_another_chip_is_an_error(tmp_path: Path, features: Features, said: dict[str, bytes]) -> None:
    with pytest.raises(ToolchainError, match=r"asked for QCS6490 .* but the context binary is for SM8550"):
        built(make_candidate(tmp_path), recipe(soc="QCS6490"), features)


@pytest.mark.parametrize("lost", ["context_qnn.bin", "qnn-log.jsonl", "graph-0.json"])
def test_a_build_that_left_too_little_is_an_error(
    lost: str, tmp_path: Path, features: Features, said: dict[str, bytes]
) -> None:
    del said[lost]
    with pytest.raises(ToolchainError, match="small htp/this: "):
        built(make_candidate(tmp_path), recipe(), features)


def test_calibration_must_be_there_and_finite(tmp_path: Path, features: Features, said: dict[str, bytes]) -> None:
    candidate = make_candidate(tmp_path)
    with pytest.raises(ToolchainError, match="no calibration windows"):
        built(candidate, recipe(), features[:0])
    shutil.rmtree(tmp_path / "build")
    with pytest.raises(ToolchainError, match="1 of 1 calibration windows hold NaN"):
        built(candidate, recipe(), np.full_like(features[:1], np.nan))


def test_a_window_that_is_not_finite_is_refused(tmp_path: Path, features: Features, said: dict[str, bytes]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    with pytest.raises(CandidateError, match="1 of 1 feature windows hold NaN"):
        outputs(artifact, np.full_like(features[:1], np.nan))


def test_what_is_emulated_must_be_what_was_judged(tmp_path: Path, features: Features, said: dict[str, bytes]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    assert outputs(artifact, features).shape == (32, 12)
    assert outputs(artifact, features[:0]).shape == (0, 12)
    said["run.json"] = b'{"assigned": [{"provider": "CPUExecutionProvider"}]}'
    with pytest.raises(ToolchainError, match="0 of 1 compiled partitions ran on QNN"):
        outputs(artifact, features)


def test_an_artifact_whose_files_are_gone(tmp_path: Path, features: Features, said: dict[str, bytes]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    (artifact.file.parent / "context.onnx").unlink()
    with pytest.raises(ToolchainError, match=r"is unusable .* remove that folder and run again"):
        outputs(artifact, features)


def test_the_emulator_has_no_clock_and_names_its_hexagon(tmp_path: Path, features: Features, said: Any) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    board = Htp().board(artifact.recipe)
    assert (board.name, board.evidence) == ("HTP emulator v73", Evidence.EMULATOR)
    assert Htp().board(recipe(soc="93")).name == "HTP emulator v68"
    with pytest.raises(NotMeasured, match=r"needs a board; HTP emulator v73 is an emulator"):
        board.open(artifact)
    with pytest.raises(NotMeasured, match="needs a board"):
        board.rss(artifact, features[0])


def test_a_hosted_device_gives_the_placement_and_evidence_of_a_board(
    tmp_path: Path, features: Features, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(hosted.CHOICE, "Samsung Galaxy S23 (Family)")
    monkeypatch.setenv(hosted.CONFIG, str(tmp_path / "none"))
    monkeypatch.delenv(hosted.TOKEN, raising=False)
    with pytest.raises(Unsupported, match="there is no token of Qualcomm AI Hub"):
        Htp().check(make_candidate(tmp_path), recipe())
    monkeypatch.setenv(hosted.TOKEN, "secret")
    artifact = built(make_candidate(tmp_path), recipe(), features)
    assert artifact.evidence is artifact.placement.evidence is Evidence.BOARD
    assert artifact.placement.source.startswith("profile of Samsung Galaxy S23 (Family), hosted; types by QNN 2.51")
    assert {(node.dtype, node.where) for node in artifact.placement.nodes} == {("uint8", "npu")}
    times = Htp().board(artifact.recipe).times(artifact, features, 1)
    assert times is not None
    assert len(times.samples_ms) == 700
