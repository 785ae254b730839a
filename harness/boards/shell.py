"""A machine to run commands on and to bring files to: this one, one behind adb, one behind SSH.

Every command ends with a line that tells its exit status. Where that line is missing the connection was lost, which
is the lab's fault and not the command's: adb and SSH themselves do not tell these apart reliably.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfraError, Unsupported

TRANSFER_S = 600.0
MOST = 16 << 20  # characters kept of what one command says
EXIT = re.compile(r"^voxgate-exit:(\d+)\s*$", re.MULTILINE)
ADDRESS = re.compile(r"[A-Za-z0-9._@:\[\]-]+")  # what a serial number or a user@host is made of: never an option


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command said, and its exit status there."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """Its last two lines that say something."""
        said = [line.strip()[:200] for line in (self.out + "\n" + self.err).splitlines() if line.strip()]
        return " | ".join(said[-2:]) or "(nothing)"


class Shell(ABC):
    """One way to reach a machine. ``home`` is a folder there in which ours may be made."""

    home: str

    def __init__(self, address: str = "") -> None:
        self.address = address

    @property
    @abstractmethod
    def name(self) -> str:
        """As an environment variable writes it: ``adb:SERIAL``, ``ssh:user@host``, ``local``."""

    @abstractmethod
    def _words(self, script: str) -> list[str]:
        """The command of this machine that runs a script of /bin/sh there."""

    @abstractmethod
    def put(self, source: Path, folder: str) -> None:
        """Bring a file or folder, by its own name, into a folder there that exists. Raises InfraError."""

    @abstractmethod
    def get(self, source: str, folder: Path) -> None:
        """Fetch a file or folder there, by its own name, into a folder here. Raises InfraError."""

    def run(self, script: str, timeout_s: float = 60.0) -> Reply:
        """Run a script there. Raises InfraError where the machine does not answer or does not finish in time."""
        words = self._words(f"{{ {script}\n}}; echo voxgate-exit:$?")
        done = self._call(words, timeout_s)
        ends = EXIT.findall(done.stdout)
        if not ends:
            raise InfraError(
                f"{self.name} was lost while it ran {script.splitlines()[-1][:120]!r}: "
                f"{Reply(done.returncode, done.stdout, done.stderr).last}. Is it on and connected?"
            )
        return Reply(int(ends[-1]), EXIT.sub("", done.stdout)[-MOST:], done.stderr[-MOST:])

    def _copy(self, words: Sequence[str], what: str) -> None:
        done = self._call(words, TRANSFER_S)
        if done.returncode != 0:
            reply = Reply(done.returncode, done.stdout, done.stderr)
            raise InfraError(f"{self.name}: {what} could not be copied: {reply.last}. Is it on, with room left?")

    def _call(self, words: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise InfraError(f"{self.name} gave no answer in {timeout_s:g} s. Is it on and connected?") from error
        except OSError as error:
            raise InfraError(f"{self.name} cannot be reached: {words[0]}: {error.strerror or error}.") from error


class Local(Shell):
    """This machine."""

    home = "/tmp"  # noqa: S108 -- where boards keep what may vanish
    name = "local"

    def _words(self, script: str) -> list[str]:
        return ["/bin/sh", "-c", script]

    def put(self, source: Path, folder: str) -> None:
        self._copy(["cp", "-R", "--", str(source), folder], source.name)

    def get(self, source: str, folder: Path) -> None:
        self._copy(["cp", "-R", "--", source, str(folder)], source)


class Adb(Shell):
    """A board behind adb, by its serial number."""

    home = "/data/local/tmp"

    @property
    def name(self) -> str:
        return f"adb:{self.address}"

    def _words(self, script: str) -> list[str]:
        return ["adb", "-s", self.address, "shell", script]

    def put(self, source: Path, folder: str) -> None:
        self._copy(["adb", "-s", self.address, "push", str(source), f"{folder}/"], source.name)

    def get(self, source: str, folder: Path) -> None:
        self._copy(["adb", "-s", self.address, "pull", source, f"{folder}/"], source)


class Ssh(Shell):
    """A board behind SSH, by user@host; keys and ports are those of the user's own ssh configuration."""

    home = "/tmp"  # noqa: S108
    OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10")

    @property
    def name(self) -> str:
        return f"ssh:{self.address}"

    def _words(self, script: str) -> list[str]:
        return ["ssh", *self.OPTIONS, self.address, script]

    def put(self, source: Path, folder: str) -> None:
        self._copy(["scp", "-q", "-r", *self.OPTIONS, str(source), f"{self.address}:{folder}/"], source.name)

    def get(self, source: str, folder: Path) -> None:
        self._copy(["scp", "-q", "-r", *self.OPTIONS, f"{self.address}:{shlex.quote(source)}", f"{folder}/"], source)


def reach(text: str, variable: str) -> Shell:
    """The shell that an environment variable names. Raises Unsupported for what is none."""
    kind, _, address = text.partition(":")
    if text == "local":
        return Local()
    kinds: dict[str, type[Shell]] = {"adb": Adb, "ssh": Ssh}
    if kind not in kinds or not ADDRESS.fullmatch(address) or address.startswith("-"):
        raise Unsupported(f"{variable}={text[:80]!r} names no board; set it to adb:SERIAL, ssh:user@host or local.")
    return kinds[kind](address)


def adb_serials() -> list[str]:
    """Serial numbers of the boards that adb sees ready; none where there is no adb."""
    if shutil.which("adb") is None:
        return []
    try:
        done = subprocess.run(["adb", "devices"], capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired as error:
        raise InfraError("adb devices gave no answer in 20 s; run: adb kill-server") from error
    rows = [line.split() for line in done.stdout.splitlines()]
    return [row[0] for row in rows if len(row) == 2 and row[1] == "device" and ADDRESS.fullmatch(row[0])]
