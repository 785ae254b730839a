from __future__ import annotations

from pathlib import Path

import pytest

from harness.agent import vitals
from tests.agent.sysfs import board, put


def test_a_board_tells_clocks_heat_and_waiting(tmp_path: Path) -> None:
    found = vitals.sample(str(board(tmp_path)))
    assert found["mhz"] == {"policy0": [900, 1800], "policy4": [1200, 2400], "fdab0000.npu": [1000, 1000]}
    assert found["celsius"] == {"soc-thermal": 45.3, "npu-thermal": 44.0}
    assert found["cooling"] == {"thermal-cpufreq-0": 0, "thermal-devfreq-0": 0}, "a fan slows nothing down"
    assert found["waited_s"] == 0.25
    assert found["throttles"] == 0


def test_counters_are_summed_over_cores(tmp_path: Path) -> None:
    for cpu, count in (("cpu0", 3), ("cpu1", 4)):
        put(tmp_path / f"sys/devices/system/cpu/{cpu}/thermal_throttle/core_throttle_count", str(count))
    assert vitals.sample(str(tmp_path))["throttles"] == 7


def test_a_board_that_tells_nothing_is_taken_as_it_is(tmp_path: Path) -> None:
    found = vitals.sample(str(tmp_path))
    assert (found["mhz"], found["celsius"], found["cooling"], found["throttles"]) == ({}, {}, {}, 0)
    assert "waited_s" not in found


@pytest.mark.parametrize("text", ["", "unknown", "12 thousand"])
def test_nonsense_in_a_sensor_is_left_out(tmp_path: Path, text: str) -> None:
    put(board(tmp_path) / "sys/class/thermal/thermal_zone0/temp", text)
    assert set(vitals.sample(str(tmp_path))["celsius"]) == {"npu-thermal"}
