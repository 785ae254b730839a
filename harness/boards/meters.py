"""Power meters that print a line a sample: the board's own sensors, and NVIDIA's tegrastats, over ssh.

A sample bears the time of this host's monotonic clock at which its line arrived.
"""

from __future__ import annotations

import math
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from harness.boards.address import SshAddress
from harness.boards.energy import Hwmon, Tegrastats, Trace
from harness.errors import InfraError

FIRST_S = 15.0  # until the first sample
STOP_S = 5.0
NUMBER = re.compile(r"-?\d{1,12}")
# $1: the sensor's folder, in which the shell fills in *; $2: channel; $3: seconds between two samples. Microwatts, or
# millivolts and milliamperes, as the kernel's hwmon interface has them.
READ_HWMON = """
cd $1 || exit 9
if [ -r power$2_input ]; then while read p <power$2_input; do echo "$p"; sleep $3; done
else while read v <in$2_input && read c <curr$2_input; do echo "$v $c"; sleep $3; done; fi
"""


class LineMeter:
    """A command that prints one line a sample, here or on the board. ``watts`` reads a line; it raises ValueError."""

    def __init__(self, source: str, command: Sequence[str], watts: Callable[[str], float]) -> None:
        self.source = source
        self._command = list(command)
        self._watts = watts
        self._samples: list[tuple[float, float]] = []
        self._first = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._fault = ""

    def start(self) -> None:
        self._samples, self._fault = [], ""
        self._first.clear()
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise InfraError(f"{self.source} cannot be read: {error}.") from error
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self._first.wait(FIRST_S)
        if not self._samples:
            raise InfraError(
                f"{self.source} gave no sample{self._end()}. Try by hand: {shlex.join(self._command)[:400]}"
            )

    def stop(self) -> Trace:
        alive = self._process is not None and self._process.poll() is None
        why = self._end()
        if not alive or self._fault:
            raise InfraError(f"{self.source} ended while it was needed{why}. Check the board, and run again.")
        seconds, watts = np.array(self._samples, np.float64).T
        return Trace(seconds, watts, self.source)

    def _read(self, process: subprocess.Popen[str]) -> None:
        try:
            for line in process.stdout or ():
                if line.endswith("\n"):  # else it was cut short when the command was ended
                    self._samples.append((time.monotonic(), self._watts(line)))
                    self._first.set()
        except ValueError as error:  # a line that is none of the meter's
            self._fault = str(error)
        self._first.set()

    def _end(self) -> str:
        """End the command; its last words, or what was wrong with its lines."""
        process, self._process = self._process, None
        if process is None:
            return ""
        with process:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
            if self._reader is not None:
                self._reader.join(STOP_S)
            errors = process.stderr.read() if process.stderr is not None else ""
        said = self._fault or " ".join(errors.split())[-300:]
        return f": {said}" if said else ""


def hwmon(entry: Hwmon, ssh: SshAddress | None) -> LineMeter:
    command = ["sh", "-c", READ_HWMON, "sh", entry.path, str(entry.channel), str(entry.interval_s)]
    return LineMeter(f"hwmon {entry.path} channel {entry.channel}", _there(command, ssh), hwmon_watts)


def tegrastats(entry: Tegrastats, ssh: SshAddress | None) -> LineMeter:
    command = ["tegrastats", "--interval", str(round(entry.interval_s * 1000))]
    rail = re.compile(rf"(?:^| ){entry.rail} (\d+)(?:mW)?/\d+(?:mW)?(?= |$)")

    def watts(line: str) -> float:
        return rail_watts(line, entry.rail, rail)

    return LineMeter(f"tegrastats {entry.rail}", _there(command, ssh), watts)


def hwmon_watts(line: str) -> float:
    """Of one line of READ_HWMON: microwatts, or millivolts and milliamperes. Raises ValueError."""
    words = line.split()
    if len(words) not in (1, 2) or not all(NUMBER.fullmatch(word) for word in words):
        raise ValueError(f"{line.strip()[:120]!r} is not what hwmon gives")
    return math.prod(int(word) for word in words) / 1e6


def rail_watts(line: str, name: str, rail: re.Pattern[str]) -> float:
    """The power now of one rail in a line of tegrastats (``VDD_IN 4673mW/4650mW``: now, average). Raises ValueError."""
    found = rail.search(line.strip())
    if found is None:
        there = re.findall(r"(\w+) \d+(?:mW)?/\d+mW", line)
        raise ValueError(
            f"no rail {name} in tegrastats' line; it has {', '.join(there) or 'none'}: set rail in lab.toml"
        )
    return int(found.group(1)) / 1e3


def _there(command: list[str], ssh: SshAddress | None) -> list[str]:
    """The command as it is run where the board is."""
    if ssh is None:
        return command
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=15", "ServerAliveInterval=5"]
    if ssh.identity is not None:
        options += [f"IdentityFile={ssh.identity}", "IdentitiesOnly=yes"]
    if ssh.known_hosts is not None:
        options += [f"UserKnownHostsFile={ssh.known_hosts}", "GlobalKnownHostsFile=/dev/null"]
    flags = [word for option in options for word in ("-o", option)]
    # -tt: the far end hangs up with this one; else the loop over there would go on for ever.
    return ["ssh", "-tt", *flags, "-p", str(ssh.port), f"{ssh.user}@{ssh.host}", f"exec {shlex.join(command)}"]
