"""SIGKILL at random moments of a cold gate: what was finished stays, nothing is torn, and the next run goes on.

pytest -c tests/pytest.toml tests/robustness --kills 20 -s
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.cache import digest
from harness.golden import read as read_golden
from harness.report.records import read as read_records
from harness.report.scorecard import scorecard
from tests.house import Gate, GateRun, make_house

pytestmark = pytest.mark.xdist_group("killed")
SEED = 7
ASKED = ("-m", "host", "--golden=new")
JITTER_S = 0.05  # after the file that begins a moment: within what is done next


@dataclass
class Undisturbed:
    """A run that nobody killed: what it judged and made."""

    house: Path
    run: GateRun
    made: dict[str, str]
    golden: dict[str, str]
    told: list[str] = field(default_factory=list)  # of each kill, one line


def files(folder: Path) -> dict[str, str]:
    """Digest by name of every file below, without locks, what is still being made, and what tells of the folder."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: digest(path)
        for name, path in sorted(found.items())
        if not name.endswith((".lock", "request.json"))
        and not name.startswith("checks/")  # named by the time of the clips' files
        and not any(part.startswith(".") for part in name.split("/"))
    }


def progress(*folders: Path) -> int:
    """How many files a run has made so far, whole or not."""
    return sum(1 for folder in folders for _, _, names in os.walk(folder) for _ in names)


def judged(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run; a last line that is torn is none."""
    path = folder / "rows.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.is_file() else []
    return verdicts(json.loads(line) for line in lines)


def verdicts(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what the golden gate says of who wrote the files: this run, or the one that was killed."""
    return [row | {"detail": ""} if row["gate"] == "golden" else row for row in rows]


def kept(history: Path, run: str) -> int:
    """How many figures the store has of a run; it is whole."""
    if not history.is_file():
        return 0
    with closing(sqlite3.connect(history)) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not store.execute("PRAGMA user_version").fetchone()[0]:
            return 0  # killed before its tables were made
        return int(store.execute("SELECT count(*) FROM figures WHERE run = ?", (run,)).fetchone()[0])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    root = tmp_path_factory.mktemp("undisturbed")
    house = make_house(root / "template")
    own = Path(shutil.copytree(house, root / "house"))
    run = Gate(root, root / "cache")(own, *ASKED)
    assert run.code == 0, run.output
    found = Undisturbed(house, run, files(root / "cache"), files(own / "golden"))
    yield found
    print(f"\n{len(found.told)} kills of a gate of {len(run.rows)} rows, seed {SEED}:")
    print("\n".join(found.told))


def test_a_killed_gate_loses_nothing_and_goes_on(undisturbed: Undisturbed, moment: str, tmp_path: Path) -> None:
    number, _, count = moment.partition("-of-")
    chance = random.Random(SEED + int(number))
    share = (int(number) - 1 + chance.random()) / int(count)  # one in each part of the run
    done = undisturbed.run.work.parent
    after = int(share * (progress(done / "cache", undisturbed.run.work, done / "house" / "golden") - 1))
    jitter = chance.uniform(0, JITTER_S)
    root = tmp_path
    house, gate = Path(shutil.copytree(undisturbed.house, root / "house")), Gate(root, root / "cache")
    work = gate.work()

    def reached() -> bool:
        if progress(root / "cache", work, house / "golden") < after:
            return False
        time.sleep(jitter)
        return True

    assert gate.killed(house, *ASKED, work=work, when=reached), "it had ended"

    whole = verdicts(undisturbed.run.rows)
    runs = sorted(path for path in (work / "runs").glob("[!.]*") if not path.is_symlink()) if work.exists() else []
    rows = [row for folder in runs for row in judged(folder)]
    assert all(row in whole for row in rows), "a finished result is not that of the undisturbed run"
    stored = sum(kept(work / "history.sqlite", folder.name) for folder in runs)
    made, golden = files(root / "cache"), files(house / "golden")
    assert made.items() <= undisturbed.made.items(), "a cache entry is torn"
    assert golden.items() <= undisturbed.golden.items(), "a golden file is torn"
    for name in golden:
        read_golden(house / "golden" / name)
    if rows:
        scorecard(read_records(work))
    times = {name: (root / "cache" / name).stat().st_mtime_ns for name in made}

    again = gate(house, *ASKED, work=work)
    assert (again.code, again.counts()) == (0, undisturbed.run.counts()), again.output
    assert verdicts(again.rows) == whole
    assert {name: (root / "cache" / name).stat().st_mtime_ns for name in made} == times, "finished work was made anew"
    assert files(root / "cache") == undisturbed.made
    assert files(house / "golden") == undisturbed.golden
    left = [path.name for path in (root / "cache").glob("*/.*")] + [path.name for path in house.rglob("*.part")]
    assert left == []
    assert [row for folder in runs for row in judged(folder)] == rows, "the killed run's results are gone"
    assert kept(work / "history.sqlite", again.folder.name) == len(whole)
    assert sum(kept(work / "history.sqlite", folder.name) for folder in runs) == stored
    assert len({(row["gate"], row["screened"]) for row in rows[stored:]}) <= 1, "the history lacks more than one test"
    undisturbed.told.append(
        f"after {after:3} files and {1e3 * jitter:2.0f} ms: "
        f"{len(made):2} of {len(undisturbed.made)} cached files, {len(golden)} of "
        f"{len(undisturbed.golden)} golden, {len(rows):2} rows on disk, {stored:2} in the history; all kept"
    )
