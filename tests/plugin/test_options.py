"""Naming what is to be judged: targets, folders, and projects that judge nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.house import CHECKOUT, RECIPE, Gate, edit, make_house

USAGE = pytest.ExitCode.USAGE_ERROR
PARTS = ("conftest.py", "fixtures", "harness", "pyproject.toml", "suites")  # of the checkout, that a run needs
BYTECODE = "__pycache__"


def listing(folder: Path) -> dict[str, int]:
    """Every file below a folder, with its time of change."""
    paths = (path for path in folder.rglob("*") if BYTECODE not in path.parts)
    return {path.relative_to(folder).as_posix(): path.lstat().st_mtime_ns for path in paths if path.is_file()}


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout without candidates of its own, that nobody else writes to."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in PARTS:
        source = CHECKOUT / name
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, folder / name)
    return folder


def test_an_unknown_target_in_m_is_a_usage_error(gate: Gate, template: Path) -> None:
    run = gate(template, "-m", "rk3558")
    assert run.code == USAGE
    assert "no target or marker is named 'rk3558'. Did you mean 'rk3588'?" in run.output
    assert "Traceback" not in run.output


def test_an_unknown_target_in_a_model_toml_is_a_usage_error(gate: Gate, house: Path) -> None:
    edit(house / "models" / "small" / "model.toml", 'target = "host"', 'target = "hots"')
    run = gate(house)
    assert run.code == USAGE
    assert "no target is named 'hots' (did you mean 'host'?)" in run.output
    assert "Traceback" not in run.output


def test_a_folder_that_is_not_there_is_a_usage_error(gate: Gate, tmp_path: Path) -> None:
    run = gate(tmp_path / "absent")
    assert run.code == USAGE
    assert f"--candidates {tmp_path / 'absent'}: no such folder" in run.output


@pytest.mark.parametrize("form", ["space", "equals"])
def test_a_house_elsewhere_is_judged_and_left_alone(gate: Gate, template: Path, checkout: Path, form: str) -> None:
    named = ["--candidates", str(template)] if form == "space" else [f"--candidates={template}"]
    before = listing(template), listing(checkout)
    run = gate(None, *named, "-m", "host", "-k", "golden or placement", cwd=checkout)
    assert run.code == 0, run.output
    assert {row["candidate"] for row in run.rows} == {"small"}
    assert f"rootdir: {checkout}" in run.output
    assert (listing(template), listing(checkout)) == before


def test_several_houses_are_judged_in_one_run(gate: Gate, template: Path, tmp_path: Path) -> None:
    other = make_house(tmp_path / "other", conditions=["clean"])
    edit(other / "models" / "small" / "model.toml", 'name = "small"', 'name = "second"')
    run = gate(template, "--candidates", str(other), "-m", "host", "-k", "placement")
    assert run.code == 0, run.output
    assert {row["candidate"] for row in run.rows} == {"small", "second"}


def test_a_house_can_be_named_in_the_configuration(gate: Gate, template: Path, checkout: Path) -> None:
    arguments = ["-o", f"voxgate_candidates={template}", "-m", "host", "-k", "placement"]
    run = gate(None, *arguments, cwd=checkout)
    assert run.code == 0, run.output
    assert {row["candidate"] for row in run.rows} == {"small"}


def test_two_candidates_of_one_name_are_refused(gate: Gate, template: Path, house: Path) -> None:
    run = gate(template, "--candidates", str(house))
    assert run.code == USAGE
    assert "two candidates are named 'small'" in run.output


def test_a_project_without_a_house_does_not_notice_the_plugin(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.pytest]\nstrict = true\nmarkers = ["slow: theirs"]\n')
    (tmp_path / "test_theirs.py").write_text(
        "import pytest\n\n@pytest.mark.slow\ndef test_theirs(tmp_path):\n    pass\n\ndef test_other():\n    pass\n"
    )
    run = gate(None, "-m", "slow", cwd=tmp_path)
    assert run.code == 0, run.output
    assert run.counts() == {"passed": 1, "deselected": 1}
    assert "voxgate 0" not in run.output
    assert list(run.work.iterdir()) == [run.work / "cache"]
    assert not (tmp_path / ".voxgate").exists()


def test_a_recipe_twice_is_refused(gate: Gate, house: Path) -> None:
    toml = house / "models" / "small" / "model.toml"
    edit(toml, RECIPE, RECIPE + RECIPE)
    run = gate(house)
    assert run.code == USAGE
    assert f"{toml}: recipes declared twice: host/int8" in run.output
