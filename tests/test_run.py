"""Stages of a run that no gate run over the shipped boards reaches."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import harness.run
from harness.cache import Cache
from harness.errors import NotMeasured
from harness.measure import Latency
from harness.run import FLOAT, Run
from harness.targets.base import Clocked, Sizes

CANDIDATE: Any = SimpleNamespace(name="small", head=SimpleNamespace(conditions=("clean",)))


def a_run(folder: Path, monkeypatch: pytest.MonkeyPatch, times: list[float] | None) -> Run:
    """A run whose board tells ``times`` of its own."""
    told = None if times is None else Clocked(np.array(times), "by itself")
    board = SimpleNamespace(name="a device", times=lambda artifact, windows, rounds: told)
    target = SimpleNamespace(board=lambda recipe: board)
    monkeypatch.setattr(harness.run, "registry", lambda: {FLOAT.target: target})
    monkeypatch.setattr(Run, "artifact", lambda *_: None)
    monkeypatch.setattr(Run, "features", lambda *_: np.zeros((1, 49, 10), np.float32))
    return Run(folder=folder, cache=Cache(folder / "cache"))


def test_a_device_that_times_itself_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = a_run(tmp_path, monkeypatch, [0.2, 0.1, 0.2] * 30).inference(CANDIDATE, FLOAT)
    assert found.samples_ms.tolist() == [0.2, 0.1, 0.2] * 30
    assert found.settled
    record = json.loads((tmp_path / "small" / FLOAT.id / "timings.json").read_text())
    assert (record["clock"], record["note"], len(record["ms"]["inference"])) == ("a device", "by itself", 90)
    assert found.note == "by itself"


def test_times_that_drift_are_not_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not a_run(tmp_path, monkeypatch, list(np.linspace(1, 2, 90))).inference(CANDIDATE, FLOAT).settled


def test_a_size_the_toolchain_does_not_say_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(tmp_path, monkeypatch, None)
    built = SimpleNamespace(sizes=Sizes(file=9, weights=3))
    monkeypatch.setattr(Run, "artifact", lambda *_: built)
    assert run.size(CANDIDATE, FLOAT, "weights") == 3
    with pytest.raises(NotMeasured, match=r"activations memory of small on host/golden.*needs a board"):
        run.size(CANDIDATE, FLOAT, "activations")


def test_a_board_without_a_clock_of_its_own_is_timed_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Latency(np.array([3.0]), 1, True)
    run = a_run(tmp_path, monkeypatch, None)
    monkeypatch.setattr(Run, "timings", lambda *_: SimpleNamespace(inference=here))
    assert run.inference(CANDIDATE, FLOAT) is here
