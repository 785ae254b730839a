"""The folder on the board that is voxgate's: artifacts, the lock, and what must be put back."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

from .faults import DISK, Fault

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SHARED = 0o1777  # several people's jobs use one board

_home: list[Path] = []


def settle(folder: str) -> None:
    """Use ``folder`` from now on, made where it is not there."""
    path = Path(folder)
    try:
        if not path.is_dir():
            path.mkdir(parents=True)
            path.chmod(SHARED)
    except OSError as error:
        raise disk_fault(error, path) from error
    _home[:] = [path]


def home() -> Path:
    return _home[0]


def boot_id() -> str:
    """Another one after every start of the board."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def disk_fault(error: OSError, path: Path) -> Fault:
    """An OSError of writing on the board, with how much room there is."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Fault(DISK, f"the disk is full: {free_mib(path)} MiB are free where {path} lies")
    return Fault(DISK, f"{path} could not be written ({error.strerror or error})")


def free_mib(path: Path) -> int:
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(str(path)).free >> 20


def facts(root: str = "/") -> dict[str, Any]:
    """What the board is, in builtin values; a fact that cannot be read is left out."""
    import platform

    from .runtimes import versions

    found: dict[str, Any] = {
        "boot": boot_id(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "free_mib": free_mib(home()),
        "runtimes": versions(),
        "pid": os.getpid(),
    }
    for name, path in (("model", "proc/device-tree/model"), ("os", "etc/os-release")):
        text = read(Path(root) / path)
        if text and name == "os":
            text = next((line.partition("=")[2].strip('"') for line in text.splitlines() if "PRETTY" in line), "")
        if text:
            found[name] = text.strip("\0")
    return found


def read(path: Path) -> str:
    """The text of a file of sysfs or procfs; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
