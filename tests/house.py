"""Small houses for whole gate runs: the shipped model, a part of its corpus, limits that part can decide.

Runs are real: pytest in a process of its own, from the checkout. They share one cache, so that most only judge.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.cache import Cache
from harness.candidate import find_candidates
from harness.run import Run
from tests.gate_process import kill, run_pytest, start_pytest

CHECKOUT = Path(__file__).parents[1]
SHIPPED = CHECKOUT / "models" / "commands"
CORPUS = CHECKOUT / "corpora" / "commands"
COMPUTER = CHECKOUT / "models" / "computer"
ACCENTS = ("de", "en-gb-x-rp", "sv")
SPEAKERS = 4  # of each accent and split
SECONDS = 300
LOOK_S = 0.003
OURS = ("CI", "PYTEST_", "VOXGATE_D", "TOX_")  # what an outer run must not leave to an inner one

RECIPE = '\n[[recipe]]\ntarget = "host"\nname = "int8"\nruntime = "onnxruntime"\nprecision = "int8"\n'
RK3588 = '\n[[recipe]]\ntarget = "rk3588"\nname = "w8a8"\nprecision = "int8"\n'
HTP = """
[[recipe]]
target = "htp"
name = "a8w8"
precision = "int8"

[budgets.for.htp]
parity = 0.1
"""
LIMITS = """
[[floor]]
metric = "recall"
min = 88.0

[budgets]
drop = { overall = 4.0, condition = 5.0, cell = 20.0 }
flips = { overall = 8.0 }
sqnr = { overall = 15.0 }
file_kib = 128

[[allow]]
target = "host"
op = "ReduceMean"
reason = "ONNX Runtime has no int8 ReduceMean"
"""

Row = dict[str, str]


def make_house(
    folder: Path,
    *,
    accents: Iterable[str] = ACCENTS,
    speakers: int = SPEAKERS,
    conditions: Iterable[str] = ("clean", "noise-20db"),
    recipes: str = RECIPE,
    limits: str = LIMITS,
    keep: Callable[[Row], bool] = lambda row: True,
) -> Path:
    """A house of one candidate, ``small``, and one corpus, ``few``. ``keep`` chooses among the manifest's rows."""
    rows = [row for row in _some(accents, speakers) if keep(row)]
    corpus = folder / "corpora" / "few"
    write_manifest(corpus, rows)
    (corpus / "corpus.toml").write_text(CORPUS.joinpath("corpus.toml").read_text())
    edit(corpus / "corpus.toml", 'name = "commands"', 'name = "few"')
    for row in rows:
        clip = corpus / row["path"]
        clip.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CORPUS / row["path"], clip)
    model = folder / "models" / "small"
    model.mkdir(parents=True)
    shutil.copyfile(SHIPPED / "model.onnx", model / "model.onnx")
    head = (SHIPPED / "model.toml").read_text().split("[[recipe]]")[0]
    (model / "model.toml").write_text(head + recipes + limits)
    edit(model / "model.toml", 'name = "commands"', 'name = "small"')
    edit(model / "model.toml", 'tflite = "model.tflite"\n', "")
    edit(model / "model.toml", 'corpus = "commands"', f'corpus = "few"\nconditions = {json.dumps(list(conditions))}')
    return folder


def make_listening_house(folder: Path, streams: str, recipes: str = RECIPE) -> Path:
    """A house of one streaming candidate, ``own``, over the corpora of the checkout."""
    (folder / "corpora").symlink_to(CHECKOUT / "corpora", target_is_directory=True)
    model = folder / "models" / "own"
    model.mkdir(parents=True)
    for name in ("model.onnx", "whole.onnx"):
        shutil.copyfile(COMPUTER / name, model / name)
    head = (COMPUTER / "model.toml").read_text().split("[[recipe]]")[0]
    (model / "model.toml").write_text(head + recipes + streams)
    edit(model / "model.toml", 'name = "computer"', 'name = "own"')
    edit(model / "model.toml", 'tflite = "model.tflite"\n', "")
    return folder


def _some(accents: Iterable[str], speakers: int) -> list[Row]:
    """The first speakers of each accent and split, with all their clips."""
    rows = read_manifest(CORPUS)
    chosen: list[Row] = []
    for accent in accents:
        for split in ("calibration", "test"):
            own = [row for row in rows if (row["accent"], row["split"]) == (accent, split)]
            named = list(dict.fromkeys(row["speaker"] for row in own))[:speakers]
            chosen += [row for row in own if row["speaker"] in named]
    return chosen


