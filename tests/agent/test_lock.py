"""One board, one job: who may take it, when, and how it is noticed that somebody did."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.agent import lock, place
from harness.agent.faults import LOCKED, STOLEN, Fault

pytestmark = pytest.mark.usefixtures("home", "clock")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(lock.time, "monotonic", clock)
    return clock


def take(job: str = "t1", owner: str = "ann@one") -> None:
    lock.acquire(owner, job, 60, "process 7")


def refused(call: object, kind: str) -> str:
    with pytest.raises(Fault) as caught:
        call()  # type: ignore[operator]
    assert caught.value.kind == kind
    return str(caught.value)


def test_a_free_board_is_taken_and_given_back() -> None:
    take()
    lock.check("t1")
    assert lock.status()["lock"].startswith("ann@one (since 0 s, heartbeat 0 s ago, process 7)")
    lock.release("t1")
    assert lock.status() == {}
    take("t2", "ben@two")


def test_while_it_beats_nobody_else_gets_it(clock: Clock) -> None:
    take()
    for _ in range(5):
        clock.now += 50
        lock.check("t1")
        assert "held by ann@one" in refused(lambda: take("t2", "ben@two"), LOCKED)
    take()  # the same job may, after a lost connection


def test_without_a_heartbeat_it_is_anybodys_and_the_late_owner_learns_who(clock: Clock) -> None:
    take()
    clock.now += 61
    take("t2", "ben@two")
    assert "taken by ben@two" in refused(lambda: lock.check("t1"), STOLEN)
    lock.release("t1")
    lock.check("t2")  # the first one's release took nothing away


def test_a_late_heartbeat_keeps_what_nobody_took(clock: Clock) -> None:
    take()
    clock.now += 100
    lock.check("t1")


def test_a_restart_of_the_board_frees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    take()
    monkeypatch.setattr(lock, "boot_id", lambda: "another boot")
    assert "restarted" in refused(lambda: lock.check("t1"), STOLEN)
    take("t2", "ben@two")


def test_a_lock_removed_by_force_is_noticed() -> None:
    take()
    assert "held by ann@one" in refused(lambda: lock.unlock("eve@x", force=False), LOCKED)
    assert lock.unlock("eve@x", force=True) == ["the lock of ann@one (since 0 s, heartbeat 0 s ago, process 7)"]
    assert "unlocked it by force" in refused(lambda: lock.check("t1"), STOLEN)


def test_a_reservation_keeps_others_off_until_it_ends(clock: Clock) -> None:
    lock.reserve("ann@one", 600, "thermals")
    assert "reserved by ann@one" in refused(lambda: take("t2", "ben@two"), LOCKED)
    take("t1", "ann@one")
    lock.release("t1")
    clock.now += 601
    take("t2", "ben@two")


def test_a_reservation_needs_a_board_that_nobody_else_holds() -> None:
    take()
    assert "held by ann@one" in refused(lambda: lock.reserve("ben@two", 60, ""), LOCKED)
    lock.reserve("ann@one", 60, "")


def test_a_reservation_made_over_a_runs_head_stops_it(clock: Clock) -> None:
    take()
    clock.now += 61
    lock.reserve("ben@two", 600, "urgent")
    assert "reserved by ben@two" in refused(lambda: lock.check("t1"), STOLEN)


@pytest.mark.parametrize("left", [b"", b"\0" * 1024, b"{", b"[]", b'{"owner": 3}', b"\xff\xfe", b'{"boot": null}'])
@pytest.mark.parametrize("name", ["lock", "reservation"])
def test_what_a_power_cut_left_is_nobodys(home: Path, left: bytes, name: str) -> None:
    (home / name).write_bytes(left)
    assert lock.status() == {}
    take()
    lock.check("t1")


def test_a_heartbeat_needs_no_room(home: Path) -> None:
    """It is written in place: on a full disk the lock stays."""
    take()
    before = (home / "lock").stat()
    lock.check("t1")
    after = (home / "lock").stat()
    assert (before.st_ino, before.st_size, before.st_blocks) == (after.st_ino, after.st_size, after.st_blocks)


def test_the_folder_is_everybodys(tmp_path: Path) -> None:
    place.settle(str(tmp_path / "shared"))
    assert (tmp_path / "shared").stat().st_mode & 0o7777 == 0o1777
