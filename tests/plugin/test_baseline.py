"""Accepting a run, and judging the next one against it: whole runs of a small house."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from tests.house import LIMITS, Gate, GateRun, accept_golden, edit, make_house

pytestmark = pytest.mark.xdist_group("plugin")
SINCE = "regression = { overall = 4.0 }\ndrift = { overall = 4.0 }\nfile_kib"
COMMAND = "import sys; from harness.cli import main; sys.exit(main())"
NO_BASELINE = "no baseline of small on host/int8 to compare with; accept a release with: voxgate baseline accept"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Path:
    house = make_house(tmp_path_factory.mktemp("limited") / "house", limits=LIMITS.replace("file_kib", SINCE))
    accept_golden(house, gate.cache, gate.work())
    return house


@pytest.fixture(scope="module")
def first(gate: Gate, limited: Path) -> GateRun:
    """The run that becomes the baseline."""
    return gate(limited, "-m", "host")


@pytest.fixture(scope="module")
def accepted(gate: Gate, limited: Path, first: GateRun) -> Path:
    """The house with that baseline."""
    done = accept(gate, limited, first.work)
    assert done.returncode == 0, done.stderr
    return limited


def accept(gate: Gate, house: Path, work: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        COMMAND,
        "baseline",
        "accept",
        str(house / "models" / "small"),
        "--work",
        str(work),
    ]
    return subprocess.run(command, capture_output=True, text=True, env=gate.environment(environment), check=False)


def worse(model: Path) -> None:
    """Weaken the last layer's weights of one keyword, so that it is missed more often."""
    graph = onnx.load(model)
    weights = [each for each in graph.graph.initializer if len(each.dims) == 2][-1]
    values = numpy_helper.to_array(weights).copy()
    values[2] *= 0.2
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    onnx.save(graph, model)


def test_without_a_baseline_the_plan_says_so(first: GateRun) -> None:
    assert first.code == 0, first.output
    assert NO_BASELINE in first.output
    assert not [row for row in first.rows if row["gate"] in ("regression", "drift")]


def test_ci_may_not_accept(gate: Gate, limited: Path, first: GateRun) -> None:
    done = accept(gate, limited, first.work, CI="true")
    assert done.returncode == 2
    assert "refuses under CI" in done.stderr


def test_the_same_build_loses_nothing_against_it(gate: Gate, accepted: Path) -> None:
    run = gate(accepted, "-m", "host")
    assert run.code == 0, run.output
    assert NO_BASELINE not in run.output
    assert [run.row(gate)["value"] for gate in ("regression", "drift")] == [0.0, 0.0]
    assert "97.9 -> 97.9" in run.output
    assert (run.folder / "small/host/int8/baseline.json").is_file()


def test_a_worse_model_with_golden_of_its_own_fails_against_it(gate: Gate, accepted: Path, tmp_path: Path) -> None:
    """Quantization costs it nothing: only the release before tells that it is worse."""
    house = Path(shutil.copytree(accepted, tmp_path / "house"))
    worse(house / "models" / "small" / "model.onnx")
    edit(house / "models" / "small" / "model.toml", "min = 88.0", "min = 50.0")
    shutil.rmtree(house / "golden")
    accept_golden(house, gate.cache, gate.work())
    run = gate(house, "-m", "host")
    assert run.red("accuracy") == set()
    assert run.red("regression") == {"overall"}
    assert run.red("drift") == {"overall"}
    assert run.code == 1
    assert "accuracy lost since the last release" in run.output
    done = accept(gate, house, run.work)
    assert done.returncode == 2
    assert "DO NOT SHIP" in done.stderr


def test_a_selection_is_no_release(gate: Gate, accepted: Path) -> None:
    run = gate(accepted, "-m", "host", "-k", "sanity or accuracy or placement")
    assert run.code == 0, run.output
    done = accept(gate, accepted, run.work)
    assert done.returncode == 2
    assert "was judged in part: no" in done.stderr


def test_a_damaged_baseline_stops_the_run_before_it_judges(gate: Gate, accepted: Path, tmp_path: Path) -> None:
    house = Path(shutil.copytree(accepted, tmp_path / "house"))
    (house / "baselines" / "small" / "host" / "int8.json").write_text('{"torn')
    run = gate(house, "-m", "host")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "is damaged or none" in run.output
    assert "Traceback" not in run.output
