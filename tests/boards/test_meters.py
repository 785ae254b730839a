"""Meters: real commands and a real ssh on loopback, real libraries where installed; the hardware is a stand-in."""

from __future__ import annotations

import importlib.util
import os
import pty
import struct
import sys
import threading
import time
import tty
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pydantic import TypeAdapter, ValidationError

from harness.boards import meters, usb_meters
from harness.boards.energy import Hwmon, Meter, MeterEntry, Tegrastats, Trace, open_meter
from harness.errors import InfraError, Unsupported
from tests.loopback import Loopback, needs_sshd

LINES = Path(__file__).parents[1] / "data" / "tegrastats"


def sampled(meter: Meter, seconds: float = 0.4) -> Trace:
    meter.start()
    begun = time.monotonic()
    time.sleep(seconds)
    trace = meter.stop()
    assert trace.seconds[-1] >= begun, "by this host's clock"
    assert len(trace.watts) > 3
    return trace


@pytest.fixture
def sensor(tmp_path: Path) -> Path:
    """A folder as the kernel's hwmon makes it: channel 1 has voltage and current, channel 2 has power."""
    folder = tmp_path / "i2c" / "1-0040" / "hwmon" / "hwmon3"
    folder.mkdir(parents=True)
    for name, value in (("in1", 5000), ("curr1", 640), ("power2", 1_250_000)):
        (folder / f"{name}_input").write_text(f"{value}\n")
    return tmp_path / "i2c" / "1-0040" / "hwmon" / "hwmon*"


@pytest.mark.parametrize(("channel", "watts"), [(1, 3.2), (2, 1.25)])
def test_hwmon_is_voltage_times_current_or_power_as_the_kernel_has_it(sensor: Path, channel: int, watts: float) -> None:
    meter = open_meter(Hwmon(kind="hwmon", path=str(sensor), channel=channel), None)
    assert sampled(meter).watts == pytest.approx(watts)
    assert f"channel {channel}" in meter.source


def test_hwmon_follows_the_sensor(sensor: Path) -> None:
    meter = open_meter(Hwmon(kind="hwmon", path=str(sensor), interval_s=0.01), None)
    meter.start()
    time.sleep(0.2)
    next(sensor.parent.glob("hwmon*/curr1_input")).write_text("1280\n")
    time.sleep(0.2)
    watts = meter.stop().watts
    assert (watts[0], watts[-1]) == (pytest.approx(3.2), pytest.approx(6.4))


@needs_sshd
@pytest.mark.xdist_group("loopback")
def test_hwmon_of_a_board_is_read_over_ssh_and_ends_with_it(sensor: Path, loop: Loopback, tmp_path: Path) -> None:
    entry = Hwmon(kind="hwmon", path=str(sensor))
    assert sampled(open_meter(entry, loop.address), 0.6).watts == pytest.approx(3.2)
    time.sleep(0.2)
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if str(sensor) in (p.info["cmdline"] or [])]
    assert left == [], "nothing goes on over there"
    stranger = replace(loop.address, known_hosts=tmp_path / "nobody")
    with pytest.raises(InfraError, match=r"gave no sample: .*Host key verification failed.*Try by hand: ssh"):
        open_meter(entry, stranger).start()


def test_a_sensor_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=f"hwmon {tmp_path}/none channel 1 gave no sample: .*none.*Try by hand: sh -c"):
        open_meter(Hwmon(kind="hwmon", path=f"{tmp_path}/none"), None).start()


def test_a_sensor_that_ends_while_it_is_needed_is_infra(sensor: Path) -> None:
    meter = open_meter(Hwmon(kind="hwmon", path=str(sensor)), None)
    meter.start()
    next(sensor.parent.glob("hwmon*/in1_input")).unlink()
    time.sleep(0.3)
    with pytest.raises(InfraError, match=r"ended while it was needed.*run again"):
        meter.stop()


@pytest.mark.parametrize("line", ["", "5000 640 1", "sh: 1: cannot open", "5000 6e2", "nan"])
def test_a_line_that_is_no_sensors_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="is not what hwmon gives"):
        meters.hwmon_watts(line)


