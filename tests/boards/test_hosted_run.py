"""A whole gate run on a hosted device: real compiler, real worker, a stand-in for the service's client."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from harness.boards.hosted import CHOICE, TOKEN
from harness.targets import toolchain
from tests.house import HTP, LIMITS, make_house, new_gate

DATA = Path(__file__).parents[1] / "data" / "htp"
DEVICE = "Samsung Galaxy S23 (Family)"
LATENCY = "latency_ms = { p50 = 0.5, p95 = 0.5, p99 = 0.1 }\nend_to_end_ms = { p50 = 9.0 }\nsqnr = { overall = 15.0 }"


def toolchains(folder: Path) -> Path:
    """The HTP toolchain itself, and one named qai-hub whose Python finds the stand-in."""
    htp, hub = (toolchain.place(name) for name in ("htp", "qai-hub"))
    (folder / hub.name / "bin").mkdir(parents=True)
    (folder / htp.name).symlink_to(htp, target_is_directory=True)
    (folder / hub.name / toolchain.MARKER).write_text("{}")
    for name in ("qai_hub.py", "hub-profile.json"):
        shutil.copyfile(DATA / name, folder / name)
    (folder / "HEXAGON").write_text("hexagon:v73")
    python = folder / hub.name / "bin" / "python"
    python.write_text(f'#!/bin/sh\nshift  # -I\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return folder


@pytest.mark.skipif(toolchain.installed("htp") is None, reason="needs the HTP toolchain: voxgate toolchain install htp")
def test_latency_and_placement_are_judged_by_what_the_device_told(tmp_path: Path) -> None:
    limits = LIMITS.replace("sqnr = { overall = 15.0 }", LATENCY)
    house = make_house(tmp_path / "house", speakers=1, conditions=("clean",), recipes=HTP, limits=limits)
    environment = {CHOICE: DEVICE, TOKEN: "secret", "VOXGATE_TOOLCHAINS": str(toolchains(tmp_path / "toolchains"))}
    selected = ("-m", "htp", "-k", "fallback or inference or end_to_end", "--toolchains=never")
    run = new_gate(tmp_path, "hosted")(house, *selected, environment=environment)
    placed = run.row("placement", "fallback")
    assert (placed["outcome"], placed["evidence"]) == ("PASS", "board")
    assert placed["source"].startswith(f"profile of {DEVICE}, hosted; types by QNN 2.51")
    times = {row["slice"]: row for row in run.rows if row["gate"] == "latency"}
    assert times.pop("end to end")["outcome"] == "not measured"
    assert {name: (row["outcome"], row["evidence"], row["n"]) for name, row in times.items()} == {
        "inference p50": ("PASS", "board", 700),
        "inference p95": ("PASS", "board", 700),
        "inference p99": ("FAIL", "board", 700),
    }
    assert run.code == 1, run.output
    assert "takes whole jobs and not single calls" in run.output
