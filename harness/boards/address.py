"""Where a board is reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SshAddress:
    """An account on a board. Host keys are always checked, against ``known_hosts`` or the user's own file."""

    user: str
    host: str
    port: int = 22
    identity: Path | None = None  # the private key; never read here, only named to ssh
    known_hosts: Path | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"
