"""Running and timing on a Jetson, against a stand-in (tests/standins/jetson/README.md): no time here is a Jetson's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from harness.boards import tegra
from harness.boards.jetson import JetsonBoard
from harness.cache import Cache
from harness.candidate import find_candidates
from harness.errors import InfraError, NotMeasured, ToolchainError
from harness.recipe import Recipe
from harness.run import Run
from harness.targets.base import Artifact, Evidence, Placement, Sizes
from tests import jetson_board
from tests.house import make_house
from tests.targets.models import ds_cnn

RECIPES = '\n[[recipe]]\ntarget = "jetson"\nname = "int8"\nprecision = "int8"\n'
ENGINE = b'{"detailed": true, "dla": false}\n'  # how the stand-in's engines begin; the model follows
COPIES_AND_INFERENCE_MS = 0.52
WINDOWS = np.random.default_rng(1).standard_normal((5, 49, 10)).astype(np.float32)


@pytest.fixture(autouse=True)
def _no_probe_is_kept() -> Iterator[None]:
    yield
    tegra._probe.cache_clear()


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """A small float network as an engine of the stand-in."""
    folder = tmp_path / "artifact"
    folder.mkdir()
    model = ds_cnn(folder / "model.onnx", channels=8, blocks=1)
    engine = folder / "model.engine"
    engine.write_bytes(ENGINE + model.read_bytes())
    recipe = Recipe(target="jetson", name="fp32", precision="fp32")
    return Artifact("small", recipe, "key", engine, Placement((), Evidence.BOARD), Sizes(1), Evidence.BOARD)


def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **state: object) -> JetsonBoard:
    jetson_board.make(tmp_path, monkeypatch, **state)
    return JetsonBoard(tegra.jetpack())


def expected(artifact: Artifact) -> np.ndarray:
    session = onnxruntime.InferenceSession(artifact.file.with_name("model.onnx"), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"features": window[None, None]})[0] for window in WINDOWS])


def test_outputs_come_from_the_engine_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact
) -> None:
    outputs = board(tmp_path, monkeypatch).run(artifact, WINDOWS, lambda _: None)
    np.testing.assert_allclose(outputs, expected(artifact), atol=1e-5)


def test_times_are_the_devices_own_and_copies_stand_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact
) -> None:
    own = board(tmp_path, monkeypatch)
    infer = own.open(artifact)
    times, outputs = [], []
    for window in WINDOWS:
        started = own.clock()
        outputs.append(infer(window))
        times.append((own.clock() - started) / 1e6)
    np.testing.assert_allclose(np.stack(outputs), expected(artifact), atol=1e-5)
    assert min(times) >= COPIES_AND_INFERENCE_MS
    assert np.median(times) < COPIES_AND_INFERENCE_MS + 0.2, "the pipe between the processes is left out"
    vitals = own.vitals()
    (parts,) = vitals["parts_ms"]
    assert [parts[name] for name in ("copy_in", "inference", "copy_out")] == pytest.approx([0.01, 0.5, 0.01], rel=1e-3)
    assert parts["host"] > 0
    assert (vitals["power_mode"], vitals["jetpack"]["l4t"]) == ("MAXN", "36.4.3")
    assert vitals["tegrastats"]["temperature_c"]["gpu"] == 43.2
    assert vitals["clocks"]["GPU"] == (918000000,) * 3
    json.dumps(vitals)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"jetson_clocks": jetson_board.clocks(gpu=306000000)}, "Run: sudo jetson_clocks"),
        ({"nvpmodel": None}, "power mode of this Jetson cannot be read"),
    ],
)
def test_latency_is_refused_unless_the_state_is_known_and_pinned(
    state: dict[str, object], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact
) -> None:
    own = board(tmp_path, monkeypatch, **state)
    with pytest.raises(NotMeasured, match=f"latency of small on jetson/fp32: .*{said}"):
        own.open(artifact)


def test_a_state_that_changed_meanwhile_is_the_labs_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact
) -> None:
    own = board(tmp_path, monkeypatch)
    own.open(artifact)
    state = tmp_path / "standin" / "bin" / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"nvpmodel": "NV Power Mode: 15W\n2"}))
    for again in (own.vitals, lambda: own.open(artifact)):
        with pytest.raises(InfraError, match="from power mode MAXN to 15W, clocks pinned, while it was timed"):
            again()
    state.write_text(json.dumps(json.loads(state.read_text()) | {"nvpmodel": "NV Power Mode: MAXN\n0"}))
    said = jetson_board.clocks().replace("CurrentFreq=918000000", "CurrentFreq=306000000")
    state.write_text(json.dumps(json.loads(state.read_text()) | {"jetson_clocks": said}))
    assert own.vitals()["clocks"]["GPU"][2] == 306000000, "an idle GPU may stand elsewhere: that is no other setting"


def test_memory_counts_what_cuda_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("this kernel lets no process reset its peak (/proc/self/clear_refs)")
    taken = board(tmp_path, monkeypatch).rss(artifact, WINDOWS[0])
    assert taken >= 2 << 20, "the stand-in takes 1 MiB for each of two buffers"


def test_memory_of_the_device_is_what_cuda_and_the_engine_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact
) -> None:
    found = board(tmp_path, monkeypatch).device_memory(artifact)
    assert (found.bytes, dict(found.parts)) == (2 << 20, {"of it activations": 4096}), "1 MiB for each of two buffers"
    assert (found.evidence, found.source) == (Evidence.BOARD, "cudaMemGetInfo, whatever else runs there included")


def test_trtexecs_number_is_the_toolchains_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact
) -> None:
    own = board(tmp_path, monkeypatch).own_time(artifact, WINDOWS[0])
    assert (own.ms, own.n, own.source) == (0.240234, 11932, "trtexec, GPU compute time")


@pytest.mark.parametrize(
    ("said", "why"), [(None, "exit code 1: .*Engine could not"), ("PASSED", "no performance summary")]
)
def test_a_trtexec_that_tells_nothing_leaves_no_number(
    said: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact
) -> None:
    with pytest.raises(NotMeasured, match=why):
        board(tmp_path, monkeypatch, trtexec=said).own_time(artifact, WINDOWS[0])


def test_an_engine_of_another_tensorrt_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact
) -> None:
    artifact.file.write_bytes(b"ftrt")
    own = board(tmp_path, monkeypatch)
    said = "model.engine does not load: it was built by another TensorRT or for another GPU"
    with pytest.raises(ToolchainError, match=f"small on jetson/fp32: jetson_worker refused: RuntimeError: {said}"):
        own.run(artifact, WINDOWS, lambda _: None)
    with pytest.raises(ToolchainError, match=f"the worker that holds its engine ended. Its last words: .*{said}"):
        own.open(artifact)


def test_a_worker_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact) -> None:
    own = board(tmp_path, monkeypatch)
    infer = own.open(artifact)
    own._sessions[0]._process.kill()
    own._sessions[0]._process.wait()
    with pytest.raises(
        ToolchainError, match=r"small on jetson/fp32: the worker that holds its engine (ended|takes no)"
    ):
        infer(WINDOWS[0])


def test_features_that_are_not_finite_never_reach_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact
) -> None:
    own = board(tmp_path, monkeypatch)
    with pytest.raises(ToolchainError, match="1 of 5 feature windows hold NaN"):
        own.run(artifact, np.where(np.arange(5)[:, None, None] == 2, np.nan, WINDOWS), lambda _: None)


def test_a_run_times_an_artifact_and_keeps_the_state_it_was_timed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a candidate to timings, and side by side with fp16, as the suites do it."""
    house = make_house(tmp_path / "house", accents=("de",), speakers=1, conditions=("clean",), recipes=RECIPES)
    ds_cnn(house / "models" / "small" / "model.onnx", channels=4, blocks=0, shape=(1, 1, 49, 40))
    jetson_board.make(tmp_path, monkeypatch)
    run = Run(folder=tmp_path / "records", cache=Cache(tmp_path / "cache"), rounds=70)
    (candidate,) = find_candidates([house])
    recipe = candidate.recipe("jetson/int8")
    times = run.timings(candidate, recipe)
    assert np.median(times.inference.samples_ms) == pytest.approx(COPIES_AND_INFERENCE_MS, abs=0.2)
    assert (times.total.samples_ms >= times.inference.samples_ms).all()
    record = json.loads((tmp_path / "records" / "small" / "jetson" / "int8" / "timings.json").read_text())
    assert record["environment"]["power_mode"] == "MAXN"
    assert record["environment"]["tegrastats"]["samples"] > 0
    ratio = run.side_by_side(candidate, recipe)
    assert ratio.median.value == pytest.approx(1.0, abs=0.3), "the stand-in takes as long for fp16"
