"""Nothing hangs, and nothing is written where nothing is to be: watched while a test looks at a broken file."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS = 30  # on a busy machine; what is broken is refused in milliseconds
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MOVES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate")

_touched: list[str] | None = None  # while somebody watches


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _touched is None:
        return
    if event == "open" and isinstance(arguments[0], str | bytes) and (arguments[2] or 0) & WRITES:
        _touched.append(os.fsdecode(arguments[0]))
    elif event in MOVES and arguments[-1] in (-1, None):  # else within a folder that was opened: rmtree's own
        _touched.extend(os.fsdecode(each) for each in arguments[:2] if isinstance(each, str | bytes))


sys.addaudithook(_hear)  # it cannot be taken away again, so there is one


def _late(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"it hangs: no answer after {SECONDS} s")


@contextmanager
def watched(work: Path) -> Iterator[None]:
    """Raises AssertionError where Python writes outside ``work``, TimeoutError after SECONDS."""
    global _touched
    _touched = []
    before = signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        found, _touched = _touched, None
    strays = [name for name in found if not _allowed(Path(name), work)]
    assert strays == [], f"written outside the work folder: {strays[:5]}"


def _allowed(path: Path, work: Path) -> bool:
    own = path.absolute().is_relative_to(work) or path == Path(os.devnull)
    return own or "__pycache__" in path.parts or path.name == "matplotlib"  # makes a folder for its fonts


def listed(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all below a folder, whoever writes it: also libraries that Python does not hear."""
    paths = [path for path in sorted(folder.rglob("*")) if not path.is_symlink() and path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}
