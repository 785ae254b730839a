"""Seeded faults of a streaming build: each turns its gate red and is named; the build they were put into is green."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.boards.local import LocalBoard
from harness.cache import Cache
from harness.candidate import load
from harness.gates import streaming as gates
from harness.gates.base import Build
from harness.recipe import FLOAT
from harness.run import Run
from harness.score.drift import Pair
from harness.targets.base import Artifact, Evidence, Features, Placement, Progress, Scores, Sizes
from harness.targets.state_scales import state_scales
from tests.house import CHECKOUT, edit

MINUTES = 33


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("streaming")
    return Run(folder=folder / "records", cache=Cache(folder / "cache"))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The shipped wake word, on a stream of minutes; its corpora are the checkout's."""
    house = tmp_path_factory.mktemp("house")
    (house / "corpora").symlink_to(CHECKOUT / "corpora", target_is_directory=True)
    folder = house / "models" / "computer"
    folder.mkdir(parents=True)
    for name in ("model.onnx", "model.tflite", "whole.onnx", "model.toml"):
        (folder / name).write_bytes((CHECKOUT / "models" / "computer" / name).read_bytes())
    edit(folder / "model.toml", "hours = 2.0", "hours = 0.05")
    edit(folder / "model.toml", "words = 180", "words = 4")
    edit(folder / "model.toml", "hours = 3.0", "hours = 0.05")
    edit(folder / "model.toml", "words = 300", "words = 4")
    candidate = load(folder, house)
    return Build(candidate, candidate.recipe("host/int8"), "host")


class Forgetful(LocalBoard):
    """A board whose driver goes on where it was: it clears nothing between streams."""

    def stream(self, artifact: Artifact, features: Features, say: Progress, starts: Sequence[int] = (0,)) -> Scores:
        return super().stream(artifact, features, say, (0,))


def test_a_state_that_is_not_reset_between_streams_is_red_and_named(
    run: Run, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = gates.reset(build, run.probe(build.candidate, build.recipe))
    assert healthy.outcome.value == "PASS", healthy.detail
    monkeypatch.setattr(Run, "board", lambda *_: Forgetful())
    other = replace(run, _memory={})
    row = gates.reset(build, other.probe(build.candidate, build.recipe))
    assert row.outcome.value == "FAIL"
    assert "its state is not reset between streams" in row.detail


def rescaled(artifact: Artifact, name: str, factor: float, folder: Path) -> Artifact:
    """The build with one state read in other steps than it was written in."""
    model = onnx.load(artifact.file)
    read = next(node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == name)
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == read.input[1])
    wrong = numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(factor), "wrong_scale")
    model.graph.initializer.append(wrong)
    for node in model.graph.node:  # what is read is read in steps of its own; what is written stays
        if node is read:
            node.input[1] = "wrong_scale"
    onnx.save(model, folder / "model.onnx")
    return replace(artifact, file=folder / "model.onnx")


def test_a_state_read_in_other_steps_than_it_was_written_in_is_red_and_named(
    run: Run, build: Build, tmp_path: Path
) -> None:
    artifact = run.artifact(build.candidate, build.recipe)
    healthy = gates.scales(build, state_scales(artifact))
    assert healthy.outcome.value == "PASS", healthy.detail
    faulty = rescaled(artifact, "hidden", 1.5, tmp_path)
    row = gates.scales(build, state_scales(faulty))
    assert row.outcome.value == "FAIL"
    assert "state quantized with the wrong scale: hidden is written in steps of" in row.detail
    _, heard = run.heard_stream(build.candidate, build.candidate.streams[0])
    plain = LocalBoard().stream(run.artifact(build.candidate, FLOAT), heard, lambda _: None)
    pairs = [
        Pair(plain, LocalBoard().stream(each, heard, lambda _: None), build.candidate.frontend.step_s, "talk")
        for each in (artifact, faulty)
    ]
    assert pairs[0].sqnr_db > pairs[1].sqnr_db + 6


def leaking(path: Path, kept: float) -> Artifact:
    """A step that remembers a mean of all it heard, for minutes: ``memory`` comes back ``kept`` times as large."""
    weights = {"old": 0.9995 * kept, "new": 0.0005}
    nodes = [
        helper.make_node("ReduceMean", ["features"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "one"], ["level"]),
        helper.make_node("Mul", ["level", "new"], ["taken"]),
        helper.make_node("Mul", ["memory", "old"], ["stayed"]),
        helper.make_node("Add", ["taken", "stayed"], ["memory_next"]),
        helper.make_node("Add", ["memory_next", "level"], ["score"]),
    ]
    value = helper.make_tensor_value_info
    constants = [numpy_helper.from_array(np.array([[number]], np.float32), name) for name, number in weights.items()]
    graph = helper.make_graph(
        nodes,
        "leaking",
        [value("features", TensorProto.FLOAT, [1, 1, 4, 40]), value("memory", TensorProto.FLOAT, [1, 1])],
        [value("score", TensorProto.FLOAT, [1, 1]), value("memory_next", TensorProto.FLOAT, [1, 1])],
        [*constants, numpy_helper.from_array(np.array([1, 1], np.int64), "one")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    states = {"memory": "memory_next"}
    return Artifact("leaking", FLOAT, "key", path, Placement((), Evidence.HOST), Sizes(1), Evidence.HOST, states=states)


@pytest.mark.parametrize(("kept", "outcome"), [(1.0, "PASS"), (1.0007, "FAIL")])
def test_a_memory_of_minutes_in_the_wrong_scale_drifts_after_minutes(
    kept: float, outcome: str, build: Build, tmp_path: Path
) -> None:
    """Less than a tenth of a percent a step is nothing in the first minute; what rounding costs does not grow."""
    own = np.random.default_rng(8)
    heard = (own.standard_normal((MINUTES * 750, 4, 40)) + 0.2).astype(np.float32)
    plain, wrong = (
        LocalBoard().stream(leaking(tmp_path / f"{name}.onnx", factor), heard, lambda _: None)
        for name, factor in (("right", 1.0), ("wrong", kept))
    )
    rounding = (0.005 * own.standard_normal(len(plain))).astype(np.float32)
    found = Pair(plain, wrong + rounding, 0.08, "noise")
    early, late = found.minutes.sqnr_db[0], found.minutes.sqnr_db[-1]
    *_, drift = gates.drift(build, found)
    assert drift.outcome.value == outcome, drift.detail
    if outcome == "FAIL":
        assert early > 10 > late
        assert "its state drifts while it listens" in drift.detail
