"""lab.toml: the boards of a lab, where they are reached, what they can do, and which are out of order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from harness.boards.address import SshAddress, beside
from harness.boards.energy import Hwmon, Joulescope, MeterEntry, Ppk2, Tegrastats
from harness.boards.labgrid import LabgridEntry, lease
from harness.boards.power import CommandPower, Power
from harness.errors import InfraError
from harness.strict import Strict, faults, read_toml

Command = tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...]
EMULATED = 4.0
NAME = r"^[a-z0-9][a-z0-9_.-]*$"


class Address(Strict):
    """An account reached by ssh; paths are relative to lab.toml, ``~`` is the user's home."""

    user: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")
    host: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$")
    port: int = Field(22, ge=1, le=65535)
    identity: str | None = Field(None, pattern=r'^[^"\n]+$')
    known_hosts: str | None = Field(None, pattern=r'^[^"\n]+$')


class PowerCommands(Strict):
    """Commands that switch a board, as lists of arguments; ``cycle`` alone will do."""

    on: Command = ()
    off: Command = ()
    cycle: Command = ()

    @model_validator(mode="after")
    def _enough(self) -> PowerCommands:
        if not self.cycle and not (self.on and self.off):
            raise ValueError("power needs cycle, or both on and off")
        return self


class Quarantine(Strict):
    """Why a board is not to be used, and the last day of that."""

    reason: str = Field(min_length=4)
    until: date


class LabBoard(Strict):
    """One board."""

    id: str = Field(pattern=NAME)
    targets: tuple[str, ...] = Field(min_length=1)
    address: Address | None = None
    labgrid: LabgridEntry | None = None  # in the place of an address
    capabilities: tuple[str, ...] = ()
    power: PowerCommands | None = None
    meter: MeterEntry | None = None
    notes: str = ""
    quarantine: Quarantine | None = None
    python: str = Field("python3", pattern=r"^[A-Za-z0-9_.~/-]+$")
    folder: str = Field("/var/tmp/voxgate", pattern=r"^/[^\n]+$")  # noqa: S108  (on the board; one for all its users)
    runtimes: dict[str, str] = Field(
        default_factory=dict
    )  # suffix of an artifact to runtime: {".plan" = "our_trt:open_model"}
    virtual: bool = False  # an emulated machine: its figures are an emulator's
    boot_s: float = Field(90.0, gt=0, le=3600)  # how long it may take to come back

    @model_validator(mode="after")
    def _reached_one_way(self) -> LabBoard:
        if (self.address is None) == (self.labgrid is None):
            raise ValueError("a board has either an address, or labgrid to ask for one")
        return self

    @property
    def patience(self) -> float:
        """Times as long as silicon it may take to answer: a virtual board's time is not ours."""
        return EMULATED if self.virtual else 1.0

    def out_of_order(self, today: date | None = None) -> str:
        """Why it is not to be used today, or an empty string."""
        held = self.quarantine
        if held is None or held.until < (today or date.today()):
            return ""
        return f"{self.id} is quarantined until {held.until}: {held.reason}"

    def overdue(self, today: date | None = None) -> str:
        """The quarantine that is over and still declared, or an empty string."""
        held = self.quarantine
        if held is None or held.until >= (today or date.today()):
            return ""
        return f"that of {self.id} ended with {held.until} ({held.reason})"


class LabToml(Strict):
    wait_s: float = Field(0.0, ge=0, le=86400)  # how long a run waits for a board that another one holds
    lease_s: float = Field(60.0, ge=4, le=3600)  # a lock whose heartbeat stopped that long ago is anybody's
    board: tuple[LabBoard, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_differ(self) -> LabToml:
        ids = [board.id for board in self.board]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"boards declared twice: {', '.join(twice)}")
        return self


def read(path: Path) -> LabToml:
    """The lab. Raises InfraError with every fault of its file."""
    raw = read_toml(path, InfraError, "See docs/lab.md for a lab.toml to start from.")
    try:
        return LabToml.model_validate(raw)
    except ValidationError as error:
        models = (
            LabToml, LabBoard, Address, PowerCommands, Quarantine, LabgridEntry, Hwmon, Tegrastats, Joulescope, Ppk2
        )  # fmt: skip
        raise InfraError(f"{path}: {'; '.join(faults(error, models))}.") from error


def address(board: LabBoard, folder: Path) -> SshAddress | None:
    """Where it is reached, with paths made absolute from the folder of lab.toml; None where labgrid tells it."""
    named = board.address
    if named is None:
        return None
    keys = beside(folder, named.identity), beside(folder, named.known_hosts)
    return SshAddress(named.user, named.host, named.port, *keys)


@contextmanager
def reached(board: LabBoard, folder: Path) -> Iterator[SshAddress]:
    """Where it is reached, for the length of a ``with``: a board of labgrid's is leased that long."""
    known = address(board, folder)
    if known is not None:
        yield known
    elif board.labgrid is not None:
        with lease(board.labgrid, home=folder) as held:
            yield held.ssh


def power(board: LabBoard) -> Power | None:
    """Its switch, where it has one."""
    if board.power is None:
        return None
    return CommandPower(board.id, board.power.on, board.power.off, board.power.cycle)
