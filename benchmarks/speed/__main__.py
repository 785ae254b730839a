"""Runs all of it, each part in a process of its own, and writes docs/speed.md."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import houses, page
from harness.audio import pool
from harness.audio.conditions import CONDITIONS
from harness.cache import Cache
from harness.candidate import find_candidates
from harness.gates import accuracy
from harness.gates.base import Build
from harness.row import Row
from harness.run import Run
from harness.score.keyword import compare

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
GROWN = ("clean",)  # the condition of the houses that grow
LOOPED = 1000  # clips at most that a loop is timed on: each takes as long as the last
METRICS = ("accuracy", "flips", "sqnr")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument(
        "--compared", type=int, nargs="+", default=[1000], help="clips of the gates that loops are held against"
    )
    parser.add_argument("--usual", type=int, default=60, help="clips of the loop that simulates a room for each")
    parser.add_argument("--clips", type=int, nargs="*", default=[1000, 10_000], help="how many, as they grow")
    parser.add_argument("--folder", type=Path, help="keeps houses and figures; run again, it goes on")
    parser.add_argument("--page", type=Path, default=houses.CHECKOUT / "docs" / "speed.md")
    options = parser.parse_args()
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="voxgate-speed-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    kept(folder, "compiled", lambda: compiled(folder))
    found: dict[str, Any] = {"processors": os.cpu_count()}
    found["compared"] = [
        kept(folder, f"compared-{count}", lambda count=count: compared(folder, count, options.usual))
        for count in options.compared
    ]
    found["grown"] = [
        kept(folder, f"grown-{count}", lambda count=count: grown(folder, count)) for count in options.clips
    ]
    found["latency"] = kept(folder, "latency", lambda: child(folder, "latency", folder / "times.json"))
    options.page.write_text(page.text(found), encoding="utf-8")
    if options.folder is None:
        shutil.rmtree(folder)


def kept(folder: Path, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured in this folder before, or is now: a run that was stopped goes on."""
    path = folder / f"{name}.json"
    if not path.is_file():
        path.write_text(json.dumps(measure()), encoding="utf-8")
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def child(folder: Path, module: str, result: Path, *arguments: object) -> dict[str, Any]:
    """What ``python -m benchmarks.speed.MODULE *arguments RESULT`` tells, and the load it met and left.

    Python's bytecode is kept, as an installed package's is, wherever this environment lies.
    """
    words = [sys.executable, "-m", f"benchmarks.speed.{module}", *map(str, arguments), str(result)]
    own = {**os.environ, **ONE_THREAD, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    before = os.getloadavg()[0]
    subprocess.run(words, cwd=houses.CHECKOUT, env=own, check=True)
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    found["load"] = [before, os.getloadavg()[0]]
    print(module, *arguments[1:3], {key: value for key, value in found.items() if key != "rows"}, flush=True)
    return found


def compiled(folder: Path) -> dict[str, Any]:
    """A small gate that nobody times: every module is compiled, and every file was read."""
    own = folder / "small"
    house = houses.make(own / "house", pool.ENOUGH, list(CONDITIONS))
    gate = child(folder, "gate", own / "small.json", house, own / "work")
    child(folder, "hand", own / "hand.json", house, "same", 10, own / "work")
    shutil.rmtree(own)
    return {"seconds": gate["seconds"]}


def compared(folder: Path, clips: int, usual: int) -> dict[str, Any]:
    """The gate and both loops on one house, one after another."""
    own = folder / f"compared-{clips}"
    house, work = houses.make(own / "house", clips, list(CONDITIONS)), own / "work"
    found = {"gate": child(folder, "gate", own / "cold.json", house, work)}
    looped = min(clips, LOOPED)
    found["same"] = child(folder, "hand", own / "same.json", house, "same", looped, work)
    found["usual"] = child(folder, "hand", own / "usual.json", house, "usual", usual, work)
    found["warm"] = child(folder, "gate", own / "warm.json", house, work)
    if looped == clips:
        found["identical"] = by_hand(house, work, own / "same.npy", found["gate"]["rows"])
    found["warm_identical"] = found["warm"]["rows"] == found["gate"]["rows"]
    shutil.rmtree(own)
    return found | {"clips": clips}


def by_hand(house: Path, work: Path, outputs: Path, rows: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """How many of the gate's rows the loop's outputs give to the last digit, of how many."""
    (candidate,) = find_candidates([house])
    run = Run(folder=work / "by-hand", cache=Cache(work / "cache"))
    recipe, names = candidate.recipes[0], run.conditions(candidate)
    logits = np.load(outputs, allow_pickle=False)
    golden, tested = ({name: logits[i, j] for i, name in enumerate(names)} for j in range(2))
    table = compare(run.clips(candidate), candidate.labels, candidate.head.background, golden, tested)
    build = Build(candidate, recipe, "host")
    margins = run.margins(candidate)
    ours = [
        row for metric in ("drop", "flips", "sqnr") for row in accuracy.judge(build, table, metric, margins).values()
    ]
    ours += accuracy.judge(build, table, "drop", run.cells(candidate)).values()
    theirs = {Row.from_json(row).key: row for row in rows if row["gate"] in METRICS}
    same = sum(theirs[row.key] == row.as_json() for row in ours)
    return same, len(theirs)


def grown(folder: Path, clips: int) -> dict[str, Any]:
    own = folder / f"grown-{clips}"
    house = houses.make(own / "house", clips, GROWN)
    found = child(folder, "gate", own / "cold.json", house, own / "work")
    shutil.rmtree(own)
    return {"clips": clips, **found}


if __name__ == "__main__":
    main()
