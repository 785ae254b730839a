"""Whole runs with --lab: this machine as a board behind a real OpenSSH server, and boards that cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from harness.boards.lab import Lab
from harness.boards.local import LocalBoard
from harness.cache import Cache
from harness.candidate import find_candidates
from harness.errors import InfraError
from harness.run import Run
from harness.targets.base import Artifact, Board, Evidence, Features, Logits, Progress
from tests.house import Gate, edit
from tests.loopback import Loopback, needs_sshd, serving

pytestmark = pytest.mark.xdist_group("loopback")
WIDE = "file_kib = 128\nlatency_ms = { p50 = 900.0 }\nend_to_end_ms = { p50 = 900.0 }"
NOWHERE = """
[[board]]
id = "pi-1"
targets = ["host"]
boot_s = 1
address = { user = "root", host = "127.0.0.1", port = 1 }
"""


@pytest.fixture
def timed(house: Path) -> Path:
    """A house with budgets that only time decides, wide enough for a busy machine."""
    edit(house / "models" / "small" / "model.toml", "file_kib = 128", WIDE)
    return house


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    with serving(tmp_path_factory.mktemp("loopback") / "sshd") as board:
        yield board


@needs_sshd
def test_the_figures_are_the_boards(gate: Gate, timed: Path, board: Loopback, tmp_path: Path) -> None:
    lab = board.lab(tmp_path / "lab.toml")
    chosen = ("-m", "host", "-k", "latency or sqnr or placement", "--require-board")
    run = gate(timed, *chosen, f"--lab={lab}", "--inconclusive=skip", "--rounds=64", "-rs")
    assert run.code == 0, run.output
    rows = {row["gate"]: row for row in run.rows}
    assert rows["latency"]["evidence"] == rows["sqnr"]["evidence"] == "board"
    assert rows["latency"]["source"] == "loop (host, ssh)"
    assert rows["placement"]["evidence"] == "host", "the board has no say in it"
    assert {row["outcome"] for row in run.rows if row["gate"] == "latency"} <= {"PASS", "INCONCLUSIVE"}
    assert '"vitals"' in (run.folder / "small" / "host" / "int8" / "timings.json").read_text()
    assert "board: loop (host, ssh)" in run.output
    assert str(board.address.identity) not in "".join(path.read_text() for path in run.folder.rglob("*.json"))


def test_a_quarantined_board_skips_with_its_reason_or_is_an_error(gate: Gate, timed: Path, tmp_path: Path) -> None:
    until = date.today() + timedelta(days=3)
    lab = tmp_path / "lab.toml"
    lab.write_text(f'{NOWHERE}quarantine = {{ reason = "its fan is dead", until = {until} }}\n')
    chosen = ("-m", "host", "-k", "latency or sqnr or placement", f"--lab={lab}", "-rs")
    lenient, strict = gate(timed, *chosen), gate(timed, *chosen, "--require-board")
    assert (lenient.code, strict.code) == (0, 1), lenient.output + strict.output
    assert f"pi-1 is quarantined until {until}: its fan is dead" in lenient.output
    assert {row["outcome"] for row in lenient.rows if row["gate"] == "placement"} == {"PASS"}
    assert {row["outcome"] for row in lenient.rows if row["gate"] != "placement"} == {"not measured"}
    assert strict.counts()["error"] == lenient.counts()["skipped"]


@needs_sshd
def test_a_board_that_cannot_be_reached_is_infra_and_the_rest_is_judged(
    gate: Gate, timed: Path, tmp_path: Path
) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(NOWHERE)
    run = gate(timed, "-m", "host", "-k", "latency or sqnr or placement", "--lab", str(lab))
    assert run.code == 1
    found = {(row["gate"] == "placement", row["outcome"]) for row in run.rows}
    assert found == {(True, "PASS"), (False, "INFRA")}
    assert "board pi-1 was lost while" in run.output
    assert "Traceback" not in run.output


def test_a_lab_that_is_not_there_is_a_usage_error(gate: Gate, template: Path, tmp_path: Path) -> None:
    run = gate(template, f"--lab={tmp_path / 'lab.toml'}")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert f"{tmp_path / 'lab.toml'} cannot be read: No such file" in run.output
    assert "docs/lab.md" in run.output
    assert "Traceback" not in run.output


class Fragile(LocalBoard):
    """Runs here in place of a board of a lab, and is lost after a number of calls."""

    name = "fragile"
    evidence = Evidence.BOARD
    piecewise = True

    def __init__(self, calls: int) -> None:
        self.left = calls
        self.asked: list[int] = []

    def identity(self) -> dict[str, str]:
        return {"board": self.name}

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        self.asked.append(len(features))
        if not self.left:
            raise InfraError("board fragile was lost.")
        self.left -= 1
        return super().run(artifact, features, say)


class Only(Lab):
    """A lab of one board."""

    def __init__(self, board: Board) -> None:
        super().__init__(Path("lab.toml"), ())
        self.one = board

    def board(self, target: str, build: str) -> Board:
        return self.one


def test_conditions_that_were_finished_before_a_loss_are_not_run_again(
    template: Path, tmp_path: Path, gate: Gate
) -> None:
    (candidate,) = find_candidates([template])
    recipe = candidate.recipe("host/int8")
    cache = Cache(tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    for kind in ("renditions", "features", "artifacts", "audio"):  # made before: only outputs are new
        if (gate.cache / kind).is_dir():
            (tmp_path / "cache" / kind).symlink_to(gate.cache / kind, target_is_directory=True)
    first, second = Fragile(1), Fragile(9)
    with pytest.raises(InfraError):
        Run(tmp_path / "a", cache, lab=Only(first)).outputs(candidate, recipe)
    found = Run(tmp_path / "b", cache, lab=Only(second)).outputs(candidate, recipe)
    assert (len(first.asked), len(second.asked)) == (2, 1)
    here = Run(tmp_path / "c", Cache(gate.cache)).outputs(candidate, recipe)
    for condition, logits in here.items():
        np.testing.assert_array_equal(found[condition], logits)
