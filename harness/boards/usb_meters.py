"""Power meters at this host's USB: Joulescope and PPK2, each by its maker's own library.

The libraries are optional extras, imported when their meter is opened. A sample bears the time of this host's
monotonic clock at which it was taken, as near as the library tells.
"""

from __future__ import annotations

import importlib
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np

from harness.boards.energy import Joulescope, Ppk2, Trace
from harness.errors import InfraError, Unsupported

FIRST_S = 15.0  # until the first sample
STOP_S = 5.0
PPK2_HZ = 100_000
PPK2_WORD = 4  # bytes of a sample


class JoulescopeMeter:
    """A Joulescope's statistics, 50 a second, each a mean over its 20 ms."""

    def __init__(self, entry: Joulescope) -> None:
        self._driver = _library("joulescope", "joulescope")
        self.source = f"Joulescope {entry.serial}".strip()
        self._entry = entry
        self._device: Any = None
        self._samples: list[tuple[float, float, float]] = []  # arrival, its own time, watts
        self._first = threading.Event()

    def start(self) -> None:
        self._samples = []
        self._first.clear()
        try:
            self._device = self._find()
            self._device.open()
            self._device.parameter_set("reduction_frequency", "50 Hz")
            self._device.statistics_callback_register(self._take)
        except Exception as error:  # the library raises whatever USB says
            self._close()
            raise InfraError(f"{self.source} cannot be opened ({error}); is it plugged in, and free?") from error
        if not self._first.wait(FIRST_S):
            self._close()
            raise InfraError(f"{self.source} gave no sample in {FIRST_S:g} s; is it in the board's supply?")

    def stop(self) -> Trace:
        self._close()
        arrived, taken, watts = np.array(self._samples, np.float64).T
        return Trace(taken + (arrived - taken).min(), watts, self.source)  # the one that was least late sets its clock

    def _find(self) -> Any:
        if not self._entry.serial:
            return self._driver.scan_require_one(config="auto")
        found = self._driver.scan(config="auto")
        for device in found:
            if str(device.device_serial_number) == self._entry.serial:
                return device
        serials = ", ".join(str(device.device_serial_number) for device in found)
        raise RuntimeError(f"none has the serial number {self._entry.serial}; found: {serials or 'none'}")

    def _take(self, data: dict[str, Any]) -> None:
        begin, end = data["time"]["range"]["value"]
        now = time.monotonic() - (end - begin) / 2
        self._samples.append((now, (begin + end) / 2, float(data["signals"]["power"]["µ"]["value"])))
        self._first.set()

    def _close(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            with suppress(Exception):  # one that was pulled out cannot be closed
                device.statistics_callback_unregister(self._take)
                device.close()


class Ppk2Meter:
    """A PPK2's currents, 100,000 a second, as means of what each read brings, times the supply's voltage."""

    def __init__(self, entry: Ppk2) -> None:
        self._library = _library("ppk2_api.ppk2_api", "ppk2")
        self.source = f"PPK2 at {entry.port}, {entry.volts:g} V {entry.mode}"
        self._entry = entry
        self._kit: Any = None
        self._samples: list[tuple[float, float]] = []
        self._enough = threading.Event()
        self._first = threading.Event()
        self._reader: threading.Thread | None = None
        self._fault = ""

    def start(self) -> None:
        self._samples, self._fault = [], ""
        self._first.clear()
        self._enough.clear()
        try:
            self._kit = self._library.PPK2_API(self._entry.port, timeout=1, write_timeout=1, exclusive=True)
            if not self._kit.get_modifiers():
                raise RuntimeError("it tells no calibration")  # else the library computes without one, in silence
            getattr(self._kit, f"use_{self._entry.mode}_meter")()
            self._kit.set_source_voltage(round(self._entry.volts * 1000))
            self._kit.toggle_DUT_power("ON")
            self._kit.start_measuring()
        except Exception as error:  # the library raises whatever the serial port says
            raise InfraError(f"{self.source} cannot be opened ({error}); is it plugged in, and free?") from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._first.wait(FIRST_S) or not self._samples:
            self._end()
            raise InfraError(f"{self.source} gave no sample: {self._fault or 'it is silent'}. Unplug it and try again.")

    def stop(self) -> Trace:
        self._end()
        if self._fault:
            raise InfraError(f"{self.source} ended while it was needed: {self._fault}. Unplug it and try again.")
        seconds, watts = np.array(self._samples, np.float64).T
        return Trace(seconds, watts, self.source)

    def _read(self) -> None:
        pending = b""
        try:
            while not self._enough.wait(0.01):
                pending += self._kit.get_data()
                now = time.monotonic()
                if len(pending) < PPK2_WORD:  # the library makes a sample of less than a whole one
                    continue
                microamperes, pending = self._kit.get_samples(pending)[0], b""  # it keeps a rest to itself
                if microamperes:
                    middle = now - len(microamperes) / PPK2_HZ / 2
                    self._samples.append((middle, float(np.mean(microamperes)) * 1e-6 * self._entry.volts))
                    self._first.set()
        except Exception as error:
            self._fault = str(error) or type(error).__name__
            self._first.set()

    def _end(self) -> None:
        self._enough.set()
        if self._reader is not None:
            self._reader.join(STOP_S)
        with suppress(Exception):  # one that was pulled out cannot be told
            self._kit.stop_measuring()
        with suppress(Exception):
            self._kit.ser.close()


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unsupported(
            f"lab.toml names a {extra} meter, but its library is not installed ({error}). "
            f"Run: pip install 'voxgate[{extra}]'"
        ) from error
