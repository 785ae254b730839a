"""A board held: its connection, the lock on it, the heartbeat that keeps the lock, and the ways back to it."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import secrets
import threading
import time
from typing import Any

from harness.agent import faults as kinds
from harness.agent.faults import Fault
from harness.boards.address import SshAddress
from harness.boards.labfile import LabBoard
from harness.boards.power import Power
from harness.boards.ssh import CONNECT_S, Link, Lost, sources
from harness.cache import digest
from harness.errors import InfraError
from harness.targets.base import Progress

LEASE_S = 60.0  # without a heartbeat, a lock is anybody's
CALL_S = 30.0
AGAIN_S = 2.0  # between two tries to reach a board, or to get its lock


def owner() -> str:
    """Who asks for a board, as others will read it: ``VOXGATE_OWNER``, or user and machine."""
    return os.environ.get("VOXGATE_OWNER") or f"{getpass.getuser()}@{platform.node()}"


class Hold:
    """One job's hold on one board. Made idle: ``ready`` connects and locks, ``release`` gives the board back."""

    def __init__(
        self,
        entry: LabBoard,
        address: SshAddress,
        power: Power | None = None,
        wait_s: float = 0.0,
        say: Progress = lambda _: None,
        lease_s: float = LEASE_S,
    ) -> None:
        self.entry, self.address, self.power, self.wait_s, self.say = entry, address, power, wait_s, say
        self.lease_s = lease_s
        self.token = secrets.token_hex(16)
        self.agent = digest(sources())
        self.loaded: set[str] = set()  # artifacts the agent has open
        self.recoveries: list[dict[str, Any]] = []  # what was lost and how it came back, for the record
        self.busy = threading.RLock()  # one call at a time: the connection is one
        self._link: Link | None = None
        self._facts: dict[str, Any] = {}
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None
        self._refused = ""

    @property
    def link(self) -> Link:
        if self._link is None:
            raise Lost("the connection is gone")
        return self._link

    @property
    def facts(self) -> dict[str, Any]:
        """What the board said it is, at connect."""
        return self._facts

    def ready(self, moment: str) -> None:
        """Connected and locked. Raises Lost, or InfraError naming who has the board."""
        with self.busy:
            if self._link is not None:
                return
            link = Link(self.address, self.entry.python, self.entry.patience * CONNECT_S)
            link.open()
            self._link = link
            try:
                self._lock(moment)
            except (Fault, InfraError):
                self.drop()
                raise
            self._beat()

    def drop(self) -> None:
        """Forget the connection, which also ends the agent; the lock stays ours while its lease lasts."""
        with self.busy:
            link, self._link = self._link, None
            self.loaded.clear()
        if link is not None:
            link.close()

    def recover(self, moment: str, reason: str, hard: bool) -> None:
        """Reach a lost board again: wait for it, and switch it off and on where waiting once was not enough."""
        began = time.monotonic()
        cycled = False
        self.say(f"board {self.entry.id} was lost while {moment}: {reason}; trying to reach it again")
        if hard and self.power is not None:
            cycled = self._cycle()
        patience = self.entry.boot_s if cycled or self.power is None else min(self.entry.boot_s, 15.0)
        last = self._reach(patience)
        if last is not None and not last.final and not cycled and self.power is not None:
            cycled = self._cycle()
            last = self._reach(self.entry.boot_s)
        if last is not None:
            raise InfraError(
                f"board {self.entry.id} was lost while {moment} ({reason}) and did not come back"
                f"{' after a power cycle' if cycled else ''}: {last}. {self.remedy} What was finished before is kept."
            )
        took = time.monotonic() - began
        self.recoveries.append({"while": moment, "lost": reason, "power_cycled": cycled, "seconds": round(took, 1)})
        self.say(f"board {self.entry.id} is back after {took:.0f} s{', power-cycled' if cycled else ''}")

    @property
    def remedy(self) -> str:
        switch = "" if self.power else ", or give it power = in lab.toml so that voxgate can cycle it"
        return f"Look at it: ssh -p {self.address.port} {self.address.user}@{self.address.host}{switch}."

    def release(self) -> None:
        """Give the board back."""
        self._stop.set()
        self._stop, self._beating = threading.Event(), None
        with self.busy:
            if self._link is not None:
                with contextlib.suppress(Lost, Fault):
                    self._link.ask("lock", "release", CALL_S, token=self.token)
        self.drop()

    def _lock(self, moment: str) -> None:
        deadline = time.monotonic() + self.wait_s
        while True:
            try:
                self._facts = self.link.ask(
                    "work",
                    "connect",
                    self.entry.patience * CALL_S,
                    folder=self.entry.folder,
                    owner=owner(),
                    token=self.token,
                    lease_s=self.lease_s,
                    purpose=f"process {os.getpid()}",
                )
            except Fault as fault:
                if fault.kind != kinds.LOCKED:
                    raise
                if time.monotonic() >= deadline:
                    raise InfraError(
                        f"board {self.entry.id} is {fault}, so nothing was measured while {moment}. Wait for it "
                        f"(wait_s in lab.toml; this run waited {self.wait_s:g} s), or end that with: "
                        f"voxgate lab unlock {self.entry.id} --force"
                    ) from fault
                self.say(f"waiting for board {self.entry.id}: {fault}")
                time.sleep(min(AGAIN_S, max(0.1, deadline - time.monotonic())))
            else:
                for change in self._facts["restored"]:
                    self.say(f"board {self.entry.id}: put {change}, which an agent that died had changed")
                return

    def _reach(self, patience: float) -> Lost | None:
        """None once a connection was made and locked; else why the last try failed."""
        deadline = time.monotonic() + patience
        while True:
            try:
                self.ready("reaching it again")
            except Lost as lost:
                self.drop()
                if lost.final or time.monotonic() > deadline:
                    return lost
                time.sleep(AGAIN_S)
            except Fault as fault:
                return Lost(str(fault))
            else:
                return None

    def _cycle(self) -> bool:
        if self.power is None:
            return False
        self.say(f"board {self.entry.id}: switching it off and on")
        self.power.cycle()
        return True

    def _beat(self) -> None:
        if self._beating is None:
            self._beating = threading.Thread(target=self._keep_beating, name=f"beat-{self.entry.id}", daemon=True)
            self._beating.start()

    def _keep_beating(self) -> None:
        """While no call runs: one that does beats by itself."""
        stop = self._stop
        while not stop.wait(self.lease_s / 4):
            if self.busy.acquire(blocking=False):
                try:
                    if self._link is not None:
                        self._link.ask("lock", "check", CALL_S, token=self.token)
                except Lost:
                    self.drop()
                except Fault:
                    pass  # whoever measures next looks at the lock first, and says it
                finally:
                    self.busy.release()
