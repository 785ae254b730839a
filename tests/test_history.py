"""The store of every run: what goes in comes out, whoever writes beside, and whenever a writer is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InfraError
from harness.history import VERSION, History
from harness.row import Row
from harness.verdict import Outcome
from tests.report.rows import row, run

CHECKOUT = Path(__file__).parents[1]
ROWS_EACH = 5
WRITER = """
import sys
from pathlib import Path
from harness.history import History
from tests.report.rows import row
store, name, count = History(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
store.begin(name, f"2026-01-01T00:00:{name}", "pytest", "0.1.0")
for i in range(count):
    store.add(name, [row("accuracy", f"slice-{j}", float(i)) for j in range(5)])
    print(i, flush=True)
store.end(name, 0, {("commands", "rk3588/w8a8"): ("key", None)})
"""


def writer(store: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(store), name, str(count)]
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)


def kept(store: Path) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for point in History(store).points("commands", 100):
        found.setdefault(point.run, []).append(point.row)
    return found


def check(store: Path) -> str:
    with sqlite3.connect(store) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def test_rows_come_back_as_they_were_judged(tmp_path: Path) -> None:
    store = History(tmp_path / "history.sqlite")
    store.begin("a", "2026-01-01", "pytest -m host", "0.1.0")
    store.add("a", run())
    store.end("a", 1, {("commands", "rk3588/w8a8"): ("key", "c0ffee")})
    points = store.points("commands", 9)
    assert [point.row for point in points] == run()
    assert {point.exitstatus for point in points} == {1}
    assert {point.artifact for point in points if point.row.build == "rk3588/w8a8"} == {"key"}
    assert {point.artifact for point in points if point.row.build != "rk3588/w8a8"} == {""}
    assert store.candidates() == ["commands"]


@settings(deadline=None, max_examples=25)
@given(
    st.text(),
    st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    st.sampled_from(list(Outcome)),
    st.booleans(),
)
def test_any_row_comes_back(
    tmp_path_factory: pytest.TempPathFactory, part: str, value: float | None, outcome: Outcome, screened: bool
) -> None:
    store = History(tmp_path_factory.mktemp("any") / "history.sqlite")
    one = row("accuracy", part, value, outcome=outcome, screened=screened)
    store.begin("a", "2026", "", "")
    store.add("a", [one])
    assert [point.row for point in store.points("commands", 1)] == [one]


def test_only_the_last_runs_are_asked_for_oldest_first(tmp_path: Path) -> None:
    store = History(tmp_path / "history.sqlite")
    for i in range(5):
        store.begin(f"r{i}", f"2026-01-0{i + 1}", "", "")
        store.add(f"r{i}", [row("accuracy", "overall", float(i))])
    assert [point.row.value for point in store.points("commands", 3)] == [2.0, 3.0, 4.0]


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    store = tmp_path / "history.sqlite"
    writers = [writer(store, name, 60) for name in ("01", "02", "03")]
    assert [each.wait(120) for each in writers] == [0, 0, 0]
    found = kept(store)
    assert {name: len(rows) for name, rows in found.items()} == dict.fromkeys(("01", "02", "03"), 60 * ROWS_EACH)
    assert [row.value for row in found["02"][::ROWS_EACH]] == [float(i) for i in range(60)]


def test_a_killed_writer_leaves_all_it_had_finished(tmp_path: Path) -> None:
    store = tmp_path / "history.sqlite"
    for i, pause in enumerate((0.0, 0.003, 0.011, 0.029)):
        name = f"{i:02}"
        process = writer(store, name, 1_000_000)
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(5 + 3 * i)]
        time.sleep(pause)
        os.kill(process.pid, signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().split("\n")[:-1] if line]
        process.wait(10)
        rows = kept(store)[name]
        assert len(rows) % ROWS_EACH == 0
        assert len(rows) >= ROWS_EACH * (told[-1] + 1)
        assert check(store) == "ok"
    History(store).begin("later", "2027", "", "")
    assert {point.exitstatus for point in History(store).points("commands", 9)} == {None}


def test_what_allure_keeps_is_one_line_a_run(tmp_path: Path) -> None:
    store = History(tmp_path / "history.sqlite")
    for name in ("a", "b", "c", "b"):
        store.keep_allure(name, f"line {name}")
    assert store.allure("", 9) == ["line a", "line b", "line c"]
    assert store.allure("c", 1) == ["line b"]


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(200)])
def test_a_damaged_store_names_the_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history.sqlite"
    path.write_bytes(content)
    with pytest.raises(InfraError, match="--history FILE, or move this one"):
        History(path).begin("a", "2026", "", "")
    with pytest.raises(InfraError, match="cannot be used"):
        History(path).points("commands", 9)
    assert path.read_bytes() == content


def test_a_later_voxgate_s_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    History(path).begin("a", "2026", "", "")
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(InfraError, match="made by a later voxgate"):
        History(path).begin("b", "2026", "", "")


def test_a_store_of_strange_values_is_a_plain_fault(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    store = History(path)
    store.begin("a", "2026", "", "")
    store.add("a", [row("accuracy", "overall")])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE figures SET outcome = 'MAYBE', value = 'much'")
    with pytest.raises(InfraError, match="cannot be used"):
        store.points("commands", 9)


def test_without_a_store_there_is_no_history_and_none_is_made(tmp_path: Path) -> None:
    assert History(tmp_path / "history.sqlite").points("commands", 9) == []
    assert list(tmp_path.iterdir()) == []
