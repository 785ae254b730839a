"""A board leased through labgrid: reserved, acquired, released, and its reservation cancelled, in this order.

labgrid is an optional extra (``pip install 'voxgate[labgrid]'``, LGPL-2.1-or-later): it is imported here
only, when a lease begins. Its coordinator has no authentication: a trusted network, or an ssh tunnel.
A lease is not enough to own a board. A restarted coordinator forgets who holds what, and nobody is told
of a ``release --kick``: so :meth:`Lease.check` is asked before every figure, beside the on-board lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from harness.boards.address import SshAddress, beside
from harness.boards.labgrid_session import connected, line
from harness.boards.power import Power
from harness.errors import InfraError, Unsupported, nearest
from harness.strict import Strict

DEFAULT_COORDINATOR = "127.0.0.1:20408"
# Which driver switches what an exporter offers; an environment file may name any other itself.
POWER_DRIVERS = {
    "NetworkPowerPort": "NetworkPowerDriver",
    "PDUDaemonPort": "PDUDaemonDriver",
    "TasmotaPowerPort": "TasmotaPowerDriver",
    "NetworkUSBPowerPort": "USBPowerDriver",
    "NetworkSiSPMPowerPort": "SiSPMPowerDriver",
    "NetworkYKUSHPowerPort": "YKUSHPowerDriver",
}


class LabgridEntry(Strict):
    """``labgrid = { ... }`` of one board in lab.toml: a place at a coordinator, or a target of an environment file."""

    coordinator: str | None = Field(None, pattern=r"^[\w.:\[\]-]+$")
    place: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    environment: Path | None = None  # relative to the lab.toml
    target: str = "main"  # of the environment file
    identity: str | None = Field(None, pattern=r'^[^"\n]+$')  # as of an address: labgrid tells user, host and port
    known_hosts: str | None = Field(None, pattern=r'^[^"\n]+$')
    wait_s: float = Field(60.0, ge=0, le=86400)  # for a place that somebody holds

    @model_validator(mode="after")
    def _one_way(self) -> LabgridEntry:
        if (self.coordinator is None) == (self.environment is None):
            raise ValueError("name a coordinator (with place or tags), or an environment file (with target)")
        if self.coordinator and bool(self.place) == bool(self.tags):
            raise ValueError("a coordinator needs either a place or tags to choose one by")
        if self.environment and (self.place or self.tags):
            raise ValueError("an environment file names its place itself; remove place and tags")
        return self

    @property
    def wanted(self) -> dict[str, str]:
        """The filter of a reservation: labgrid counts a place's name among its tags."""
        return {"name": self.place} if self.place else dict(self.tags)


@dataclass(frozen=True, slots=True)
class LabgridPower:
    """labgrid's own driver as a Power. Raises InfraError where it fails."""

    driver: Any
    where: str

    def on(self) -> None:
        self._do("on")

    def off(self) -> None:
        self._do("off")

    def cycle(self) -> None:
        self._do("cycle")

    def _do(self, action: str) -> None:
        try:
            getattr(self.driver, action)()
        except Exception as error:  # each driver has its own ways to fail
            raise InfraError(
                f"power {action} of {self.where} failed ({line(error)}); try: labgrid-client -p PLACE power {action}"
            ) from error


@dataclass(frozen=True, slots=True)
class Lease:
    """A board of ours until the ``with`` ends. ``place`` is None where an environment names a board directly."""

    place: str | None
    owner: str  # as the coordinator knows us: host/user, the user unique to this job
    ssh: SshAddress
    power: Power | None
    check: Callable[[], None] = lambda: None  # raises InfraError once the place is no longer ours


@contextmanager
def lease(
    entry: LabgridEntry,
    *,
    home: Path,
    abandoned: Callable[[SshAddress], bool] = lambda _: False,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Lease]:
    """Hold the board of ``entry`` for the length of a ``with``. ``home`` is the folder of the lab.toml.

    ``abandoned`` tells whether the board's own lock is nobody's: a place that a killed job left is then taken over.

    Raises Unsupported without labgrid; InfraError where the coordinator does not answer, the place is unknown, held
    by somebody for longer than ``wait_s``, or lacks a NetworkService.
    """
    _needed()
    environment: Any = _environment(home / entry.environment) if entry.environment else None
    coordinator, wanted = _asked(entry, environment)
    if wanted is None:  # the environment names the board itself
        target = _made(lambda: environment.get_target(entry.target), f"target {entry.target}")
        yield Lease(None, "", *_reached(target, entry.target, entry, home))
        return

    def left_behind(user: str, host: str, port: int) -> bool:
        return abandoned(_address(user, host, port, entry, home))

    with (
        connected(coordinator) as session,
        session.reserved(wanted, entry.wait_s, left_behind, say) as place,
        session.acquired(place),
    ):
        session.bind()
        target = _made(lambda: _target(place, environment, entry.target), f"place {place}")
        found = _reached(target, place, entry, home)
        yield Lease(place, session.owner, *found, lambda: session.require(place))


