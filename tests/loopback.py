"""A real OpenSSH server on loopback, in a folder of its own: this machine as a board."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from harness.boards.address import SshAddress

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
LACKS = "no sshd is installed here; run: apt-get install openssh-server"
needs_sshd = pytest.mark.skipif(SSHD is None or shutil.which("ssh") is None, reason=LACKS)


@dataclass
class Loopback:
    """The server, which can be stopped and started, and everything that a lab.toml says of it."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def address(self) -> SshAddress:
        keys = self.folder / "id", self.folder / "known_hosts"
        return SshAddress(getpass.getuser(), "127.0.0.1", self.port, *keys)

    @property
    def home(self) -> Path:
        """voxgate's folder on the "board"."""
        return self.folder / "board"

    def entry(self, name: str = "loop", targets: str = '["host"]', more: str = "") -> str:
        """Its part of a lab.toml."""
        address = self.address
        return (
            f'[[board]]\nid = "{name}"\ntargets = {targets}\npython = "{sys.executable}"\nfolder = "{self.home}"\n'
            f'boot_s = 10\naddress = {{ user = "{address.user}", host = "{address.host}", port = {address.port}, '
            f'identity = "{address.identity}", known_hosts = "{address.known_hosts}" }}\n{more}\n'
        )

    def lab(self, path: Path, more: str = "", head: str = "") -> Path:
        path.write_text(f"{head}\n{self.entry(more=more)}")
        return path

    def start(self) -> None:
        log = self.folder / "sshd.log"
        command = [str(SSHD), "-D", "-f", str(self.folder / "sshd_config"), "-E", str(log)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"sshd does not listen: {log.read_text(errors='replace')[-500:]}")

    def stop(self) -> None:
        """As a power cut: the server and all that it started end at once."""
        if self.process is not None:
            self._send(signal.SIGKILL, self._family())
            self.process.wait()
            self.process = None

    def forget(self) -> None:
        """As a board that was set up anew."""
        shutil.rmtree(self.home, ignore_errors=True)

    def agents(self) -> list[psutil.Process]:
        """The agents at work on this "board"."""
        found = []
        for each in self._family():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if any("sys.stdin.readline" in part for part in each.cmdline()):
                    found.append(each)
        return found

    def cut(self) -> None:
        """End every connection, and leave the server."""
        self._send(signal.SIGKILL, self._family()[1:])

    def pause(self) -> None:
        """As a board that hangs: connections stay open, and nothing answers."""
        self._send(signal.SIGSTOP, self._family())

    def resume(self) -> None:
        self._send(signal.SIGCONT, self._family())

    def _send(self, number: signal.Signals, processes: list[psutil.Process]) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                process.send_signal(number)

    def _family(self) -> list[psutil.Process]:
        if self.process is None:
            return []
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


@contextmanager
def serving(folder: Path) -> Iterator[Loopback]:
    """A running server with keys of its own below ``folder``, which only its owner may read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("id", "host_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shutil.copyfile(folder / "id.pub", folder / "authorized_keys")
    key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")
    lines = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host_key",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "MaxStartups": "100",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where Debian's sshd separates its privileges
    board = Loopback(folder, port)
    board.start()
    try:
        yield board
    finally:
        board.resume()
        board.stop()
