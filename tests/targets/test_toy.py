"""The target of docs/add-a-target.md, installed beside voxgate: its marker, fixtures and suites work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.house import CHECKOUT, accept_golden, edit, make_house, new_gate

GUIDE = CHECKOUT / "docs" / "add-a-target.md"
RECIPE = '\n[[recipe]]\ntarget = "toy"\nname = "fp32"\nprecision = "fp32"\n'
LIMITS = "\n[budgets]\ndrop = { overall = 4.0, condition = 5.0 }\nlatency_ms = { p50 = 5.0 }\n"
ALLOW = '\n[[allow]]\ntarget = "toy"\nop = "ReduceMean"\nreason = "a toy has no unit for it"\n'


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as pip would fill it: the module of the guide, and the entry point that names it."""
    folder = tmp_path_factory.mktemp("site")
    _, _, rest = GUIDE.read_text(encoding="utf-8").partition('    """A toy accelerator')
    code = rest.partition("\n\nWhat a real one owes")[0]
    (folder / "voxgate_toy.py").write_text(textwrap.dedent('    """A toy accelerator' + code))
    information = folder / "voxgate_toy-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: voxgate-toy\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[voxgate.targets]\ntoy = voxgate_toy\n")
    return folder


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_house(tmp_path_factory.mktemp("toy") / "house", recipes=RECIPE, limits=LIMITS)
    gate = new_gate(tmp_path_factory.getbasetemp(), "toy-runs")
    accept_golden(made, gate.cache, gate.work())
    return made


def run(site: Path, house: Path, work: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "--candidates", house, "--work", work, "-p", "no:cacheprovider"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_", "CI"))}
    environment = {**kept, "PYTHONPATH": str(site), "COLUMNS": "200"}
    done = subprocess.run([*command, *arguments], cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_suites_judge_it_and_name_what_falls_back(installed: Path, house: Path, tmp_path: Path) -> None:
    code, told = run(installed, house, tmp_path / "work", "-m", "toy")
    assert code == 1, told
    assert "falls back: ReduceMean /ReduceMean on cpu as float32 (a toy has no unit for it)" in told
    assert "emulator: toy simulator; static: toyc's table" in told
    assert "latency of small on toy/fp32: needs a board; toy simulator is an emulator" in told
    edit(house / "models" / "small" / "model.toml", LIMITS, LIMITS + ALLOW)
    code, told = run(installed, house, tmp_path / "work", "-m", "toy")
    assert code == 0, told
    assert "PASSES HERE, BOARD FIGURES OPEN  small on toy/fp32" in told


def test_its_marker_is_known_and_a_typo_of_it_is_not(installed: Path, house: Path, tmp_path: Path) -> None:
    code, told = run(installed, house, tmp_path, "-m", "tov", "--collect-only")
    assert code == 4
    assert "no target or marker is named 'tov'. Did you mean 'toy'?" in told


def test_without_it_a_recipe_that_names_it_is_refused(house: Path, tmp_path: Path) -> None:
    code, told = run(tmp_path / "nowhere", house, tmp_path, "-m", "host")
    assert code == 4
    assert "no target is named 'toy'" in told


def test_one_that_cannot_be_imported_is_a_clear_error(installed: Path, house: Path, tmp_path: Path) -> None:
    shutil.copytree(installed, tmp_path / "site")
    (tmp_path / "site" / "voxgate_toy.py").write_text("import no_such_vendor\n")
    code, told = run(tmp_path / "site", house, tmp_path / "work", "-m", "host")
    assert code == 4
    assert "the target 'toy' of voxgate-toy (voxgate_toy) cannot be used: ModuleNotFoundError: No module" in told


def test_memory_of_the_device_that_its_compiler_tells_is_judged(installed: Path, house: Path, tmp_path: Path) -> None:
    shutil.copytree(installed, tmp_path / "site")
    edit(tmp_path / "site" / "voxgate_toy.py", "Sizes(file.stat().st_size)", "Sizes(1, on_chip=3 << 20)")
    shutil.copytree(house, tmp_path / "house")
    toml = tmp_path / "house" / "models" / "small" / "model.toml"
    for limit, code, verdict in ((2, 1, "FAIL"), (4, 0, "PASS")):
        edit(toml, "\n[budgets]\n", f"\n[budgets]\ndevice_mib = {limit}\n")
        work = tmp_path / f"work-{limit}"
        found, told = run(tmp_path / "site", tmp_path / "house", work, "-m", "toy", "-k", "device_memory")
        assert found == code, told
        (row,) = map(json.loads, (work / "runs" / "latest" / "rows.jsonl").read_text().splitlines())
        assert (row["slice"], row["value"], row["unit"], row["outcome"]) == ("device memory", 3.0, "MiB", verdict)
        assert (row["evidence"], row["source"]) == ("static", "toyc's table")
        edit(toml, f"device_mib = {limit}\n", "")