@pytest.fixture
def tegrastats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Meter]:
    """Puts a stand-in on the PATH that replays a file of lines for ever; gives the meter that calls it."""

    def replay(name: str, rail: str = "VDD_IN") -> Meter:
        tool = tmp_path / "tegrastats"
        tool.write_text(
            f'#!/bin/sh\n[ "$1" = --interval ] || exit 2\nwhile :; do cat {LINES / name}; sleep 0.02; done\n'
        )
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        return open_meter(Tegrastats(kind="tegrastats", rail=rail), None)

    return replay


def test_tegrastats_gives_the_power_of_now_not_the_average(tegrastats: Callable[..., Meter]) -> None:
    assert set(sampled(tegrastats("orin_nx.txt")).watts) == {5.011, 8.12}


def test_tegrastats_of_older_releases_has_no_unit(tegrastats: Callable[..., Meter]) -> None:
    assert set(sampled(tegrastats("xavier.txt")).watts) == {4.127}


def test_a_rail_that_is_not_there_names_those_that_are(tegrastats: Callable[..., Meter]) -> None:
    with pytest.raises(InfraError, match=r"no rail VDD_IN.*VDD_GPU_SOC, VDD_CPU_CV, VIN_SYS_5V0.*set rail in lab.toml"):
        tegrastats("agx_orin.txt").start()
    assert set(sampled(tegrastats("agx_orin.txt", "VIN_SYS_5V0")).watts) == {4.23}


def test_no_tegrastats_is_infra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfraError, match=r"tegrastats VDD_IN cannot be read.*No such file"):
        open_meter(Tegrastats(kind="tegrastats"), None).start()


class StandInScope:
    """What this harness uses of joulescope's Device; 50 statistics a second of 4 W, by a clock of its own."""

    device_serial_number = "001234"

    def open(self) -> None:
        self.callbacks: list[Any] = []
        self.settings: dict[str, str] = {}
        self.closed = threading.Event()

    def parameter_set(self, name: str, value: str) -> None:
        self.settings[name] = value

    def statistics_callback_register(self, callback: Any) -> None:
        self.callbacks.append(callback)
        threading.Thread(target=self._run, args=(callback,), daemon=True).start()

    def statistics_callback_unregister(self, callback: Any) -> None:
        self.callbacks.remove(callback)

    def close(self) -> None:
        self.closed.set()

    def _run(self, callback: Any) -> None:
        begin = 7000.0
        while not self.closed.wait(0.02):
            span = {"range": {"value": [begin, begin + 0.02], "units": "s"}}
            callback({"time": span, "signals": {"power": {"µ": {"value": 4.0, "units": "W"}}}})
            begin += 0.02


@pytest.fixture
def scope(monkeypatch: pytest.MonkeyPatch) -> StandInScope:
    device = StandInScope()
    library = types.ModuleType("joulescope")
    library.scan_require_one = lambda config: device  # type: ignore[attr-defined]
    library.scan = lambda config: [device]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "joulescope", library)
    return device


def entry(**values: object) -> Any:
    return TypeAdapter(MeterEntry).validate_python(values)


@pytest.mark.parametrize("serial", ["", "001234"])
def test_a_joulescopes_clock_is_set_to_this_hosts(scope: StandInScope, serial: str) -> None:
    trace = sampled(open_meter(entry(kind="joulescope", serial=serial), None))
    assert trace.watts == pytest.approx(4.0)
    assert np.diff(trace.seconds) == pytest.approx(0.02), "spaced as the device says, not as USB delivers"
    assert abs(trace.seconds[-1] - time.monotonic()) < 1
    assert scope.settings == {"reduction_frequency": "50 Hz"}
    assert scope.closed.is_set()


def test_another_joulescope_than_named_is_not_used(scope: StandInScope) -> None:
    with pytest.raises(InfraError, match=r"serial number 999; found: 001234.*plugged in"):
        open_meter(entry(kind="joulescope", serial="999"), None).start()