def read_manifest(corpus: Path) -> list[Row]:
    head, *lines = (corpus / "manifest.tsv").read_text(encoding="utf-8").splitlines()
    return [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]


def write_manifest(corpus: Path, rows: list[Row]) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    (corpus / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} does not hold {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def add_recipe(house: Path, recipe: str) -> None:
    """One more ``[[recipe]]`` for the candidate of a house, before the first."""
    edit(house / "models" / "small" / "model.toml", "[[recipe]]", f"{recipe.lstrip()}\n[[recipe]]")


@dataclass(frozen=True)
class GateRun:
    """One finished run: exit status, all it printed, and its work folder."""

    code: int
    output: str
    work: Path

    @cached_property
    def folder(self) -> Path:
        """Where its records are."""
        return (self.work / "runs" / "latest").resolve(strict=True)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Every row it judged, from the file that reports are made of."""
        return [json.loads(line) for line in (self.folder / "rows.jsonl").read_text().splitlines()]

    def row(self, gate: str, part: str = "overall") -> dict[str, Any]:
        found = [row for row in self.rows if row["gate"] == gate and row["slice"] == part]
        assert len(found) == 1, f"{len(found)} rows of {gate}, {part}; {sorted({row['gate'] for row in self.rows})}"
        return found[0]

    def red(self, gate: str) -> set[str]:
        """The slices of one gate that were shown to break their limit."""
        return {row["slice"] for row in self.rows if row["gate"] == gate and row["outcome"] == "FAIL"}

    def counts(self) -> dict[str, int]:
        """Tests by outcome, from pytest's last line."""
        last = re.findall(r"(\d+) (passed|failed|skipped|errors?|deselected|rerun)", self.output.splitlines()[-1])
        return {word.rstrip("s") if word.startswith("error") else word: int(count) for count, word in last}


class Gate:
    """Runs the checkout's suites. Every run has a work folder of its own over one cache."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.root = root
        self.cache = cache
        self.count = 0

    def work(self) -> Path:
        """A fresh work folder over the session's cache."""
        self.count += 1
        work = self.root / f"work-{self.count}"
        work.mkdir(parents=True)
        self.cache.mkdir(parents=True, exist_ok=True)
        (work / "cache").symlink_to(self.cache, target_is_directory=True)
        return work

    def __call__(
        self,
        house: Path | None,
        *arguments: str,
        work: Path | None = None,
        cwd: Path = CHECKOUT,
        environment: Mapping[str, str] | None = None,
    ) -> GateRun:
        """``pytest --candidates HOUSE --work WORK *arguments`` in the checkout."""
        work = work or self.work()
        output = self.root / f"output-{work.name}.txt"
        code = run_pytest(_command(house, work, arguments), cwd, self.environment(environment), output, SECONDS)
        return GateRun(code, output.read_text(encoding="utf-8", errors="replace"), work)

    def killed(self, house: Path, *arguments: str, work: Path, when: Callable[[], bool]) -> bool:
        """Start the same, and kill all of it ``when`` that says so; False where it had ended by then."""
        output = self.root / f"killed-{work.name}.txt"
        process = start_pytest(_command(house, work, arguments), CHECKOUT, self.environment(), output)
        while process.exitcode is None and not when():
            process.join(LOOK_S)
        ended = process.exitcode is not None
        kill(process)
        return not ended

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {**kept, "COLUMNS": "200", **(more or {})}


def _command(house: Path | None, work: Path, arguments: Iterable[str]) -> list[str]:
    named = ["--candidates", str(house)] if house else []
    plain = ["-p", "no:cacheprovider", "--color=no", f"--work={work}", "--diagnose=0"]  # the last one counts
    return [*named, *plain, *arguments]


def new_gate(root: Path, name: str) -> Gate:
    """``root`` is pytest's base folder of this session: under xdist all workers share the cache beside it."""
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    return Gate(root / name, shared / "voxgate-cache")


def accept_golden(house: Path, cache: Path, records: Path) -> None:
    """Write the golden outputs of a house's candidates, as ``--golden=new`` does."""
    run = Run(folder=records, cache=Cache(cache), golden_mode="new")
    for candidate in find_candidates([house]):
        run.golden(candidate)