def holder(entry: LabgridEntry, home: Path) -> str:
    """Who has the board of ``entry``, in words, without taking it; ``free`` where nobody does. Raises as ``lease``."""
    _needed()
    environment: Any = _environment(home / entry.environment) if entry.environment else None
    coordinator, wanted = _asked(entry, environment)
    if wanted is None:
        return "free"
    with connected(coordinator) as session:
        return session.holders(wanted) or "free"


def _needed() -> None:
    try:
        import labgrid  # noqa: F401
    except ImportError as error:
        raise Unsupported(
            f"labgrid is not installed ({error}), and lab.toml names a board of it. Run: pip install 'voxgate[labgrid]'"
        ) from error


def _environment(file: Path) -> Any:
    from labgrid import Environment

    def nobody(prompt: str) -> str:
        raise InfraError(f"labgrid asks a person: {prompt!r}. Give the board a power driver that needs none.")

    return _made(lambda: Environment(str(file), interact=nobody), f"environment {file}")


def _asked(entry: LabgridEntry, environment: Any) -> tuple[str, dict[str, str] | None]:
    """The coordinator, and the tags of the place wanted there; None where the environment needs no coordinator."""
    if environment is None:
        return entry.coordinator or DEFAULT_COORDINATOR, entry.wanted
    from labgrid import target_factory

    targets = environment.config.get_targets()
    if entry.target not in targets:
        raise InfraError(
            f"{environment.config_file} has no target {entry.target!r}{nearest(entry.target, targets)}; it has "
            f"{', '.join(targets)}. Name one in lab.toml."
        )
    resources, _ = target_factory.normalize_config(targets[entry.target])
    places = list(resources.get("RemotePlace", {}))
    fallback = os.environ.get("LG_COORDINATOR", DEFAULT_COORDINATOR)
    return environment.config.get_option("coordinator_address", fallback), {"name": places[0]} if places else None


def _target(place: str, environment: Any, name: str) -> Any:
    """labgrid's Target of an acquired place, its resources bound."""
    from labgrid import Target
    from labgrid.resource.remote import RemotePlace

    if environment is not None:
        return environment.get_target(name)
    target = Target(place)
    RemotePlace(target, name=place)
    return target


def _reached(target: Any, where: str, entry: LabgridEntry, home: Path) -> tuple[SshAddress, LabgridPower | None]:
    service = _made(lambda: target.get_resource("NetworkService"), f"the NetworkService of {where}")
    extra = getattr(service, "extra", {})
    if extra.get("proxy_required"):
        raise Unsupported(
            f"{where} is reached only through its exporter ({extra.get('proxy')}), which voxgate does not do: "
            "export it without --isolated, or name the board by its address, with a ProxyJump in ~/.ssh/config."
        )
    return _address(service.username, service.address, service.port, entry, home), _power(target, where)


def _address(user: str, host: str, port: int, entry: LabgridEntry, home: Path) -> SshAddress:
    return SshAddress(user, host, port, beside(home, entry.identity), beside(home, entry.known_hosts))


def _power(target: Any, where: str) -> LabgridPower | None:
    """The power driver that the environment names, or the one for what the exporter offers."""
    from labgrid import target_factory
    from labgrid.exceptions import NoDriverFoundError

    try:
        return LabgridPower(target.get_driver("PowerProtocol"), where)
    except NoDriverFoundError:
        names = [POWER_DRIVERS.get(type(resource).__name__) for resource in target.resources]
    name = next((name for name in names if name), None)
    if name is None:
        return None

    def driver() -> Any:
        switch = target_factory.make_driver(target, name, None, {})
        target.activate(switch)
        return switch

    return LabgridPower(_made(driver, f"the {name} of {where}"), where)


def _made(make: Callable[[], Any], what: str) -> Any:
    """What labgrid makes of its configuration, its many errors as one."""
    try:
        return make()
    except Exception as error:
        if isinstance(error, InfraError):
            raise
        raise InfraError(
            f"labgrid cannot use {what}: {line(error)}. See: labgrid-client resources, and its exporter's yaml."
        ) from error
