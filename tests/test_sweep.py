"""Whole sweeps over small houses: what is recommended passes the real gate, and a killed one goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from harness.cache import Cache
from harness.candidate import find_candidates
from harness.recipe import Recipe
from harness.run import Run
from harness.sweep import search as searching
from harness.sweep.point import Point, judge
from harness.targets import toolchain
from tests.house import CHECKOUT, RK3588, Gate, accept_golden, make_house, new_gate

COMMAND = [sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())", "sweep"]
STOPPED_AFTER = "[2/6] host/int8: "
LIMITS = """
[budgets]
drop = { overall = 8.0, condition = 10.0 }
sqnr = { overall = 15.0 }

[[allow]]
target = "host"
op = "Re*"
reason = "ONNX Runtime has no int8 ReduceMean, nor Relu of symmetric int8"
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    return new_gate(tmp_path_factory.getbasetemp(), "sweep-runs")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Path:
    """A healthy house with its golden outputs, not to be changed."""
    made = make_house(tmp_path_factory.mktemp("sweep") / "house", limits=LIMITS)
    accept_golden(made, gate.cache, gate.work())
    return made


def arguments(house: Path, work: Path, *more: str) -> list[str]:
    return [*COMMAND, str(house / "models" / "small"), "--work", str(work), "--rounds", "64", *more]


