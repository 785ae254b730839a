"""Seeded faults of a spoken command model turn the gate red and are named; the house they were put into is green."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.house import CHECKOUT, Gate, GateRun, accept_golden, edit, read_manifest, write_manifest

SHIPPED = CHECKOUT / "models" / "commands_ctc"
CORPUS = CHECKOUT / "corpora" / "phrases"
ACCENTS = ("de", "en-gb")
SUITES = ("suites/test_accuracy.py", "suites/test_command.py", "suites/test_golden.py", "-m", "host")
LIMITS = """
[[recipe]]
target = "host"
name = "int8"
runtime = "onnxruntime"
precision = "int8"

[[floor]]
metric = "accuracy"
min = 70.0

[budgets]
drop = { overall = 6.0 }
sqnr = { overall = 15.0 }

[budgets.command]
wer = { overall = 40.0 }
wer_rise = { overall = 9.0 }
"""


def make_house(folder: Path) -> Path:
    """The shipped model, and what two accents say in quiet."""
    rows = [row for row in read_manifest(CORPUS) if row["accent"] in ACCENTS]
    corpus, model = folder / "corpora" / "phrases", folder / "models" / "spoken"
    write_manifest(corpus, rows)
    shutil.copyfile(CORPUS / "corpus.toml", corpus / "corpus.toml")
    for row in rows:
        clip = corpus / row["path"]
        clip.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CORPUS / row["path"], clip)
    model.mkdir(parents=True)
    for name in ("model.onnx", "grammar.toml"):
        shutil.copyfile(SHIPPED / name, model / name)
    head = (SHIPPED / "model.toml").read_text(encoding="utf-8").split("[[recipe]]")[0]
    (model / "model.toml").write_text(head + LIMITS, encoding="utf-8")
    edit(model / "model.toml", 'name = "commands_ctc"', 'name = "spoken"')
    edit(model / "model.toml", 'unseen_accents = ["ja", "sv"]\n', "")
    edit(model / "model.toml", 'conditions = ["clean", "noise-10db", "room-large", "device"]', 'conditions = ["clean"]')
    return folder


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Path:
    house = make_house(tmp_path_factory.mktemp("spoken") / "house")
    accept_golden(house, gate.cache, gate.work())
    return house


def spoilt(spoken: Path, folder: Path, labels: list[str], golden: bool = False) -> Path:
    """A copy that lists other labels; without golden, as of a candidate that was never accepted."""
    house = Path(shutil.copytree(spoken, folder / "house"))
    toml = house / "models" / "spoken" / "model.toml"
    before, _, rest = toml.read_text(encoding="utf-8").partition("labels = [")
    toml.write_text(f"{before}labels = {json.dumps(labels)}{rest.partition(']')[2]}", encoding="utf-8")
    if not golden:
        shutil.rmtree(house / "golden")
    return house


def labels_of() -> list[str]:
    return ["<blank>", " ", *"abcdefghijklmnopqrstuvwxyz"]


def test_the_healthy_house_is_green(gate: Gate, spoken: Path) -> None:
    run = gate(spoken, *SUITES)
    assert run.code == 0, run.output
    assert {row["outcome"] for row in run.rows} == {"PASS"}
    assert {"accuracy", "wer", "wer_rise", "sqnr", "score", "sanity"} <= {row["gate"] for row in run.rows}


def test_a_wrong_blank_index_is_red_and_named(gate: Gate, spoken: Path, tmp_path: Path) -> None:
    labels = labels_of()
    labels[0], labels[-1] = labels[-1], labels[0]
    run = gate(spoilt(spoken, tmp_path, labels), *SUITES, "--golden=new")
    _red(run, "CTC blank index wrong: output 0 is the blank, not output 27")


def test_labels_shifted_by_one_are_red_and_named(gate: Gate, spoken: Path, tmp_path: Path) -> None:
    blank, *letters = labels_of()
    run = gate(spoilt(spoken, tmp_path, [blank, *letters[1:], letters[0]]), *SUITES, "--golden=new")
    _red(run, "labels shifted by one")


def test_labels_that_golden_does_not_know_are_red_before_anything_is_judged(
    gate: Gate, spoken: Path, tmp_path: Path
) -> None:
    blank, *letters = labels_of()
    run = gate(spoilt(spoken, tmp_path, [*letters, blank], golden=True), *SUITES)
    assert run.code != 0
    assert "its labels are <blank>" in run.output


def _red(run: GateRun, told: str) -> None:
    assert run.code != 0
    assert run.red("sanity") == {"overall"}
    assert told in run.row("sanity")["detail"]
    assert run.red("wer") == {"overall"}
