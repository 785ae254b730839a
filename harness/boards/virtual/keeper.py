"""Starts QEMU and ends it with its owner, however the owner ends. Only the standard library; run as a file.

``keeper.py OWNER STARTED FOLDER COMMAND...`` returns as soon as QEMU runs, and stays behind as a process of
its own that waits for two others: when the owner (a process id and when it started, in clock ticks) is gone,
QEMU is killed and the board's folder removed; when QEMU ends, that is all. Should the keeper itself be killed,
the kernel kills QEMU.
"""

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path


def started(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 where there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError):
        return 0


def main(owner: int, since: int, folder: Path, command: list[str]) -> None:
    watched = os.pidfd_open(owner)
    if started(owner) != since:
        sys.exit(f"the owner {owner} of {folder} is gone")
    os.chdir(folder)
    if os.fork():
        return
    os.setsid()
    with Path("qemu.log").open("wb") as log:
        qemu = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    Path("started.pid").write_text(str(qemu.pid))
    for stream in (0, 1, 2):  # whoever started us reads until these are closed
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    ends = select.poll()
    ends.register(watched, select.POLLIN)
    ends.register(os.pidfd_open(qemu.pid), select.POLLIN)
    over = {descriptor for descriptor, _ in ends.poll()}
    qemu.kill()
    qemu.wait()
    if watched in over:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
