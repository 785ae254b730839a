"""What the board says no with: a kind the host acts on, and a reason for people."""

from __future__ import annotations

DISK, DIGEST, LOCKED, STOLEN, MISSING, MODEL = "disk", "digest", "locked", "stolen", "missing", "model"


class Fault(Exception):
    """``kind`` is one of the words above; the text is the reason."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
