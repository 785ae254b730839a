"""A pipeline of stand-ins, healthy and with a fault in each part: every gate turns red for its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness import together
from harness.boards import runtimes
from harness.cache import Cache
from harness.candidate import find_candidates
from harness.errors import NotMeasured
from harness.gates import pipeline as gates
from harness.pipeline import Pipeline, find_pipelines
from harness.row import Row
from harness.run import Run
from harness.targets.base import Features, Infer, Logits
from harness.verdict import Outcome
from tests.house import edit
from tests.tones import make_house, save_command

ALL = (gates.SUCCESS, gates.ACCURACY, gates.WER, gates.ACTIVATIONS, gates.RESPONSE, gates.MEMORY)

Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def house(tmp_path: Path) -> Path:
    return make_house(tmp_path / "house")


def found(house: Path) -> Pipeline:
    candidates = {candidate.name: candidate for candidate in find_candidates([house])}
    (pipeline,) = find_pipelines([house], candidates)
    return pipeline


def judged(house: Path, cache: Cache, gate: str) -> Row:
    pipeline, run = found(house), Run(folder=house / "records", cache=cache, toolchains=False)
    (pair,) = pipeline.pairs
    build = gates.Together(pipeline, pair, "host", "host", "synthetic")
    if gate == gates.RESPONSE:
        (row,) = gates.response(build, run.responses(pipeline, pair))
        return row
    if gate == gates.MEMORY:
        return gates.memory(build, run.memory(pipeline, pair))
    judge = {
        gates.SUCCESS: gates.success,
        gates.ACCURACY: gates.command_accuracy,
        gates.WER: gates.wer,
        gates.ACTIVATIONS: gates.activations,
    }[gate]
    return judge(build, run.session(pipeline, pair))


def test_a_healthy_pipeline_keeps_every_limit_and_tells_n_hours_and_parts(house: Path, cache: Cache) -> None:
    rows = {gate: judged(house, cache, gate) for gate in ALL}
    assert {row.outcome for row in rows.values()} == {Outcome.PASS}, [row.detail for row in rows.values()]
    assert "n=30 utterances, 12 speakers, 0.1" in rows["success"].detail
    assert "false activations in 0.1" in rows["false activations"].detail
    assert all(f"{part} " in rows["response"].detail for part in ("wait", "trigger", "front", "model", "decode"))
    for name in ("session", "responses"):
        assert (house / "records" / "both" / "host" / "fp32+fp32" / f"{name}.json").is_file()


def _deaf(house: Path) -> None:
    edit(house / "models" / "ear" / "model.toml", "threshold = 0.8", "threshold = 80.0")


def _swapped(house: Path) -> None:
    save_command(house / "models" / "hand" / "model.onnx", swapped=True)


@pytest.mark.parametrize(
    ("fault", "told"),
    [(_deaf, "30 never woke it"), (_swapped, "did another command; most are the recognizer's")],
    ids=["trigger", "recognizer"],
)
def test_a_fault_of_either_model_turns_success_red_and_tells_whose(
    fault: Change, told: str, house: Path, cache: Cache
) -> None:
    fault(house)
    row = judged(house, cache, gates.SUCCESS)
    assert row.outcome is Outcome.FAIL
    assert told in row.detail


def test_swapped_labels_turn_command_accuracy_and_wer_red_and_silence_decides_neither(
    house: Path, cache: Cache
) -> None:
    _swapped(house)
    assert {judged(house, cache, gate).outcome for gate in (gates.ACCURACY, gates.WER)} == {Outcome.FAIL}
    _deaf(house)
    assert {judged(house, cache, gate).outcome for gate in (gates.ACCURACY, gates.WER)} == {Outcome.INCONCLUSIVE}


def test_a_trigger_that_hears_everybody_turns_false_activations_red(house: Path, cache: Cache) -> None:
    edit(house / "models" / "ear" / "model.toml", "threshold = 0.8", "threshold = -9.0")
    save_command(house / "models" / "hand" / "model.onnx", rejects=False)
    row = judged(house, cache, gates.ACTIVATIONS)
    assert row.outcome is Outcome.FAIL
    assert row.n > 20


def test_a_slow_recognizer_turns_the_response_red(house: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = runtimes.open_model

    def slow(file: Path) -> Infer:
        infer = opened(file)

        def late(window: Features) -> Logits:
            time.sleep(0.15)
            return infer(window)

        return late

    pipeline, run = found(house), Run(folder=house / "records", cache=cache)
    (pair,) = pipeline.pairs
    healthy = run.responses(pipeline, pair)
    edit(house / "pipelines" / "both" / "pipeline.toml", "p50 = 900.0", f"p50 = {np.median(healthy.total) + 60:.0f}")
    monkeypatch.setattr(runtimes, "open_model", slow)
    row = judged(house, cache, gates.RESPONSE)
    assert row.outcome is Outcome.FAIL
    assert "model 15" in row.detail  # some 150 ms, of the model


def test_a_recognizer_with_large_weights_turns_memory_red(house: Path, cache: Cache) -> None:
    save_command(house / "models" / "hand" / "model.onnx", padding_mib=8)
    row = judged(house, cache, gates.MEMORY)
    assert row.outcome is Outcome.FAIL
    assert (row.value or 0) > 40


def test_a_simulator_has_no_time_and_no_memory_of_its_own(house: Path, cache: Cache) -> None:
    edit(
        house / "pipelines" / "both" / "pipeline.toml",
        'target = "host"\ntrigger = "fp32"\ncommand = "fp32"',
        'target = "rk3588"\ntrigger = "fp16"\ncommand = "fp16"',
    )
    pipeline, run = found(house), Run(folder=house / "records", cache=cache)
    (pair,) = pipeline.pairs
    for ask in (together.responses, together.memory):
        with pytest.raises(NotMeasured, match=r"both on rk3588/fp16\+fp16: not measured"):
            ask(run, pipeline, pair)
