"""--golden=check, new and update, golden files nobody asks for, and golden of another model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.house import Gate, edit
from tests.targets.models import ds_cnn

GOLDEN = ("-k", "golden", "-m", "host")


def test_new_writes_what_is_missing_and_passes(gate: Gate, house: Path, template: Path) -> None:
    shutil.rmtree(house / "golden")
    run = gate(house, "--golden=new", *GOLDEN)
    assert run.code == 0, run.output
    assert "clean: new, 156 renderings" in run.row("golden", "golden")["detail"]
    for written in (house / "golden" / "small").iterdir():
        assert written.read_bytes() == (template / "golden" / "small" / written.name).read_bytes()


def test_check_asks_for_missing_golden(gate: Gate, house: Path) -> None:
    (house / "golden" / "small" / "clean.safetensors").unlink()
    run = gate(house, *GOLDEN)
    assert run.code == 1
    assert "no golden outputs at" in run.output
    assert "pytest --golden=new" in run.output
    assert not (house / "golden" / "small" / "clean.safetensors").exists()


def test_a_damaged_golden_is_named(gate: Gate, house: Path) -> None:
    path = house / "golden" / "small" / "clean.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    run = gate(house, *GOLDEN)
    assert run.code == 1
    assert "clean.safetensors is damaged" in run.output
    assert "pytest --golden=update" in run.output
    assert "Traceback" not in run.output
    update = gate(house, "--golden=update", *GOLDEN)
    assert "clean: in place of a damaged file, 156 renderings" in update.row("golden", "golden")["detail"]
    assert gate(house, *GOLDEN).code == 0


def test_golden_of_another_model_judges_nothing(gate: Gate, house: Path) -> None:
    edit(house / "models" / "small" / "model.toml", "mel_bins = 40", 'kind = "mfcc"\ncepstra = 10')
    edit(house / "models" / "small" / "model.toml", 'kind = "fbank"\n', "")
    ds_cnn(house / "models" / "small" / "model.onnx", channels=16, blocks=1)
    run = gate(house, "-m", "host", "-k", "golden or drop")
    assert run.code == 1
    assert "it is the golden of another model" in run.output
    assert not [row for row in run.rows if row["outcome"] == "PASS" and row["gate"] == "accuracy"]


def test_an_update_fails_once_with_what_changed_then_passes(gate: Gate, house: Path) -> None:
    edit(house / "models" / "small" / "model.toml", "low_hz = 60.0", "low_hz = 70.0")
    first = gate(house, "--golden=update", *GOLDEN)
    assert first.code == 1
    changed = first.row("golden", "golden")["detail"]
    assert "golden outputs rewritten, review and commit them: clean: " in changed
    assert "of 156 decisions flip, logits move by up to" in changed
    assert "changed: audio" not in changed
    assert "frontend" in changed
    assert gate(house, *GOLDEN).code == 0


def test_an_update_that_changes_nothing_is_no_failure(gate: Gate, house: Path, template: Path) -> None:
    run = gate(house, "--golden=update", *GOLDEN)
    assert run.code == 0, run.output
    name = "golden/small/clean.safetensors"
    assert (house / name).read_bytes() == (template / name).read_bytes()


def test_an_update_refuses_under_ci(gate: Gate, template: Path) -> None:
    run = gate(template, "--golden=update", *GOLDEN, environment={"CI": "1"})
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "--golden=update refuses under CI" in run.output


def test_an_update_needs_a_selection(gate: Gate) -> None:
    run = gate(None, "--golden=update")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "--golden=update needs a selection" in run.output


@pytest.mark.parametrize("name", ["small/far-field.safetensors", "gone/clean.safetensors"])
def test_golden_nobody_asks_for_fails(gate: Gate, house: Path, name: str) -> None:
    unused = house / "golden" / name
    unused.parent.mkdir(exist_ok=True)
    shutil.copyfile(house / "golden" / "small" / "clean.safetensors", unused)
    run = gate(house, "-m", "host", "-k", "unused")
    assert run.code == 1
    assert f"1 unused golden files: golden/{name}; remove them" in run.row("golden", "unused golden")["detail"]
