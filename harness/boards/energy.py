"""Power over time: what every meter gives, and how lab.toml names one.

A meter is started, samples while a board works, and is stopped; how the energy of one inference is got from that is
:mod:`harness.energy`'s. The meters themselves are in :mod:`harness.boards.meters` and :mod:`harness.boards.usb_meters`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from harness.boards.address import SshAddress
from harness.errors import InfraError
from harness.strict import Strict

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trace:
    """Samples of power: ``seconds`` and ``watts``, both ``(n,)``, by the monotonic clock of this host.

    Raises InfraError where they are not finite, or not in order.
    """

    seconds: Values
    watts: Values
    source: str  # the meter, in words
    clock: str = "host monotonic"

    def __post_init__(self) -> None:
        if self.seconds.shape != self.watts.shape or not np.isfinite([self.seconds, self.watts]).all():
            raise InfraError(f"{self.source} gave samples that are not finite; check its wiring and its driver.")
        if (np.diff(self.seconds) < 0).any():
            raise InfraError(f"{self.source} gave samples out of order; its clock cannot be trusted. Run again.")

    def between(self, begin: float, end: float) -> Trace:
        """The samples from ``begin`` to ``end``, both included."""
        inside = (self.seconds >= begin) & (self.seconds <= end)
        return Trace(self.seconds[inside], self.watts[inside], self.source, self.clock)

    def silence(self, begin: float, end: float) -> float:
        """The longest time from ``begin`` to ``end`` without a sample, in seconds."""
        times = self.between(begin, end).seconds
        return float(np.diff(np.concatenate([[begin], times, [end]])).max())

    def joules(self, begin: float, end: float, above_w: float) -> float:
        """Energy beyond ``above_w`` from ``begin`` to ``end``, by the trapezoidal rule; its ends are interpolated."""
        inner = self.between(begin, end)
        edges = np.interp([begin, end], self.seconds, self.watts)
        seconds = np.concatenate([[begin], inner.seconds, [end]])
        watts = np.concatenate([edges[:1], inner.watts, edges[1:]])
        return float(np.trapezoid(watts - above_w, seconds))


class Meter(Protocol):
    """What tells the power of a board. Both methods raise InfraError where it fails."""

    source: str

    def start(self) -> None:
        """Begin to sample; returns once the first sample is there."""

    def stop(self) -> Trace:
        """All samples since ``start``."""


class Hwmon(Strict):
    """A power sensor of the board's own kernel: INA219, INA226, INA3221 and their like."""

    kind: Literal["hwmon"]
    path: str = Field(pattern=r"^/[\w/.:*-]+$")  # on the board; may hold *, since hwmon numbers change
    channel: int = Field(1, ge=1, le=16)
    interval_s: float = Field(0.02, ge=0.005, le=1)


class Tegrastats(Strict):
    """NVIDIA's tegrastats on the board."""

    kind: Literal["tegrastats"]
    rail: str = Field("VDD_IN", pattern=r"^[A-Z0-9_]+$")
    interval_s: float = Field(0.05, ge=0.02, le=1)


class Joulescope(Strict):
    """A Joulescope at this host's USB, in the board's supply."""

    kind: Literal["joulescope"]
    serial: str = ""  # where there are several


class Ppk2(Strict):
    """A Nordic Power Profiler Kit II at this host's USB: at most 5 V and 1 A."""

    kind: Literal["ppk2"]
    port: str = Field(pattern=r"^/dev/[\w/.:-]+$")
    volts: float = Field(ge=0.8, le=5.0)  # of the supply, or what the kit is to supply
    mode: Literal["ampere", "source"] = "ampere"


MeterEntry = Annotated[Hwmon | Tegrastats | Joulescope | Ppk2, Field(discriminator="kind")]
"""``meter = { kind = ..., ... }`` of one board in lab.toml."""


def open_meter(entry: Hwmon | Tegrastats | Joulescope | Ppk2, ssh: SshAddress | None) -> Meter:
    """The meter of a board that is reached at ``ssh``; None where that is this machine.

    Raises Unsupported where its library is not installed, InfraError where it cannot be opened.
    """
    from harness.boards import meters, usb_meters

    match entry:
        case Hwmon():
            return meters.hwmon(entry, ssh)
        case Tegrastats():
            return meters.tegrastats(entry, ssh)
        case Joulescope():
            return usb_meters.JoulescopeMeter(entry)
        case Ppk2():
            return usb_meters.Ppk2Meter(entry)
