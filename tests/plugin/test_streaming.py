"""Whole runs of the streaming suite: a step of one's own, and a ready .tflite out of a public package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.house import CHECKOUT, RECIPE, Gate, make_listening_house

LITTLE = """
[[stream]]
name = "talk"
corpora = ["computer"]
hours = 0.15
words = 12
seed = 3

[budgets.wakeword]
frr = { overall = 60.0 }
false_accepts_per_hour = 400.0
score_sqnr = 12.0
"""
READY = """
[candidate]
name = "ready"
task = "wakeword"
model = "alexa.tflite"
imported = true
labels = ["computer"]
corpus = "computer"
average = 5
threshold = 0.9

[frontend]
kind = "micro"
window_s = 0.05
frame_length_ms = 30.0
frame_shift_ms = 10.0

[[recipe]]
target = "host"
name = "int8"
runtime = "litert"
precision = "int8"

[[recipe]]
target = "rk3588"
name = "w8a8"
precision = "int8"

[[stream]]
name = "talk"
corpora = ["computer"]
hours = 0.05
words = 12
seed = 3

[budgets.wakeword]
false_accepts_per_hour = 80.0
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "corpora").symlink_to(CHECKOUT / "corpora", target_is_directory=True)
    return tmp_path


def test_a_step_of_ones_own_is_judged_on_a_stream(tmp_path: Path, gate: Gate) -> None:
    jetson = '[[recipe]]\ntarget = "jetson"\nname = "int8"\nprecision = "int8"\n'
    house = make_listening_house(tmp_path, LITTLE, RECIPE + jetson)
    run = gate(house, "suites/test_streaming.py", "-m", "host or jetson", "--golden=new", "--toolchains=never")
    assert {row["outcome"] for row in run.rows if row["target"] == "host"} == {"PASS"}, run.output
    assert "12 words" in run.row("labels", "synthetic overall")["detail"].replace("n=12", "12")
    assert run.row("false accepts", "synthetic overall")["evidence"] == "host"
    assert run.row("streaming")["value"] < 1e-4
    assert "does for host and rk3588" in run.row("streaming", "reset")["detail"]


@pytest.mark.skipif(
    importlib.util.find_spec("pymicro_wakeword") is None,
    reason="needs a ready model: pip install pymicro-wakeword",
)
def test_a_ready_tflite_goes_through_the_whole_path(house: Path, gate: Gate) -> None:
    folder = house / "models" / "ready"
    folder.mkdir(parents=True)
    found = importlib.util.find_spec("pymicro_wakeword")
    assert found is not None
    assert found.origin is not None
    ready = Path(found.origin).parent / "models" / "alexa.tflite"
    (folder / "alexa.tflite").write_bytes(ready.read_bytes())
    (folder / "model.toml").write_text(READY)
    run = gate(house, "suites/test_streaming.py", "-m", "host or rk3588", "--golden=new", "--toolchains=never")
    assert {row["outcome"] for row in run.rows if row["target"] == "host"} == {"PASS"}, run.output
    assert "golden is the previous release" in run.row("golden", "talk")["detail"]
    assert run.row("reset")["n"] > 0
    refused = [row["detail"] for row in run.rows if row["target"] == "rk3588"]
    assert refused
    assert all("came ready and runs as it came: on host" in detail for detail in refused)
