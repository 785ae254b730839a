"""A virtual board's own keys: made with it, gone with it; host keys are checked as on any board."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from harness.boards.address import SshAddress
from harness.errors import InfraError

MAKE_S = 30.0
USER, HOST = "root", "127.0.0.1"


def make(folder: Path, name: str, port: int) -> None:
    """Keys of the board and of its user, ``known_hosts``, and ``own.tar``, which the board reads at boot."""
    for key in ("identity", "host_key"):
        _generate(folder / key, name)
    kind, public = (folder / "host_key.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"[{HOST}]:{port} {kind} {public}\n")
    files = {
        "name": f"{name}\n".encode(),
        "host_key": (folder / "host_key").read_bytes(),
        "authorized_keys": (folder / "identity.pub").read_bytes(),
    }
    with tarfile.open(folder / "own.tar", "w") as archive:
        for title, content in files.items():
            entry = tarfile.TarInfo(title)
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    (folder / "own.tar").chmod(0o600)


def address(folder: Path, port: int) -> SshAddress:
    return SshAddress(USER, HOST, port, folder / "identity", folder / "known_hosts")


def ssh_command(reached: SshAddress, connect_s: int = 5) -> list[str]:
    """The words before a command for the board: none of the user's own settings, keys checked, nothing asked."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": str(connect_s),
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": f'"{reached.known_hosts}"',
        "LogLevel": "ERROR",
    }
    words = ["ssh", "-F", "none", "-i", str(reached.identity), "-p", str(reached.port)]
    return [*words, *(f"-o{key}={value}" for key, value in options.items()), f"{reached.user}@{reached.host}"]


def _generate(path: Path, comment: str) -> None:
    path.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=MAKE_S, check=False
    )
    if done.returncode != 0:
        raise InfraError(f"no key could be made for the virtual board {path.parent.name}: {done.stderr.strip()}")
