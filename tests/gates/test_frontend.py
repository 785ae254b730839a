"""The front end's gate, from the board's word or a recording to the row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness.audio.frontend import Audio, Features, FrontEnd
from harness.audio.probe import lasting, probe
from harness.boards.emulator import RknnSimulator
from harness.boards.local import LocalBoard
from harness.cache import Cache
from harness.candidate import load
from harness.errors import CandidateError, NotMeasured
from harness.gates import frontend as gates
from harness.gates.base import Build
from harness.row import Row
from harness.run import Run
from harness.targets.base import Board, Evidence
from harness.verdict import Outcome
from tests.gates.conftest import HEAD

RECORDED = 'device_features = "device.safetensors"\n[frontend]'


class Deaf(LocalBoard):
    """A real board whose firmware scales otherwise."""

    name, evidence = "pi", Evidence.BOARD

    def features(self, frontend: FrontEnd, audio: Audio) -> Features:
        return frontend.model_copy(update={"scale": 2 * frontend.scale}).batch(audio)


def write_recording(folder: Path, **changed: object) -> None:
    """What a device's front end made of the probe; ``changed`` is how it differs from model.toml."""
    (folder / "device.safetensors").touch()
    front = load(folder).frontend
    audio = probe(front)
    device = lasting(front.model_copy(update=changed), audio.shape[1])
    save_file({"audio": audio, "features": device.batch(audio)}, folder / "device.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models" / "tiny"
    made.mkdir(parents=True)
    (made / "model.onnx").write_bytes(b"onnx")
    (made / "model.toml").write_text(f"{HEAD}[budgets]\nfrontend = 0.02\n")
    return made


def judged(folder: Path, board: Board, monkeypatch: pytest.MonkeyPatch) -> Row:
    candidate = load(folder, folder.parent)
    run = Run(folder=folder / "records", cache=Cache(folder / "cache"))
    monkeypatch.setattr(Run, "board", lambda *_: board)
    recipe = candidate.recipes[0]
    row = gates.judge(Build(candidate, recipe, board.evidence.value), run.frontend(candidate, recipe))
    assert (folder / "records" / "tiny" / recipe.id / "frontend.json").is_file()
    return row


def recording(folder: Path, **changed: object) -> None:
    toml = folder / "model.toml"
    toml.write_text(toml.read_text().replace("[frontend]", RECORDED))
    write_recording(folder, **changed)


def test_this_host_is_its_own_board(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = judged(folder, LocalBoard(), monkeypatch)
    assert (row.outcome, row.evidence, row.value) == (Outcome.PASS, "host", 0.0)
    assert row.n > 500


def test_a_board_that_scales_otherwise_is_red_and_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = judged(folder, Deaf(), monkeypatch)
    assert (row.outcome, row.evidence, row.source) == (Outcome.FAIL, "board", "pi")
    assert "a front end failure, not the model's" in row.detail
    assert "the scaling is wrong: the board gives 0.5 times" in row.detail


def test_a_simulator_has_no_front_end_but_a_recording_stands_for_the_device(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotMeasured, match=r"needs a board with a front end of its own.*device_features"):
        judged(folder, RknnSimulator(), monkeypatch)
    recording(folder)
    row = judged(folder, RknnSimulator(), monkeypatch)
    assert (row.outcome, row.evidence, row.source) == (Outcome.PASS, "board", "recorded in device.safetensors")


@pytest.mark.parametrize("name", ["audio", "features"])
def test_a_recording_that_does_not_fit_is_refused(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording(folder)
    arrays = {"audio": np.zeros((2, 16000), np.int16), "features": np.zeros((2, 49, 40), np.float32)}
    save_file(arrays | {name: np.zeros((3, 7), np.float64)}, folder / "device.safetensors")
    with pytest.raises(CandidateError, match=r"give \(n, samples\) int16"):
        judged(folder, LocalBoard(), monkeypatch)
