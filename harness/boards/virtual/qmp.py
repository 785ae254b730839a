"""QEMU's machine protocol: one command a connection, each within a time limit."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from harness.errors import InfraError

ANSWER_S = 20.0
LONGEST = 1 << 20  # bytes of one line


def execute(folder: Path, command: str, *, timeout_s: float = ANSWER_S, **arguments: Any) -> Any:
    """What QEMU, listening at ``folder/qmp.sock``, returns. Raises InfraError where it refuses or does not answer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            _connect(connection, folder)
            with connection.makefile("rwb") as stream:
                stream.readline(LONGEST)  # its greeting
                _ask(stream, "qmp_capabilities", {})
                return _ask(stream, command, arguments)
    except (OSError, ValueError) as error:
        raise InfraError(
            f"virtual board {folder.name}: QEMU does not answer {command} ({error or type(error).__name__}). "
            "Switch the board off and on."
        ) from error


def monitor(folder: Path, line: str, timeout_s: float) -> None:
    """One command of the human monitor that says nothing when it succeeds."""
    said = execute(folder, "human-monitor-command", timeout_s=timeout_s, **{"command-line": line}).strip()
    if said:
        raise InfraError(f"virtual board {folder.name}: {line} failed: {said}")


def _connect(connection: socket.socket, folder: Path) -> None:
    """The path of a socket must be short; that of a folder need not be."""
    descriptor = os.open(folder, os.O_PATH)
    try:
        connection.connect(f"/proc/self/fd/{descriptor}/qmp.sock")
    finally:
        os.close(descriptor)


def _ask(stream: Any, command: str, arguments: dict[str, Any]) -> Any:
    stream.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
    stream.flush()
    while True:
        line = stream.readline(LONGEST)
        if not line:
            raise ConnectionError("it closed the connection")
        message = json.loads(line)
        if "error" in message:
            raise ValueError(message["error"].get("desc", "no reason given"))
        if "return" in message:
            return message["return"]
