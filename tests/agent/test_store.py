"""Artifacts on the board: whole and verified, or not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from harness.agent import store
from harness.agent.faults import DIGEST, DISK, Fault

pytestmark = pytest.mark.usefixtures("home")
DATA = b"an artifact" * 1000


def name_of(data: bytes) -> str:
    return f"{hashlib.sha256(data).hexdigest()}.onnx"


def send(data: bytes, name: str) -> None:
    store.begin(name, len(data))
    for start in range(0, len(data), 4096):
        store.append(name, data[start : start + 4096])
    store.finish(name)


def test_what_is_sent_whole_is_there() -> None:
    assert not store.have(name_of(DATA))
    send(DATA, name_of(DATA))
    assert store.have(name_of(DATA))
    assert store.artifact(name_of(DATA)).read_bytes() == DATA


def test_another_digest_is_refused_and_leaves_nothing(home: Path) -> None:
    with pytest.raises(Fault, match="what was written has sha256") as caught:
        send(DATA + b"?", name_of(DATA))
    assert caught.value.kind == DIGEST
    assert list((home / "artifacts").iterdir()) == []


def test_one_that_was_damaged_later_is_not_there() -> None:
    send(DATA, name_of(DATA))
    store.artifact(name_of(DATA)).write_bytes(DATA[:-1])
    assert not store.have(name_of(DATA))


@pytest.mark.parametrize("name", ["../evil.onnx", "a.onnx", "0" * 64, f"{'0' * 64}.on/nx", f"{'0' * 64}.onnx\n"])
def test_a_name_that_is_no_digest_is_refused(name: str) -> None:
    with pytest.raises(Fault, match="no name of an artifact"):
        store.begin(name, 3)


@pytest.mark.parametrize("size", [0, -1, store.MOST + 1])
def test_sizes_are_bounded(size: int) -> None:
    with pytest.raises(Fault, match="refused"):
        store.begin(name_of(DATA), size)


def test_more_than_the_most_is_refused_while_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST", 10_000)
    store.begin(name_of(DATA), 9_000)
    with pytest.raises(Fault, match="came"):
        store.append(name_of(DATA), DATA)


def test_a_full_disk_says_how_much_is_free_and_makes_room_for_the_next_try(home: Path) -> None:
    send(DATA, name_of(DATA))
    name = name_of(b"new")
    store.begin(name, 3)
    part = store.part(store.artifact(name))
    part.unlink()
    part.symlink_to("/dev/full")
    with pytest.raises(Fault, match=r"the disk is full: \d+ MiB are free") as caught:
        store.append(name, b"new")
    assert caught.value.kind == DISK
    assert list((home / "artifacts").iterdir()) == []


def test_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "KEPT", 25_000)
    made = [DATA + bytes([i]) for i in range(4)]
    for i, data in enumerate(made):
        send(data, name_of(data))
        os.utime(store.artifact(name_of(data)), (i, i))
    assert [store.have(name_of(data)) for data in made] == [False, False, True, True]
