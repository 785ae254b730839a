"""Whole runs and single verdicts on two virtual boards: repeatable, right about 5%, equal to the host's outputs."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from harness.beside import OWN
from harness.boards.local import LocalBoard
from harness.boards.remote import RemoteBoard
from harness.boards.virtual.board import VirtualBoard
from harness.report.beside import read
from harness.row import Row
from harness.verdict import Outcome
from tests import house as houses
from tests.boards.conftest import artifact
from tests.house import RECIPE, SHIPPED, Gate, accept_golden, edit, make_house, new_gate
from tests.lab import bench
from tests.lab.bench import Bench

REPEATS = 20
RECIPES = RECIPE + RECIPE.replace('"int8"\nruntime = "onnxruntime"', '"litert-int8"\nruntime = "litert"', 1)
LIMITS = """
[budgets]
drop = { overall = 20.0 }
latency_ms = { p50 = 900.0 }
end_to_end_ms = { p50 = 900.0 }

[[allow]]
target = "host"
op = "ReduceMean"
reason = "ONNX Runtime has no int8 ReduceMean"
"""


@pytest.fixture(scope="session")
def lab(folder: Path, board_a: VirtualBoard, board_b: VirtualBoard) -> Path:
    return bench.write_lab(folder / "lab.toml", [board_a, board_b])


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    return new_gate(tmp_path_factory.getbasetemp(), "lab-runs")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Path:
    """The shipped model for both runtimes, on the clips of two speakers."""
    folder = tmp_path_factory.mktemp("small") / "house"
    house = make_house(folder, accents=("de",), speakers=2, conditions=("clean",), recipes=RECIPES, limits=LIMITS)
    shutil.copyfile(SHIPPED / "model.tflite", house / "models" / "small" / "model.tflite")
    edit(
        house / "models" / "small" / "model.toml",
        'model = "model.onnx"',
        'model = "model.onnx"\ntflite = "model.tflite"',
    )
    accept_golden(house, gate.cache, gate.work())
    return house


def test_two_runs_on_two_boards_agree(
    gate: Gate, small: Path, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(houses, "SECONDS", 500)
    p50: list[dict[tuple[str, str], float]] = []
    for _ in range(2):
        run = gate(small, "-m", "host", f"--lab={lab}", "--inconclusive=skip", "--rounds=64")
        assert run.code == 0, run.output
        rows = [row for row in run.rows if row["gate"] == "latency"]
        assert {row["evidence"] for row in rows} == {"emulator"}
        assert {row["source"] for row in rows} == {f"virtual-{x} (host, ssh, virtual)" for x in "ab"}
        assert {row["outcome"] for row in rows} == {"PASS"}
        beside = {build: {time.what: time for time in times} for (_, build), times in read(run.folder).items()}
        assert beside["host/litert-int8"][OWN].ms, beside  # by LiteRT's own benchmark, on the board
        assert beside["host/litert-int8"][OWN].evidence == "emulator"
        assert "brings no benchmark" in beside["host/int8"][OWN].source
        assert "over inference" in run.output
        p50.append({(row["recipe"], row["slice"]): row["value"] for row in rows})
    assert len(p50[0]) == 4
    with capsys.disabled():
        print("\np50 in ms of two runs:")
        for build, first in sorted(p50[0].items()):
            print(f"  {build[0]:12} {build[1]:16} {first:9.4f} {p50[1][build]:9.4f}")
    for build, first in p50[0].items():
        assert p50[1][build] == pytest.approx(first, rel=0.01), build


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite"])
def test_outputs_are_the_hosts(name: str, lab: Path) -> None:
    model = artifact(SHIPPED / name)
    windows = np.random.default_rng(7).standard_normal((4, 49, 40)).astype(np.float32)
    here = LocalBoard().run(model, windows, print)
    with bench.opened(lab, "virtual-a") as board:
        there = board.run(model, windows, print)
    np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-3)
    assert here.std() > 0.1  # else equality would say nothing


@pytest.mark.usefixtures("brief")
def test_five_percent_is_seen_and_nothing_is_not(made: Bench, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seeded on one board, unchanged on the other, each 20 times."""
    slow = artifact(_slower(made, lab))

    def repeated(name: str, ours: bench.Artifact) -> list[Row]:
        with bench.opened(lab, name) as board:
            return [made.judge(board, ours) for _ in range(REPEATS)]

    with ThreadPoolExecutor(2) as pool:
        seeded, unchanged = pool.map(repeated, ("virtual-a", "virtual-b"), (slow, made.ours))
    with capsys.disabled():
        for what, rows in (("seeded 5%", seeded), ("unchanged", unchanged)):
            values = [row.value or 0.0 for row in rows]
            outcomes = sorted({row.outcome.value for row in rows})
            print(
                f"\n{what}: {min(values):.4f} to {max(values):.4f} times, {', '.join(outcomes)}, n={len(rows)}", end=""
            )
    assert [row.outcome for row in seeded] == [Outcome.FAIL] * REPEATS
    assert [row.outcome for row in unchanged] == [Outcome.PASS] * REPEATS
    assert all(1.045 < (row.value or 0) < 1.06 for row in seeded), [row.value for row in seeded]


def _slower(made: Bench, lab: Path) -> Path:
    """The model with just so much more to do that it takes 5% longer, by one look at what a burden costs."""
    trial = artifact(bench.burdened_model(made.ours.file, made.folder / "trial.onnx", 10))
    with bench.opened(lab, "virtual-a") as board:
        each = ((made.judge(board, trial).value or 0.0) - 1) / 10
    assert each > 0
    return bench.burdened_model(made.ours.file, made.folder / "slower.onnx", round(0.05 / each))


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("cause", ["load", "throttle"])
def test_a_loaded_board_is_throttled_and_no_model_is_slow(
    cause: str, made: Bench, lab: Path, board_a: VirtualBoard, capsys: pytest.CaptureFixture[str]
) -> None:
    strike, heal = (board_a.load, board_a.unload) if cause == "load" else (board_a.throttle, board_a.cool)
    trial = artifact(bench.burdened_model(made.ours.file, made.folder / "throttled.onnx", 10))
    with bench.opened(lab, "virtual-a") as board:
        strike()
        try:
            row = made.judge(board, trial)
        finally:
            heal()
        after = made.judge(board)
    with capsys.disabled():
        print(f"\n{cause}: {row.detail}", end="")
    assert row.outcome is Outcome.INCONCLUSIVE
    assert "throttled" in row.detail
    assert "other processes held the CPU" in row.detail
    assert after.outcome is Outcome.PASS


def test_boards_are_emulators(lab: Path) -> None:
    with bench.opened(lab, "virtual-b") as board:
        assert isinstance(board, RemoteBoard)
        assert board.evidence.value == "emulator"
