"""Switching a board off and on again: what recovers one that hangs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.errors import InfraError

TIMEOUT_S = 60.0
OFF_S = 2.0  # until capacitors are empty


class Power(Protocol):
    """A switch. Each method returns when it is done and raises InfraError where it fails."""

    def on(self) -> None: ...

    def off(self) -> None: ...

    def cycle(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CommandPower:
    """A switch that commands work: lists of arguments from lab.toml, never read by a shell."""

    board: str
    on_command: Sequence[str]
    off_command: Sequence[str]
    cycle_command: Sequence[str] = ()

    def on(self) -> None:
        self._call(self.on_command)

    def off(self) -> None:
        self._call(self.off_command)

    def cycle(self) -> None:
        if self.cycle_command:
            self._call(self.cycle_command)
            return
        self.off()
        time.sleep(OFF_S)
        self.on()

    def _call(self, command: Sequence[str]) -> None:
        try:
            done = subprocess.run(
                list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InfraError(f"power of {self.board}: {command[0]} failed ({error}). Switch it by hand.") from error
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InfraError(
                f"power of {self.board}: {command[0]} ended with exit code {done.returncode}: {last[:200]}. "
                "Correct power = in lab.toml, or switch it by hand."
            )
