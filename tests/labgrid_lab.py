"""A labgrid lab on loopback: a real coordinator and exporter, a power switch over HTTP; its board is tests.loopback's.

All of it is started as children of the test, on free ports, in a folder of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from getpass import getuser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.loopback import Loopback

START_S = 20.0
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def child(command: list[str], log: Path, port: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is up once its port answers, and gone at the end."""
    with log.open("wb") as out:
        running = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=log.parent)
    try:
        if port is not None:
            until(lambda: _answers(port), f"{command[0]} on port {port}", log)
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(5)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def until(good: Callable[[], bool], what: str, log: Path) -> None:
    end = time.monotonic() + START_S
    while not good():
        assert time.monotonic() < end, f"{what} is not there after {START_S:g} s: {log.read_text()[-2000:]}"
        time.sleep(0.05)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Switch:
    """A power switch of labgrid's model ``rest``: what was put to it, in order."""

    port: int
    puts: list[str] = field(default_factory=list)
    broken: bool = False


@contextmanager
def switch() -> Iterator[Switch]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            state.puts.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(500 if state.broken else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: pytest's output is for tests."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    state = Switch(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


EXPORTER = """
board-a:
  NetworkService: {{address: 127.0.0.1, username: {user}, port: {port}}}
  NetworkPowerPort: {{model: rest, host: 'http://127.0.0.1:{power}/relay/{{index}}', index: 3}}
bare:
  NetworkPowerPort: {{model: rest, host: 'http://127.0.0.1:{power}/relay/{{index}}', index: 4}}
"""

PLACES = """
board-a:
  tags: {board: rk3588}
  matches: [{exporter: labhost, group: board-a, cls: '*', name: null, rename: null}]
bare:
  matches: [{exporter: labhost, group: bare, cls: '*', name: null, rename: null}]
"""


@dataclass
class Lab:
    """A coordinator with the places ``board-a`` (tagged board=rk3588) and ``bare``, which has no address."""

    address: str
    folder: Path
    board: Loopback
    switch: Switch
    coordinator: subprocess.Popen[bytes]

    def client(self, *arguments: str) -> str:
        """What labgrid-client prints, asked by somebody called ``colleague``."""
        done = subprocess.run(
            [str(BIN / "labgrid-client"), "-x", self.address, *arguments],
            env={**os.environ, "LG_USERNAME": "colleague"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def lab(folder: Path, board: Loopback, power: Switch) -> Iterator[Lab]:
    port = free_port()
    address = f"127.0.0.1:{port}"
    (folder / "exporter.yaml").write_text(EXPORTER.format(user=getuser(), port=board.port, power=power.port))
    (folder / "places.yaml").write_text(PLACES)
    coordinator = [str(BIN / "labgrid-coordinator"), "-l", address]
    exporter = [str(BIN / "labgrid-exporter"), "-c", address, "-n", "labhost", "--hostname", "127.0.0.1"]
    log = folder / "exporter.log"
    with (
        child(coordinator, folder / "coordinator.log", port) as running,
        child([*exporter, "exporter.yaml"], log),
    ):
        until(lambda: "connected to coordinator" in log.read_text(), "the exporter", log)
        yield Lab(address, folder, board, power, running)
