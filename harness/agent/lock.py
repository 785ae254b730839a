"""One board, one job: a lock that lies on the board itself, whatever a lab's coordinator believes.

The holder beats; a lock whose heartbeat stopped, or of an earlier boot, is nobody's. Time is the board's monotonic
clock, so that a clock that is set changes nothing. A reservation is a person's: it keeps other owners off and needs
no heartbeat until it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

from .faults import LOCKED, STOLEN, Fault
from .place import boot_id, disk_fault, home

SIZE = 1024  # bytes, fixed: a heartbeat is written in place, which needs no room on a full disk
ANYBODY = 0o666


def acquire(owner: str, token: str, lease_s: float, purpose: str) -> None:
    """Take the board, or keep it. Raises Fault ``locked`` with the holder's name while somebody else has it.

    An agent of our own that a lost connection left at work is ended: it would take part in what is measured.
    """
    with _exclusive():
        reservation = _alive(_read("reservation"))
        if reservation and reservation["owner"] != owner:
            raise Fault(LOCKED, f"reserved by {_who(reservation)}")
        held = _alive(_read("lock"))
        if held and held["token"] != token:
            raise Fault(LOCKED, f"held by {_who(held)}")
        if held:
            _end_agent(held.get("pid"))
        record = {"owner": owner, "token": token, "lease_s": lease_s, "purpose": purpose, "since": time.monotonic()}
        _write("lock", {**record, "boot": boot_id(), "beat": time.monotonic(), "pid": os.getpid()})


def check(token: str) -> None:
    """Beat. Raises Fault ``stolen``, with the thief's name, where the board is no longer ours."""
    with _exclusive():
        held = _read("lock")
        if not held or held["boot"] != boot_id():
            raise Fault(STOLEN, "its lock is gone: somebody unlocked it by force, or the board was restarted")
        if held["token"] != token:
            raise Fault(STOLEN, f"it was taken by {_who(held)}")
        reservation = _alive(_read("reservation"))
        if reservation and reservation["owner"] != held["owner"]:
            raise Fault(STOLEN, f"it was reserved by {_who(reservation)}")
        _write("lock", {**held, "beat": time.monotonic()})


def release(token: str) -> None:
    """Give the board back, where it is ours."""
    with _exclusive():
        held = _read("lock")
        if held and held["token"] == token:
            _remove("lock")


def reserve(owner: str, seconds: float, purpose: str) -> None:
    """Keep other owners off for a while. Raises Fault ``locked`` where another one holds or reserved the board."""
    with _exclusive():
        for name in ("reservation", "lock"):
            held = _alive(_read(name))
            if held and held["owner"] != owner:
                raise Fault(LOCKED, f"{'reserved' if name == 'reservation' else 'held'} by {_who(held)}")
        now = time.monotonic()
        record = {"owner": owner, "token": "", "lease_s": seconds, "purpose": purpose, "since": now, "beat": now}
        _write("reservation", {**record, "boot": boot_id(), "pid": 0})


def unlock(owner: str, force: bool) -> list[str]:
    """End reservation and lock of the owner, or of anybody by force; says in words what was ended."""
    ended = []
    with _exclusive():
        for name in ("reservation", "lock"):
            held = _read(name)
            if held and (force or not _alive(held) or held["owner"] == owner):
                _remove(name)
                ended.append(f"the {name} of {_who(held)}")
            elif held:
                raise Fault(LOCKED, f"{'reserved' if name == 'reservation' else 'held'} by {_who(held)}")
    return ended


def status() -> dict[str, str]:
    """Who holds and who reserved the board, in words; empty where nobody does."""
    with _exclusive():
        found = {name: _alive(_read(name)) for name in ("lock", "reservation")}
    return {name: _who(held) for name, held in found.items() if held}


def _end_agent(pid: Any) -> None:
    """End the process that took the lock before, if it still is one of execnet's and not this one."""
    if not isinstance(pid, int) or pid <= 1 or pid == os.getpid():
        return
    try:
        if b"sys.stdin.readline" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    except OSError:
        pass  # it is gone


def _alive(held: dict[str, Any]) -> dict[str, Any]:
    """The record, or an empty one where its heartbeat stopped or the board was restarted since."""
    if not held or held["boot"] != boot_id():
        return {}
    return held if 0 <= time.monotonic() - held["beat"] <= held["lease_s"] else {}


def _who(held: dict[str, Any]) -> str:
    ago = max(0.0, time.monotonic() - held["since"])
    beat = max(0.0, time.monotonic() - held["beat"])
    rest = f"heartbeat {beat:.0f} s ago" if held["token"] else f"for another {max(0.0, held['lease_s'] - beat):.0f} s"
    why = f", {held['purpose']}" if held["purpose"] else ""
    return f"{held['owner']} (since {ago:.0f} s, {rest}{why})"


@contextmanager
def _exclusive() -> Iterator[None]:
    """One process at a time looks at and changes the records."""
    path = home() / "mutex"
    try:
        descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT, ANYBODY)
    except OSError as error:
        raise disk_fault(error, path) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(name: str) -> dict[str, Any]:
    """The record, or an empty one: one that a power cut left unreadable is of an earlier boot anyhow."""
    try:
        record = json.loads((home() / name).read_bytes()[: 4 * SIZE].decode("utf-8"))
        whole = isinstance(record, dict)
        whole = whole and all(isinstance(record.get(key), str) for key in ("owner", "token", "purpose", "boot"))
        whole = whole and all(isinstance(record.get(key), (int, float)) for key in ("lease_s", "since", "beat"))
        return record if whole else {}
    except (OSError, ValueError):
        return {}


def _write(name: str, record: dict[str, Any]) -> None:
    path = home() / name
    text = json.dumps({key: value[:200] if isinstance(value, str) else value for key, value in record.items()})
    try:
        descriptor = os.open(str(path), os.O_WRONLY | os.O_CREAT, ANYBODY)
        try:
            os.pwrite(descriptor, text.encode("utf-8").ljust(SIZE), 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise disk_fault(error, path) from error


def _remove(name: str) -> None:
    path: Path = home() / name
    if path.exists():
        path.unlink()
