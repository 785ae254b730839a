"""What a Jetson says of itself, replayed by stand-ins (tests/standins/jetson/README.md)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.boards import tegra
from harness.errors import NotMeasured, Unsupported
from tests import jetson_board


def test_this_machine_is_no_jetson() -> None:
    assert not tegra.is_jetson()


def test_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = jetson_board.make(tmp_path, monkeypatch)
    assert tegra.is_jetson()
    assert tegra.jetpack() == tegra.Jetpack("36.4.3", python, "10.3.0.30", "87", "1.24.0")


def test_without_the_provider_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jetson_board.make(tmp_path, monkeypatch, provider=False)
    assert tegra.jetpack().provider == ""


def test_a_python_without_tensorrt_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jetson_board.make(tmp_path, monkeypatch)
    (tmp_path / "standin" / "modules" / "tensorrt.py").unlink()
    with pytest.raises(
        Unsupported,
        match=r"cannot use TensorRT and CUDA .*named .tensorrt.*apt-get install python3-libnvinfer.*export VOXGATE",
    ):
        tegra.jetpack()


def test_a_program_that_is_no_python_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jetson_board.make(tmp_path, monkeypatch)
    monkeypatch.setenv(tegra.PYTHON, "/bin/true")
    with pytest.raises(
        Unsupported, match=r"/bin/true cannot use TensorRT and CUDA .it answers nothing.*export VOXGATE"
    ):
        tegra.jetpack()


def test_a_python_that_is_not_there_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jetson_board.make(tmp_path, monkeypatch)
    monkeypatch.setenv(tegra.PYTHON, str(tmp_path / "no-python"))
    with pytest.raises(Unsupported, match=r"No such file.*export VOXGATE_JETSON_PYTHON=PATH"):
        tegra.jetpack()


def test_an_unknown_release_is_unsupported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jetson_board.make(tmp_path, monkeypatch)
    tegra.RELEASE.write_text("Tegra something\n")
    with pytest.raises(Unsupported, match=r"says 'Tegra something.n', no L4T release"):
        tegra.jetpack()


def test_pinned_clocks_and_the_power_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jetson_board.make(tmp_path, monkeypatch)
    state = tegra.pinned("small on jetson/int8")
    assert state.mode == tegra.mode() == "MAXN"
    assert state.clocks["GPU"] == (918000000, 918000000, 918000000)
    assert set(state.clocks) == {"cpu0", "cpu1", "GPU"}, "a CPU that is off has no clock"


@pytest.mark.parametrize(("gpu", "cpu", "name"), [(306000000, 1984000, "GPU"), (918000000, 729600, "cpu0")])
def test_clocks_that_may_move_are_refused(
    gpu: int, cpu: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson_board.make(tmp_path, monkeypatch, jetson_clocks=jetson_board.clocks(gpu, cpu))
    with pytest.raises(
        NotMeasured, match=rf"latency of small.*not pinned \({name} may run from .*Run: sudo jetson_clocks"
    ):
        tegra.pinned("small on jetson/int8")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"nvpmodel": None}, r"power mode of this Jetson cannot be read.*must be run as root.*sudo nvpmodel -q"),
        ({"nvpmodel": "NVPM ERROR: Error opening"}, r"power mode of this Jetson cannot be read.*NVPM ERROR"),
        (
            {"jetson_clocks": None},
            r"clocks of this Jetson cannot be read.*must be run as root.*sudo jetson_clocks --show",
        ),
        ({"jetson_clocks": "SOC family:tegra234"}, r"clocks of this Jetson cannot be read.*SOC family"),
    ],
)
def test_a_state_that_cannot_be_read_is_refused(
    state: dict[str, str | None], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson_board.make(tmp_path, monkeypatch, **state)
    with pytest.raises(NotMeasured, match=said):
        tegra.power("small on jetson/int8")


def test_a_command_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jetson_board.make(tmp_path, monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tegra.mode() == ""
    with pytest.raises(NotMeasured, match="No such file"):
        tegra.power("small on jetson/int8")
    assert tegra.Watch().taken()["samples"] == 0


def test_tegrastats_is_watched_until_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jetson_board.make(tmp_path, monkeypatch)
    watch = tegra.Watch()
    time.sleep(0.5)
    seen = watch.taken()
    assert seen["samples"] > 1
    assert seen["temperature_c"] == {"cpu": 45.5, "soc2": 43.6, "gpu": 43.2, "tj": 45.5}
    assert seen["rails_mw"] == {"VDD_IN": 4520.0, "VDD_CPU_GPU_CV": 612.0, "VDD_SOC": 1385.0}
    assert seen["gpu_mhz"] == [918, 918]


def test_vitals_sum_up_and_leave_out_what_no_line_tells() -> None:
    warmer = jetson_board.TEGRASTATS.replace("gpu@43.2C", "gpu@51C").replace("[918]", "[612]")
    seen = tegra.vitals([jetson_board.TEGRASTATS, warmer.replace("VDD_IN 4520mW", "VDD_IN 6520mW"), "garbage"])
    assert (seen["samples"], seen["gpu_mhz"]) == (2, [612, 918])
    assert (seen["temperature_c"]["gpu"], seen["rails_mw"]["VDD_IN"]) == (51.0, 5520.0)
    assert tegra.vitals([]) == {"samples": 0, "temperature_c": {}, "rails_mw": {}, "gpu_mhz": None}
