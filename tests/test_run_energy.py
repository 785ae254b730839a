"""Energy of a whole build on a board over SSH: the sensor is a stand-in that follows what the board's agent does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from harness import energy
from harness.boards.lab import load
from harness.cache import Cache
from harness.candidate import find_candidates
from harness.errors import InfraError
from harness.run import Run
from tests.house import make_house
from tests.loopback import Loopback, needs_sshd, serving

pytestmark = [pytest.mark.xdist_group("loopback"), needs_sshd]
VOLTS, REST_MA, WORK_MA = 5.0, 200, 800
BLOCKS, BUSY_S = 3, 3.0


@contextmanager
def follows(loop: Loopback, sensor: Path) -> Iterator[None]:
    """Writes the current of a board that takes more while its agent is busy."""
    (sensor / "in1_input").write_text(f"{VOLTS * 1000:.0f}\n")
    (sensor / "curr1_input").write_text(f"{REST_MA}\n")
    stop = threading.Event()

    def follow() -> None:
        before: dict[int, float] = {}
        while not stop.wait(0.1):
            used = {}
            with suppress(psutil.Error):  # one that has just ended
                used = {agent.pid: sum(agent.cpu_times()[:2]) for agent in loop.agents()}
            busy = any(seconds - before.get(pid, seconds) > 0.005 for pid, seconds in used.items())
            before = used
            (sensor / "new").write_text(f"{WORK_MA if busy else REST_MA}\n")
            (sensor / "new").replace(sensor / "curr1_input")

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loopback]:
    with serving(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def run(loop: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    (tmp_path / "sensor").mkdir()
    meter = f'meter = {{ kind = "hwmon", path = "{tmp_path}/sensor" }}'
    lab = load(loop.lab(tmp_path / "lab.toml", meter))
    monkeypatch.setattr(energy, "measure", partial(energy.measure, blocks=BLOCKS, busy_s=BUSY_S, idle_s=1.2))
    with follows(loop, tmp_path / "sensor"):
        yield Run(folder=tmp_path / "records", cache=Cache(tmp_path / "cache"), lab=lab, golden_mode="new")
    lab.release()


def test_energy_of_a_build_on_a_board(run: Run, tmp_path: Path) -> None:
    (candidate,) = find_candidates([make_house(tmp_path / "house", accents=("de",), speakers=2, conditions=("clean",))])
    recipe = candidate.recipes[0]
    found = run.energy(candidate, recipe)
    each_s = BLOCKS * BUSY_S / found.inferences  # not as timed at another moment, when this machine may be busier
    assert found.mj.mean() == pytest.approx(1e3 * VOLTS * (WORK_MA - REST_MA) / 1e3 * each_s, rel=0.6)
    assert found.idle_w.mean() == pytest.approx(1.0, abs=0.4)
    assert found.busy_w == pytest.approx(4.0, abs=1.0)
    assert "hwmon" in found.source
    assert (tmp_path / "records" / candidate.name / recipe.id / "energy.json").is_file()


def test_a_board_that_was_lost_meanwhile_gives_no_energy(run: Run, loop: Loopback, tmp_path: Path) -> None:
    (candidate,) = find_candidates([make_house(tmp_path / "house", accents=("de",), speakers=2, conditions=("clean",))])
    run.artifact(candidate, candidate.recipes[0])
    threading.Timer(5.0, lambda: [agent.kill() for agent in loop.agents()]).start()
    started = time.monotonic()
    with pytest.raises(InfraError, match=r"was lost while its power was measured, and is back. Run again"):
        run.energy(candidate, candidate.recipes[0])
    assert time.monotonic() - started < 60
