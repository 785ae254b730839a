"""One connection to a board: execnet over the system's ssh. Every call has a time limit, and no one waits beyond it.

A call that runs out of time ends the connection: what hangs on the other side cannot be told from what is slow.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import execnet
import psutil

import harness.agent
from harness.agent.faults import Fault
from harness.boards.address import SshAddress
from harness.errors import InfraError

CONNECT_S = 15.0
ALIVE_S, ALIVE_COUNT = 5, 3  # ssh ends a connection that has not answered for their product
CLOSE_S = 2.0
CRASH = "crash"  # the kind of a Fault that the agent did not foresee
ONE_THREAD = "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"
FINAL = ("Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "Permission denied", "not found")


class Lost(Exception):
    """The board did not answer. ``final`` where trying again cannot help: a key refused, no Python there."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


@cache
def sources() -> dict[str, str]:
    """The agent's modules by name, as they are sent."""
    folder = Path(harness.agent.__file__).parent
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))}


class Link:
    """A connection with the agent at its other end. Not for several threads at a time."""

    def __init__(self, address: SshAddress, python: str, connect_s: float) -> None:
        if shutil.which("ssh") is None:
            raise InfraError("no ssh is installed here, so no board can be reached. Install openssh-client.")
        self.address = address
        self.python = python
        self.connect_s = connect_s
        self._folder = Path(tempfile.mkdtemp(prefix="voxgate-ssh-"))
        self._log = self._folder / "ssh.log"
        self._config = self._folder / "config"
        self._config.write_text(config(address), encoding="utf-8")
        self._group = execnet.Group()
        self._gateway: Any = None
        self._sent = False

    def open(self) -> None:
        """Connect. Raises Lost with ssh's own words."""
        remote = f"2>/dev/null exec env {ONE_THREAD} {self.python}"
        spec = f"ssh=-E {self._log} {self.address.host}//ssh_config={self._config}//python={remote}"
        late = threading.Event()
        try:
            with self._within(self.connect_s, late):
                self._gateway = self._group.makegateway(spec)
                self._gateway.remote_exec("channel.send(0)").receive()  # makegateway takes some ends for beginnings
        except (execnet.HostNotFound, EOFError, OSError, AssertionError) as error:
            self.close()
            raise self._why_not(late) from error

    def call(self, module: str, function: str, timeout_s: float, **arguments: Any) -> Iterator[Any]:
        """What a function of the agent yields; each item within ``timeout_s``. Raises Lost, or the agent's Fault."""
        request = {"module": module, "function": function, "arguments": arguments}
        if not self._sent:
            request["sources"] = sources()
        late = threading.Event()
        try:
            with self._within(timeout_s, late):
                channel = self._gateway.remote_exec(sources()["boot"])
                channel.send(request)
            self._sent = True
            while True:
                with self._within(timeout_s, late):
                    kind, value = channel.receive()
                if kind == "end":
                    return
                if kind != "item":
                    raise Fault(str(kind), str(value)[:1000])
                yield value
        except (EOFError, OSError, ValueError, TypeError) as error:
            raise self._lost(f"{module}.{function}", timeout_s, late) from error
        except execnet.RemoteError as error:
            last = (str(error).strip().splitlines() or ["no reason given"])[-1]
            raise Fault(CRASH, last[:500]) from error

    def ask(self, module: str, function: str, timeout_s: float, **arguments: Any) -> Any:
        """What a function of the agent returns."""
        (answer,) = self.call(module, function, timeout_s, **arguments)
        return answer

    def close(self) -> None:
        """End the connection, by force where it does not end by itself."""
        with contextlib.suppress(OSError, EOFError):
            self._group.terminate(timeout=CLOSE_S)
        self._kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def _within(self, seconds: float, late: threading.Event) -> Iterator[None]:
        """Whatever blocks inside ends after ``seconds``, since ssh is killed then; ``late`` tells that it was."""

        def expire() -> None:
            late.set()
            self._kill()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _kill(self) -> None:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if str(self._log) in child.cmdline():
                    child.kill()

    def _lost(self, what: str, timeout_s: float, late: threading.Event) -> Lost:
        if late.is_set():
            return Lost(f"{what} gave no answer in {timeout_s:g} s")
        return Lost(f"the connection ended during {what}{self._words()}")

    def _words(self) -> str:
        """The last thing ssh said, if anything."""
        with contextlib.suppress(OSError):
            said = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
            return f": {said[-1][:200]}" if said else ""
        return ""

    def _why_not(self, late: threading.Event) -> Lost:
        """Connect once more without execnet, for the words of ssh and of the board's shell."""
        if late.is_set():
            return Lost(f"no answer from {self.address} in {self.connect_s:g} s")
        with tempfile.TemporaryDirectory(prefix="voxgate-ssh-") as folder:
            path = Path(folder) / "config"
            path.write_text(config(self.address), encoding="utf-8")
            command = ["ssh", "-F", str(path), self.address.host, f"{self.python} --version"]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, errors="replace", timeout=self.connect_s, check=False
                )
            except subprocess.TimeoutExpired:
                return Lost(f"no answer from {self.address} in {self.connect_s:g} s")
        said = " ".join(done.stderr.split())[-300:]
        final = done.returncode in (126, 127, 255) and any(sign in said for sign in FINAL)
        return Lost(f"{self.address} cannot be used: {said or f'exit code {done.returncode}'}", final)


def config(address: SshAddress) -> str:
    """ssh_config of one board: nothing is asked, host keys are checked, the user's own file fills in the rest."""
    options: dict[str, object] = {
        "User": address.user,
        "Port": address.port,
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": int(CONNECT_S),
        "ServerAliveInterval": ALIVE_S,
        "ServerAliveCountMax": ALIVE_COUNT,
        "ControlPath": "none",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "RequestTTY": "no",
    }
    if address.identity is not None:
        options |= {"IdentityFile": f'"{address.identity}"', "IdentitiesOnly": "yes"}
    if address.known_hosts is not None:
        options |= {"UserKnownHostsFile": f'"{address.known_hosts}"', "GlobalKnownHostsFile": "/dev/null"}
    lines = ["Host *", *(f"  {name} {value}" for name, value in options.items()), "  Include ~/.ssh/config"]
    return "\n".join(lines) + "\n"
