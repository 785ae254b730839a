"""Every judging run, kept: an SQLite store that several runs may write at once and that a kill leaves whole.

Rows are stored as they are judged, so that a run which is stopped leaves what it had finished. The store is in
WAL mode, which needs a local disk: on a network share two machines could damage it (sqlite.org/wal.html).
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.errors import InfraError
from harness.row import Row

NAME = "history.sqlite"
VERSION = 1  # of the tables
PATIENCE_S = 60.0  # for another run that is writing
TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, began TEXT NOT NULL, command TEXT, voxgate TEXT, exitstatus INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS builds (
    run TEXT NOT NULL, candidate TEXT NOT NULL, build TEXT NOT NULL, artifact TEXT, house_commit TEXT,
    PRIMARY KEY (run, candidate, build)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS figures (
    run TEXT NOT NULL, {columns}
);
CREATE INDEX IF NOT EXISTS of_run ON figures (run, candidate);
CREATE TABLE IF NOT EXISTS allure (run TEXT PRIMARY KEY, line TEXT NOT NULL) WITHOUT ROWID;
"""
COLUMNS = tuple(f'"{field.name}"' for field in fields(Row))  # quoted: limit is a word of SQL
POINTS = f"""
SELECT f.run, began, exitstatus, coalesce(artifact, ''), {", ".join(f"f.{name}" for name in COLUMNS)}
FROM figures AS f JOIN runs USING (run)
LEFT JOIN builds AS b ON (b.run, b.candidate, b.build) = (f.run, f.candidate, f.target || '/' || f.recipe)
WHERE f.candidate = ? AND f.run IN (
    SELECT run FROM runs WHERE EXISTS (SELECT 1 FROM figures AS g WHERE g.run = runs.run AND g.candidate = ?)
    ORDER BY began DESC, run DESC LIMIT ?
)
ORDER BY began, f.run, f.rowid
"""  # noqa: S608 (names of our own)


@dataclass(frozen=True, slots=True)
class Point:
    """One figure of one run. ``artifact`` is the key of what was judged; a run that was killed has no status."""

    run: str
    began: str
    exitstatus: int | None
    artifact: str
    row: Row


class History:
    """The store at ``path``, made when it is first written. Every method raises InfraError where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, run: str, began: str, command: str, voxgate: str) -> None:
        """A run that has begun to judge; beginning it again changes nothing."""
        with self._writing() as store:
            store.execute("INSERT OR IGNORE INTO runs VALUES (?, ?, ?, ?, NULL)", (run, began, command, voxgate))

    def add(self, run: str, rows: Iterable[Row]) -> None:
        values = [(run, *_plain(row)) for row in rows]
        with self._writing() as store:
            store.executemany(f"INSERT INTO figures VALUES ({_marks(len(COLUMNS) + 1)})", values)  # noqa: S608

    def end(self, run: str, exitstatus: int, builds: Mapping[tuple[str, str], tuple[str | None, str | None]]) -> None:
        """Its exit status, and artifact key and commit of each ``(candidate, build)``."""
        with self._writing() as store:
            store.execute("UPDATE runs SET exitstatus = ? WHERE run = ?", (exitstatus, run))
            lines = [(run, *build, *made) for build, made in builds.items()]
            store.executemany("INSERT OR REPLACE INTO builds VALUES (?, ?, ?, ?, ?)", lines)

    def keep_allure(self, run: str, line: str) -> None:
        """The line Allure keeps of a run, in place of one it wrote before."""
        with self._writing() as store:
            store.execute("INSERT OR REPLACE INTO allure VALUES (?, ?)", (run, line))

    def allure(self, but: str, most: int) -> list[str]:
        """What Allure kept of the last runs, oldest first, without the run ``but``."""
        query = "SELECT line FROM (SELECT run, line FROM allure WHERE run != ? ORDER BY run DESC LIMIT ?) ORDER BY run"
        return [line for (line,) in self._read(query, (but, most))]

    def candidates(self) -> list[str]:
        return [name for (name,) in self._read("SELECT DISTINCT candidate FROM figures ORDER BY candidate", ())]

    def points(self, candidate: str, most: int) -> list[Point]:
        """Every figure of a candidate in its last ``most`` runs, oldest run first."""
        with self._usable():
            found = self._read(POINTS, (candidate, candidate, most))
            return [Point(each[0], each[1], each[2], each[3], _row(each[4:])) for each in found]

    def _read(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        if not self.path.is_file():
            return []
        with self._open() as store:
            return store.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as store:
            store.execute("BEGIN IMMEDIATE")  # waits for its turn here, not halfway
            yield store
            store.execute("COMMIT")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._usable():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None)) as store:
                self._prepare(store)
                store.execute("PRAGMA synchronous = NORMAL")  # whole after a kill; a power cut may cost the last rows
                yield store

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, TypeError, ValueError, AttributeError) as error:
            raise InfraError(
                f"history {self.path} cannot be used ({error}). Name another file with --history FILE, or move this "
                "one and its -wal file away: the next run starts anew."
            ) from error

    def _prepare(self, store: sqlite3.Connection) -> None:
        found = store.execute("PRAGMA user_version").fetchone()[0]
        if found == VERSION:
            return
        if found > VERSION:
            raise ValueError(f"it is of version {found}, made by a later voxgate; this one knows {VERSION}")
        with FileLock(f"{self.path}.lock", timeout=PATIENCE_S):  # the change to WAL does not wait for its turn
            store.execute("PRAGMA journal_mode = WAL")
            store.execute("BEGIN IMMEDIATE")
            for statement in TABLES.format(columns=", ".join(COLUMNS)).split(";\n"):
                store.execute(statement)
            store.execute(f"PRAGMA user_version = {VERSION}")
            store.execute("COMMIT")


def _plain(row: Row) -> tuple[Any, ...]:
    return tuple(row.as_json().values())


def _row(values: Sequence[Any]) -> Row:
    found = dict(zip((field.name for field in fields(Row)), values, strict=True))
    found["screened"] = bool(found["screened"])
    for name in ("value", "limit", "low", "high"):
        found[name] = None if found[name] is None or not math.isfinite(found[name]) else float(found[name])
    return Row.from_json(found)


def _marks(count: int) -> str:
    return ", ".join("?" * count)
