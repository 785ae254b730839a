"""A virtual board and what can befall it. Every wait ends; what a fault did, another method undoes."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.boards.address import SshAddress
from harness.boards.virtual import keeper, keys, machine, qmp
from harness.boards.virtual.image import Image, find_image
from harness.errors import InfraError
from harness.targets.base import Progress

READY_S, COMMAND_S, SNAPSHOT_S = 180.0, 60.0, 120.0
PORTS = range(20000, 30000)  # below those that the system gives to outgoing connections
SHIFT = 1  # 2 ns an instruction
STATE = "board.json"
FILL = "cd / && fallocate -l $(($(stat -f -c '%a * %S' /))) filler; dd if=/dev/zero of=filler2 bs=4k 2>/dev/null; sync"
HOG = "setsid timeout 3600 sh -c 'while :; do :; done' >/dev/null 2>&1 </dev/null & echo $! >>/run/hogs"
UNHOG = "for hog in $(cat /run/hogs); do kill -KILL -$hog || exit 1; done; rm -f /run/hogs"
PANIC = "(sleep 0.3; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 </dev/null &"


class VirtualBoard:
    """A board in ``folder``, which is its own: what it makes there goes with :meth:`stop`.

    ``folder`` may hold a board that another process started: then this object switches the same one, which
    still ends with the process that started it.
    """

    def __init__(self, folder: Path, say: Progress = lambda _: None) -> None:
        self.folder = folder.absolute()
        self.say = say

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def ssh(self) -> SshAddress:
        """Where it is reached, as root."""
        return keys.address(self.folder, self._state()["port"])

    @property
    def console(self) -> str:
        """What it said on its serial line since it was switched on."""
        with suppress(OSError):
            return (self.folder / "console.log").read_text(errors="replace")
        return ""

    @property
    def shift(self) -> int:
        """Its speed, when it has power: an instruction takes ``2 ** shift`` ns."""
        return int(self._state()["shift"])

    @property
    def running(self) -> bool:
        """Whether it has power."""
        return machine.running(self.folder) is not None

    def __enter__(self) -> VirtualBoard:
        if not self.running:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, shift: int = SHIFT) -> None:
        """Make the board and switch it on; back when a command has run on it over ssh.

        One instruction takes ``2 ** shift`` ns: each step more halves its speed. What a board left here whose
        process is gone is removed first. Raises InfraError.
        """
        if self.running:
            raise InfraError(f"virtual board {self.name} runs already in {self.folder}; stop it first.")
        image = find_image(self.say)
        self._sweep()
        self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        port = _free_port()
        keys.make(self.folder, self.name, port)
        _disk(self.folder, image.disk)
        owner = os.getpid()
        files = [str(image.kernel), str(image.initramfs), str(image.disk)]
        self._write({"port": port, "shift": shift, "owner": [owner, keeper.started(owner)], "image": files})
        try:
            self.power_on()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and remove its folder."""
        machine.kill(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def power_cut(self) -> None:
        """Off, at once; its disk keeps what was written."""
        machine.kill(self.folder)

    def power_on(self, shift: int | None = None) -> None:
        """On, with its disk as it is; see :meth:`wait_ready`. ``shift`` makes it another speed."""
        state = self._state()
        if shift is not None:
            state["shift"] = shift
            self._write(state)
        pid, since = state["owner"]
        words = machine.command(Image(*map(Path, state["image"])), state["port"], state["shift"])
        machine.start(self.folder, words, (pid, since))

    def power_cycle(self) -> None:
        self.power_cut()
        self.power_on()

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Until a command runs on it over ssh. Raises InfraError with the last words of its console."""
        deadline = time.monotonic() + timeout_s
        last = "no answer"
        while time.monotonic() < deadline and self.running:
            try:
                self.run("true", timeout_s=10)
                return
            except InfraError as error:
                last = str(error)
            time.sleep(0.2)
        said = " | ".join(self.console.strip().splitlines()[-3:]) or "(nothing)"
        raise InfraError(
            f"virtual board {self.name}: not ready after {timeout_s:g} s ({last}). Its console ends with: {said}"
        )

    def run(self, command: str, timeout_s: float = COMMAND_S, given: bytes = b"") -> str:
        """What a shell command prints there. Raises InfraError where it fails or takes longer than ``timeout_s``."""
        words = [*keys.ssh_command(self.ssh), command]
        try:
            done = subprocess.run(words, input=given, capture_output=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise InfraError(f"virtual board {self.name}: {command[:80]!r} took more than {timeout_s:g} s") from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise InfraError(
                f"virtual board {self.name}: {command[:80]!r} ended with exit code {done.returncode}: {said}"
            )
        return done.stdout.decode(errors="replace")

    def hang(self) -> None:
        """Its processor stops; connections stay open and say nothing."""
        qmp.execute(self.folder, "stop")

    def resume(self) -> None:
        """It goes on as if no time had passed."""
        qmp.execute(self.folder, "cont")

    def reset(self) -> None:
        """Its reset button: it boots anew without losing power."""
        qmp.execute(self.folder, "system_reset")

    def link(self, up: bool) -> None:
        """Its network cable, in or out."""
        qmp.execute(self.folder, "set_link", name="nic", up=up)

    def panic(self) -> None:
        """Its kernel panics and stays so until the power is cut or reset pressed."""
        self.run(PANIC)
        self._await("Kernel panic", COMMAND_S)

    def fill_disk(self) -> None:
        """No byte is left on its disk."""
        self.run(FILL)

    def free_disk(self) -> None:
        self.run("rm -f /filler /filler2")

    def set_clock(self, seconds: float) -> None:
        """Its wall clock jumps by so many seconds; its monotonic clock does not."""
        self.run(f"date -u -s @$(($(date -u +%s) + {int(seconds)}))")

    def load(self, count: int = 1) -> None:
        """So many processes keep its one processor busy, until :meth:`unload`."""
        self.run("; ".join([HOG] * count))

    def unload(self) -> None:
        self.run(UNHOG)

    def throttle(self) -> None:
        """As a hot board: half the processor is gone, its (simulated) clock, zone and throttle counter say so."""
        self.load(1)
        self.run("/etc/board/sensors hot")

    def cool(self) -> None:
        """The end of :meth:`throttle`."""
        self.unload()
        self.run("/etc/board/sensors cool")

    def snapshot(self, name: str = "ready") -> None:
        """Keep memory and disk as they are now."""
        qmp.monitor(self.folder, f"savevm {name}", SNAPSHOT_S)

    def restore(self, name: str = "ready") -> None:
        """Back to a snapshot: connections made since then are dead."""
        qmp.monitor(self.folder, f"loadvm {name}", SNAPSHOT_S)
        qmp.execute(self.folder, "cont")

    def _await(self, words: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while words not in self.console:
            if time.monotonic() > deadline:
                raise InfraError(f"virtual board {self.name}: no {words!r} on its console in {timeout_s:g} s")
            time.sleep(0.1)

    def _state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self.folder / STATE).read_text())
            return state
        except (OSError, ValueError) as error:
            raise InfraError(f"there is no virtual board in {self.folder}. Run: voxgate lab virtual") from error

    def _write(self, state: dict[str, Any]) -> None:
        draft = self.folder / f"{STATE}.new"
        draft.write_text(json.dumps(state))
        draft.replace(self.folder / STATE)

    def _sweep(self) -> None:
        """Remove what a board left whose owner is gone; refuse a folder that holds anything else."""
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return
        if not (self.folder / STATE).is_file():
            raise InfraError(f"{self.folder} is not empty and holds no virtual board; name another folder.")
        pid, since = self._state()["owner"]
        if keeper.started(pid) == since:
            raise InfraError(f"{self.folder} holds a virtual board of process {pid}; name another folder.")
        shutil.rmtree(self.folder)


def _free_port() -> int:
    for port in random.sample(PORTS, 100):
        with socket.socket() as trial, suppress(OSError):
            trial.bind((keys.HOST, port))
            return port
    raise InfraError(f"no port of {PORTS.start} to {PORTS.stop} is free on {keys.HOST} for a virtual board.")


def _disk(folder: Path, base: Path) -> None:
    """The board's own disk: only what it writes, over the image's."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base), str(folder / "disk.qcow2")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    if done.returncode != 0:
        raise InfraError(f"virtual board {folder.name}: no disk could be made: {done.stderr.strip()}")