@pytest.mark.skipif(importlib.util.find_spec("joulescope") is None, reason="run: pip install 'voxgate[joulescope]'")
def test_the_real_library_has_what_is_used_of_it_and_finds_none_here() -> None:
    from joulescope.v1.device import Device

    for name in ("open", "close", "parameter_set", "statistics_callback_register", "statistics_callback_unregister"):
        assert callable(getattr(Device, name))
    with pytest.raises(InfraError, match=r"Joulescope cannot be opened \(no devices found"):
        open_meter(entry(kind="joulescope"), None).start()


CALIBRATION = "".join(
    f"{key}{i}: {value}\n"
    for key, value in (("R", 1), ("GS", 0), ("GI", 1), ("O", 0), ("S", 0), ("I", 0), ("UG", 1))
    for i in range(5)
)
COUNTS = 2000
STEP_A = 4 * 1.8 / 163840  # of one count of the converter at a resistance of 1 ohm


class StandInKit(threading.Thread):
    """The far end of a PPK2's serial line: tells a calibration, then samples of one current, 100,000 a second."""

    def __init__(self, line: int, port: str) -> None:
        super().__init__(daemon=True)
        self.line, self.port = line, port
        self.sample = struct.pack("<I", COUNTS)
        self.calibrated, self.measuring = True, False
        self.gone = threading.Event()

    def run(self) -> None:
        os.set_blocking(self.line, False)
        while not self.gone.wait(0.005):
            with suppress(BlockingIOError):
                self._answer(os.read(self.line, 256))
            if self.measuring:
                with suppress(BlockingIOError):  # nobody reads them any more
                    os.write(self.line, self.sample * 500)

    def _answer(self, commands: bytes) -> None:
        if 0x19 in commands and self.calibrated:
            os.write(self.line, f"Calibrated: 0\n{CALIBRATION}HW: 9173\nIA: 56\nEND".encode())
        self.measuring = (self.measuring or 0x06 in commands) and 0x07 not in commands


@pytest.fixture
def kit() -> Iterator[StandInKit]:
    far, near = pty.openpty()
    tty.setraw(near)
    running = StandInKit(far, os.ttyname(near))
    running.start()
    yield running
    running.gone.set()
    running.join()
    os.close(near)
    os.close(far)


real_ppk2 = pytest.mark.skipif(importlib.util.find_spec("ppk2_api") is None, reason="run: pip install 'voxgate[ppk2]'")


@real_ppk2
def test_a_ppk2_by_its_real_library_over_a_stand_in_line(kit: StandInKit) -> None:
    meter = open_meter(entry(kind="ppk2", port=kit.port, volts=5.0), None)
    trace = sampled(meter)
    assert trace.watts == pytest.approx(COUNTS * STEP_A * 5.0, rel=1e-3)
    assert "5 V ampere" in meter.source
    time.sleep(0.1)
    assert not kit.measuring


@real_ppk2
def test_a_ppk2_without_its_calibration_is_refused(kit: StandInKit) -> None:
    kit.calibrated = False
    with pytest.raises(InfraError, match="tells no calibration"):
        open_meter(entry(kind="ppk2", port=kit.port, volts=5.0), None).start()


@pytest.mark.parametrize(
    ("values", "library", "extra"),
    [
        ({"kind": "joulescope"}, "joulescope", "joulescope"),
        ({"kind": "ppk2", "port": "/dev/ttyACM0", "volts": 5}, "ppk2_api.ppk2_api", "ppk2"),
    ],
)
def test_without_a_library_its_extra_is_named(
    values: dict[str, object], library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(Unsupported, match=rf"pip install 'voxgate\[{extra}\]'"):
        open_meter(entry(**values), None)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "hwmon", "path": "/sys/x; reboot"},
        {"kind": "hwmon", "path": "$(id)"},
        {"kind": "hwmon", "path": "relative"},
        {"kind": "tegrastats", "rail": "VDD|.*"},
        {"kind": "ppk2", "port": "/dev/ttyACM0", "volts": 12},
        {"kind": "ppk2", "port": "/etc/passwd", "volts": 5},
        {"kind": "shunt"},
        {"kind": "joulescope", "seriel": "1"},
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        entry(**values)


def test_usb_meters_do_not_import_their_libraries_before_they_are_opened() -> None:
    assert {"joulescope", "ppk2_api"}.isdisjoint(vars(usb_meters))
