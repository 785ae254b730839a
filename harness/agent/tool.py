"""One call of a tool that lies on the board."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Sequence


def call(words: Sequence[str], timeout_s: float, **place: Any) -> tuple[int, str, str]:
    """Its exit code, all it printed, and the last line of that. Raises ValueError where it gives no answer."""
    try:
        done = subprocess.run(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            **place,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"{Path(words[0]).name} gave no answer in {timeout_s:g} s") from None
    return done.returncode, done.stdout, (done.stdout.strip().splitlines() or ["no message"])[-1][:200]
