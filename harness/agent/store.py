"""Artifacts on the board: named by their sha256, which is verified after writing and before every use."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from .faults import DIGEST, DISK, Fault
from .place import disk_fault, home

MOST = 512 << 20  # bytes of one artifact
KEPT = 1 << 30  # bytes of artifacts kept from earlier runs
NAME = re.compile(r"[0-9a-f]{64}\.[a-z0-9_]{1,16}")
CHUNK = 1 << 20


def artifact(name: str) -> Path:
    if not NAME.fullmatch(name):
        raise Fault(DIGEST, f"{name!r:.90} is no name of an artifact")
    return home() / "artifacts" / name


def have(name: str) -> bool:
    """Whether the artifact is here, whole."""
    path = artifact(name)
    return path.is_file() and _sha256(path) == path.stem


def begin(name: str, size: int) -> None:
    """Make room for an artifact of ``size`` bytes and start it anew."""
    path = artifact(name)
    if not 0 < size <= MOST:
        raise Fault(DISK, f"an artifact of {size} bytes is refused: at most {MOST >> 20} MiB")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget(path.parent, KEPT - size)
        part(path).write_bytes(b"")
    except OSError as error:
        raise disk_fault(error, path) from error


def append(name: str, data: bytes) -> None:
    path = artifact(name)
    try:
        with part(path).open("ab") as file:
            if file.tell() + len(data) > MOST:
                raise Fault(DISK, f"more than {MOST >> 20} MiB came")
            file.write(data)
    except OSError as error:
        part(path).unlink()
        _forget(path.parent, 0)  # a second try may find room
        raise disk_fault(error, path) from error


def finish(name: str) -> None:
    """Verify what is on the disk, then give it its name. Raises Fault ``digest``."""
    path = artifact(name)
    found = _sha256(part(path))
    if found != path.stem:
        part(path).unlink()
        raise Fault(DIGEST, f"what was written has sha256 {found[:16]}, not {path.stem[:16]}")
    part(path).replace(path)


def part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            total.update(chunk)
    return total.hexdigest()


def _forget(folder: Path, most: int) -> None:
    """Remove the oldest artifacts beyond ``most`` bytes."""
    files = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > most:
            file.unlink()
