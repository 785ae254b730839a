"""One QEMU process: started, found again, ended. All that is known of it lies in its folder.

So any process may switch the board (a test, a command from lab.toml), and the board still ends with the one
that made it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from harness.boards.virtual import keeper, qmp
from harness.boards.virtual.image import Image
from harness.errors import InfraError
from harness.targets.process import last_lines

MEMORY_MIB = 1024
CPU = "cortex-a76"  # as of RK3588; it has the dot products that int8 kernels use
START_S, END_S = 60.0, 10.0
POLL_S = 0.05
PROGRAMS = ("qemu-system-aarch64", "setpriv")  # the second becomes the first


def command(image: Image, port: int, shift: int) -> list[str]:
    """QEMU's words. One instruction takes ``2 ** shift`` ns of the guest's time; its port 22 is ours on loopback."""
    words = ["qemu-system-aarch64", "-nodefaults", "-no-user-config", "-display", "none"]
    words += ["-machine", "virt", "-cpu", CPU, "-smp", "1", "-m", str(MEMORY_MIB), "-accel", "tcg"]
    words += ["-icount", f"shift={shift},sleep=on"]
    words += ["-serial", "file:console.log", "-qmp", "unix:qmp.sock,server=on,wait=off", "-pidfile", "qemu.pid"]
    words += ["-kernel", str(image.kernel), "-initrd", str(image.initramfs)]
    words += ["-append", "console=ttyAMA0 quiet panic=0"]  # it stays down after a panic, as a board without watchdog
    for name, options in (("disk", "file=disk.qcow2,format=qcow2"), ("own", "file=own.tar,format=raw,readonly=on")):
        words += ["-drive", f"if=none,id={name},{options}", "-device", f"virtio-blk-device,drive={name},serial={name}"]
    words += ["-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"]
    return [*words, "-device", "virtio-net-device,id=nic,netdev=net"]


def lock(folder: Path) -> FileLock:
    """Held while the board is switched: two processes never start it twice."""
    return FileLock(folder / "switch.lock", timeout=START_S)


def running(folder: Path) -> int | None:
    """The process id of the board's QEMU, or None."""
    with suppress(OSError, ValueError):
        pid = int((folder / "started.pid").read_text())
        process = Path(f"/proc/{pid}")
        if (process / "cwd").samefile(folder) and (process / "exe").readlink().name in PROGRAMS:
            return pid
    return None


def start(folder: Path, words: list[str], owner: tuple[int, int]) -> None:
    """Run QEMU in ``folder`` until it or its owner (process id, start time) ends; back when it executes.

    Raises InfraError with QEMU's last words where it does not come up.
    """
    try:
        with lock(folder):
            if running(folder) is None:
                _spawn(folder, words, owner)
    except Timeout as error:
        raise InfraError(f"virtual board {folder.name}: another process is switching it; try again.") from error


def kill(folder: Path) -> None:
    """What a power cut does: QEMU is gone, with what the guest had not written."""
    pid = running(folder)
    if pid is None:
        return
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            if running(folder) != pid:
                return
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            ended = select.poll()
            ended.register(descriptor, select.POLLIN)
            if not ended.poll(END_S * 1000):
                raise InfraError(f"virtual board {folder.name}: QEMU (process {pid}) does not die.")
        finally:
            os.close(descriptor)


def _spawn(folder: Path, words: list[str], owner: tuple[int, int]) -> None:
    for name in ("started.pid", "qmp.sock", "qemu.pid"):
        (folder / name).unlink(missing_ok=True)
    pid, since = owner
    script = [sys.executable, "-I", keeper.__file__, str(pid), str(since), str(folder), *words]
    done = subprocess.run(script, stdin=subprocess.DEVNULL, capture_output=True, timeout=START_S, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise InfraError(
            f"virtual board {folder.name} cannot be switched on: {said[-1] if said else 'no reason given'}"
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with suppress(InfraError):
            qmp.execute(folder, "query-status")
            return
        if (folder / "started.pid").exists() and running(folder) is None:
            break
        time.sleep(POLL_S)
    kill(folder)
    last = " | ".join(last_lines(folder / "qemu.log", 3)) or "(nothing)"
    raise InfraError(f"virtual board {folder.name}: QEMU did not come up. Its last words: {last}")
