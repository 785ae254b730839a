"""One client of a labgrid coordinator: what reserves, acquires, watches and releases a place.

Only :mod:`harness.boards.labgrid` uses it, and labgrid is imported when a session begins. All sessions of a process
live on one event loop, in a thread of its own, and one coordinator has one session: labgrid asserts both.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from harness.errors import InfraError, nearest

ANSWER_S = 15.0  # for any single answer of the coordinator
POLL_S = 1.0
ALLOCATED_S = 40.0  # in which the coordinator looks again who may have a place that was given back
GRACE_S = 60.0  # in which a job that has just acquired a place gets to lock its board
OURS = re.compile(r"-\d+-[0-9a-f]{6}$")  # how the names of our jobs end
TRUSTED = "reach it through a trusted network or an ssh tunnel (ssh -L 20408:127.0.0.1:20408 LABHOST)"

_sessions: dict[str, Session] = {}  # by coordinator
_opening = threading.Lock()
Abandoned = Callable[[str, str, int], bool]  # of user, host, port: whether the board's own lock is nobody's


@contextmanager
def connected(address: str) -> Iterator[Session]:
    """The session with the coordinator at ``address``, shared by the leases of this process. Raises InfraError."""
    with _opening:
        session = _sessions.get(address)
        if session is None or session.client.stopping.is_set():  # none yet, or one whose coordinator died
            session = _sessions[address] = Session(address)
        session.leases += 1
    try:
        yield session
    finally:
        with _opening:
            session.leases -= 1
            if not session.leases:
                session.close()
                if _sessions.get(address) is session:
                    del _sessions[address]


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Runs until the process ends, so that what the coordinator tells is heard at once."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="labgrid", daemon=True).start()
    return loop


class Session:
    """One client of one coordinator, under a name no other job has: labgrid lets jobs of one user share a place."""

    def __init__(self, address: str) -> None:
        from labgrid.remote.client import ClientSession
        from labgrid.util.proxy import proxymanager

        async def client() -> Any:  # on the loop: its channel belongs to it
            return ClientSession(proxymanager.get_grpc_address(address, default_port=20408), _loop())

        self.address = address
        self.leases = 0
        self.client = self.ask(client, "begin")
        name = f"{os.environ.get('LG_USERNAME') or getpass.getuser()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.client.getuser = lambda: re.sub(r"[^\w.-]", "_", name)
        self.owner = f"{self.client.gethostname()}/{self.client.getuser()}"
        try:
            self.ask(self.client.start, "say who we are")
        except InfraError:
            self.close()
            raise

    @contextmanager
    def reserved(
        self, wanted: Mapping[str, str], wait_s: float, abandoned: Abandoned, say: Callable[[str], None]
    ) -> Iterator[str]:
        """The name of a place allocated to us. The reservation is cancelled however this ends."""
        from labgrid.remote.client import labgrid_coordinator_pb2 as messages

        self._known(wanted)
        filters = {"main": messages.Reservation.Filter(filter=wanted)}
        request = messages.CreateReservationRequest(filters=filters, prio=0.0)
        token = self.request("CreateReservation", request, "reserve").reservation.token
        try:
            yield self._allocated(token, wanted, wait_s, abandoned, say)
        finally:
            cancel = messages.CancelReservationRequest(token=token)
            with suppress(InfraError):  # a coordinator that died forgot it as well
                self.request("CancelReservation", cancel, "cancel the reservation")

    @contextmanager
    def acquired(self, place: str) -> Iterator[None]:
        from labgrid.remote.client import labgrid_coordinator_pb2 as messages

        request = messages.AcquirePlaceRequest(placename=place)
        # Only as the owner that we are: whoever took the place by force keeps it.
        release = messages.ReleasePlaceRequest(placename=place, fromuser=self.owner)
        try:
            self.request("AcquirePlace", request, f"acquire {place}")
            self.ask(self.client.sync_with_coordinator, f"confirm that {place} is ours")
            yield
        finally:
            with suppress(InfraError):  # a coordinator that died forgot it as well
                self.request("ReleasePlace", release, f"release {place}")

    def require(self, place: str) -> None:
        """Raise InfraError unless the coordinator still says that the place is ours."""
        confirm = f"confirm that {place} is ours"
        if self.client.stopping.is_set() or not self.ask(self.client.sync_with_coordinator, confirm):
            raise self._lost(confirm, "it went away")
        owner = self.client.places[place].acquired
        if owner != self.owner:
            raise InfraError(
                f"labgrid place {place} was taken from this run ({self.owner}): "
                f"{f'{owner} holds it now' if owner else 'it was released'}, so figures from here on are not ours. "
                f"See: labgrid-client -x {self.address} who; then run again."
            )

    def bind(self) -> None:
        """Let labgrid's targets find their places by this session."""
        from labgrid.resource.remote import RemotePlaceManager

        manager = RemotePlaceManager.get()
        manager.session, manager.loop = self.client, _loop()

    def close(self) -> None:
        for end in (self.client.stop, self.client.close):
            with suppress(Exception):  # nothing is held any more, and a dead coordinator cannot be told
                self.ask(end, "end")

    def ask(self, call: Callable[[], Coroutine[Any, Any, Any]], what: str) -> Any:
        """What a coroutine gives, run on the loop. Raises InfraError where the coordinator refuses or is gone."""
        from grpc import StatusCode
        from grpc.aio import AioRpcError
        from labgrid.remote.client import Error

        answer = asyncio.run_coroutine_threadsafe(asyncio.wait_for(call(), ANSWER_S), _loop())
        try:
            return answer.result()
        except TimeoutError as error:
            raise self._lost(what, f"no answer in {ANSWER_S:g} s") from error
        except Error as error:
            raise self._lost(what, line(error)) from error
        except AioRpcError as error:
            if error.code() is StatusCode.UNAVAILABLE:
                raise self._lost(what, line(error)) from error
            raise InfraError(
                f"labgrid coordinator {self.address} refused to {what} as {self.owner}: {line(error)}. "
                f"See: labgrid-client -x {self.address} places"
            ) from error

    def request(self, name: str, message: Any, what: str) -> Any:
        """The answer to one request of labgrid's protocol."""

        async def call() -> Any:
            return await getattr(self.client.stub, name)(message)

        return self.ask(call, what)

    def _lost(self, what: str, why: str) -> InfraError:
        return InfraError(
            f"labgrid coordinator {self.address} could not be asked to {what}: {why}. Start it and its exporter again "
            "(labgrid-coordinator -l HOST:PORT): a restarted one has forgotten every holder. It has no password, so "
            f"{TRUSTED}. Then see: labgrid-client -x {self.address} places"
        )

    def holders(self, wanted: Mapping[str, str]) -> str:
        """Who has the places wanted, in words; empty where one of them is free. Raises InfraError for none such."""
        self._known(wanted)
        places = self._matching(wanted)
        if not all(place.acquired or place.reservation for place in places):
            return ""
        held = [f"labgrid place {place.name} is held by {place.acquired}" for place in places if place.acquired]
        return "; ".join(held) or f"labgrid place {places[0].name} is reserved for somebody else"

    def _known(self, wanted: Mapping[str, str]) -> None:
        if self._matching(wanted):
            return
        known = sorted(self.client.places)
        asked = ", ".join(f"{key}={value}" for key, value in wanted.items())
        raise InfraError(
            f"labgrid coordinator {self.address} has no place with {asked}{nearest(wanted.get('name', ''), known)}; it "
            f"has {', '.join(known) or 'none'}. Correct lab.toml, or: labgrid-client -x {self.address} -p PLACE create"
        )

    def _matching(self, wanted: Mapping[str, str]) -> list[Any]:
        return [
            place
            for name, place in sorted(dict(self.client.places).items())
            if wanted.items() <= {**place.tags, "name": name}.items()
        ]

    def _allocated(
        self, token: str, wanted: Mapping[str, str], wait_s: float, abandoned: Abandoned, say: Callable[[str], None]
    ) -> str:
        from labgrid.remote.client import labgrid_coordinator_pb2 as messages
        from labgrid.remote.common import ReservationState

        poll, end, told = messages.PollReservationRequest(token=token), time.monotonic() + wait_s, False
        while True:
            found = self.request("PollReservation", poll, "poll the reservation").reservation
            state = ReservationState(found.state)
            if state is ReservationState.allocated:
                return str(found.allocations["main"])
            if state is not ReservationState.waiting:
                raise self._lost("keep a reservation", f"it is {state.name}")
            if self._freed(wanted, abandoned, say):
                end = max(end, time.monotonic() + ALLOCATED_S)
            holders = self.holders(wanted) or "labgrid has yet to allocate the place"
            if time.monotonic() >= end:
                raise InfraError(
                    f"{holders}; this run waited {wait_s:g} s. Wait longer with wait_s in lab.toml; where its owner "
                    f"is gone: labgrid-client -x {self.address} -p PLACE release --kick"
                )
            if not told:
                say(f"{holders}; waiting up to {wait_s:g} s")
                told = True
            time.sleep(POLL_S)

    def _freed(self, wanted: Mapping[str, str], abandoned: Abandoned, say: Callable[[str], None]) -> bool:
        """Give back a place whose holder, a job of voxgate's, was killed: labgrid would keep it acquired for ever."""
        from labgrid.remote.client import labgrid_coordinator_pb2 as messages

        for place in self._matching(wanted):
            owner = place.acquired or ""
            if not OURS.search(owner) or owner == self.owner or time.time() - place.changed < GRACE_S:
                continue
            service = self._service(place)
            if service is None or not abandoned(service["username"], service["address"], service.get("port", 22)):
                continue
            say(f"labgrid place {place.name} was left behind by {owner}, whose lock on the board has ended; taking it")
            release = messages.ReleasePlaceRequest(placename=place.name, fromuser=owner)
            self.request("ReleasePlace", release, f"release {place.name}")
            if place.reservation:
                cancel = messages.CancelReservationRequest(token=place.reservation)
                with suppress(InfraError):  # somebody else who waits was quicker
                    self.request("CancelReservation", cancel, "cancel the reservation left behind")
            return True
        return False

    def _service(self, place: Any) -> Any:
        """What the exporter tells of the place's NetworkService; None where there is none."""
        for exporter, group, kind, name in place.acquired_resources:
            if kind == "NetworkService":
                return self.client.resources[exporter][group][name].args
        return None


def line(error: BaseException) -> str:
    details = getattr(error, "details", None)
    text = details() if callable(details) else getattr(error, "msg", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