def swept(house: Path, gate: Gate, work: Path, *more: str) -> tuple[str, str]:
    """What a whole sweep says on standard output and standard error."""
    done = subprocess.run(
        arguments(house, work, *more), capture_output=True, text=True, cwd=CHECKOUT, env=gate.environment(), timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def record(work: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((work / "sweep" / "small" / "sweep.json").read_text())
    return found


@pytest.fixture(scope="module")
def done(house: Path, gate: Gate) -> tuple[Path, str]:
    """The work folder of a finished sweep on the host that was killed once, and all it said."""
    work = gate.work()
    first = subprocess.Popen(
        arguments(house, work, "--target", "host"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env=gate.environment(),
        start_new_session=True,
    )
    assert first.stderr is not None
    for line in first.stderr:
        if STOPPED_AFTER in line:
            os.killpg(first.pid, signal.SIGKILL)
            break
    assert first.wait() == -signal.SIGKILL
    first.stderr.close()
    assert [each["build"] for each in record(work)["points"]][:1] == ["host/fp32"]
    out, err = swept(house, gate, work, "--target", "host")
    return work, out + err


def test_a_killed_sweep_goes_on_where_it_was(done: tuple[Path, str]) -> None:
    work, said = done
    built = [line.rpartition(" ")[2] for line in said.splitlines() if "voxgate: building" in line]
    ran = [line.partition(" on ")[0].rpartition(" ")[2] for line in said.splitlines() if "voxgate: running" in line]
    assert "host/int8-percentile" in built
    assert "host/int8-percentile" in ran
    assert not {"host/fp32", "host/int8"} & {*built, *ran}
    assert "[2/6] host/int8: MAY SHIP" in said
    assert [each["build"] for each in record(work)["points"]][:2] == ["host/fp32", "host/int8"]


def test_table_and_plot_and_json_say_the_same(done: tuple[Path, str]) -> None:
    work, said = done
    points = {each["build"]: each for each in record(work)["points"]}
    assert len(points) == 6
    for build, each in points.items():
        assert f"{build} " in said
        assert each["drop"]["evidence"] == "host"
        assert each["drop"]["low"] <= each["drop"]["value"] <= each["drop"]["high"]
        assert f"{each['drop']['value']:.2f} [" in said
        assert each["sizes"]["file"] > 0
    assert "refused, with reasons in the JSON: host/fp16, host/int8-entropy" in said
    assert (work / "sweep" / "small" / "pareto.png").read_bytes().startswith(b"\x89PNG")


def test_the_sweep_judges_as_the_suites_do(done: tuple[Path, str], house: Path, gate: Gate) -> None:
    work, _ = done
    own = next(each for each in record(work)["points"] if each["build"] == "host/int8")
    run = gate(house, "-m", "host", "-k", "not golden")
    suites = {(row["gate"], row["slice"]): row for row in run.rows if row["recipe"] == "int8"}
    swept = {(row["gate"], row["slice"]): row for row in own["rows"]}
    assert suites == swept


def test_what_is_recommended_passes_the_gate(done: tuple[Path, str], gate: Gate, tmp_path: Path) -> None:
    work, said = done
    text = (work / "sweep" / "small" / "recommended.toml").read_text()
    (pasted,) = tomllib.loads(text)["recipe"]
    assert pasted["precision"].startswith("int8")
    assert f"recommended: {pasted['name']} on host by onnxruntime" in said
    house = make_house(tmp_path / "house", recipes=f"\n{text}", limits=LIMITS)
    accept_golden(house, gate.cache, gate.work())
    run = gate(house, "-m", "host")
    assert run.code == 0, run.output
    assert {row["recipe"] for row in run.rows} == {pasted["name"], "golden"}


def test_where_no_named_target_is_here_it_says_the_remedy(house: Path, gate: Gate, tmp_path: Path) -> None:
    done = subprocess.run(
        arguments(house, tmp_path / "work", "--target", "rk3588"),
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=gate.environment({"VOXGATE_TOOLCHAINS": str(tmp_path / "none")}),
        timeout=120,
    )
    assert done.returncode == 2
    assert "voxgate toolchain install rk3588" in done.stderr


def fragile(path: Path, *, k: float) -> tuple[str, str]:
    """Scale the channels between two layers by s in [1/k, k], the same float function: what int8 cannot hold.

    Returns the two layers' names: with both in float, nothing that is quantized is out of balance.
    """
    model = onnx.load(path)
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    before, after = layers[3], layers[4]  # a depthwise and the pointwise behind it would do as well
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    channels = weights[before.input[1]].dims[0]
    scale = (k ** np.random.default_rng(3).uniform(-1, 1, channels)).astype(np.float32)
    for name, factor in ((before.input[1], scale), (before.input[2], scale), (after.input[1], 1 / scale)):
        values = numpy_helper.to_array(weights[name])
        turned = factor if values.ndim == 1 or values.shape[0] == channels else factor[None]
        shape = (
            (1, -1, 1, 1)
            if name == after.input[1] and values.shape[1] == channels
            else (-1,) + (1,) * (values.ndim - 1)
        )
        weights[name].CopyFrom(numpy_helper.from_array(values * turned.reshape(shape), name))
    path.write_bytes(model.SerializeToString())
    return before.name, after.name


def test_layers_that_int8_spoils_are_found_and_left_in_float(gate: Gate, tmp_path: Path) -> None:
    house = make_house(tmp_path / "house", limits=LIMITS, conditions=["clean"], speakers=2)
    layers = fragile(house / "models" / "small" / "model.onnx", k=200)
    accept_golden(house, gate.cache, gate.work())
    (candidate,) = find_candidates([house])
    run = Run(folder=gate.work() / "sweep", cache=Cache(gate.cache), rounds=64)

    def judged(recipe: Recipe) -> Point:
        return judge(run, candidate, recipe, "host by onnxruntime", [])

    base = candidate.recipe("host/int8")
    assert not judged(base).passes
    found = searching.search(run, candidate, base, judged)
    assert {each.layer for each in found.sensitivities[:2]} == set(layers)
    assert found.found is not None
    assert set(layers) <= set(found.found.recipe.keep_float)
    assert len(found.found.recipe.keep_float) < len(found.sensitivities)
    assert [row.value for row in found.found.rows if row.gate == "placement"] == [0.0]


def test_a_target_that_keeps_no_layer_in_float_is_a_search_that_says_so(house: Path, gate: Gate) -> None:
    (candidate,) = find_candidates([house])
    run = Run(folder=gate.work() / "sweep", cache=Cache(gate.cache))
    base = candidate.recipe("host/int8").model_copy(update={"target": "edgetpu"})
    found = searching.search(run, candidate, base, lambda recipe: pytest.fail(f"{recipe.id} was judged"))
    assert found.found is None
    assert "edgetpu keeps no single layer in float" in found.lack


@pytest.mark.skipif(
    toolchain.installed("rk3588") is None, reason="needs the rk3588 toolchain: voxgate toolchain install rk3588"
)
def test_hybrid_quantization_on_rk3588_is_searched_too(gate: Gate, tmp_path: Path) -> None:
    house = make_house(tmp_path / "house", recipes=RK3588, limits=LIMITS, speakers=1, conditions=["clean"])
    layers = fragile(house / "models" / "small" / "model.onnx", k=200)
    accept_golden(house, gate.cache, gate.work())
    (candidate,) = find_candidates([house])
    run = Run(folder=gate.work() / "sweep", cache=Cache(gate.cache))
    base = candidate.recipe("rk3588/w8a8")
    names = (*layers, "/head/Gemm")
    found = searching.sensitivities(run, candidate, base, names)
    assert {each.layer for each in found[:2]} == set(layers)
