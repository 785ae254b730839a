"""Clocks held high while something is timed, where the board lets us, and put back afterwards.

What was there before is on the disk before anything is changed: an agent that dies leaves its successor the word.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from .place import boot_id, home, read

GOVERNORS = {  # where each lies, and which file beside it lists the choices
    "sys/devices/system/cpu/cpufreq/policy*/scaling_governor": "scaling_available_governors",
    "sys/class/devfreq/*/governor": "available_governors",
}
STEADY = "performance"


@contextmanager
def held(root: str = "/") -> Iterator[dict[str, str]]:
    """Within, every governor that may be set is ``performance``; gives what they are then, read back."""
    before = _governors(Path(root))
    _remember(before)
    try:
        for path in before:
            _set(Path(path), STEADY)
        yield {_short(path): read(Path(path)) for path in before}
    finally:
        restore()


def restore() -> list[str]:
    """Put back what an agent, this one or one that died, had changed; says what. After a reboot there is nothing to."""
    path = home() / "clocks.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        before = {str(name): str(value) for name, value in record["before"].items()}
        same_boot = record["boot"] == boot_id()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        before, same_boot = {}, False
    changed = [name for name, value in before.items() if same_boot and _set(Path(name), value)]
    if path.exists():
        path.unlink()
    return [f"{_short(name)} to {before[name]}" for name in changed]


def governors(root: str = "/") -> dict[str, list[str]]:
    """Of every clock that has one: its governor, and ``settable`` or ``fixed`` for whoever runs this."""
    return {
        _short(path): [value, "settable" if os.access(path, os.W_OK) else "fixed"]
        for path, value in _governors(Path(root)).items()
    }


def _governors(base: Path) -> dict[str, str]:
    """Path to governor of all that would have to change and could."""
    found = {}
    for pattern, choices in GOVERNORS.items():
        for path in sorted(base.glob(pattern)):
            if STEADY in read(path.with_name(choices)).split():
                found[str(path)] = read(path)
    return found


def _remember(before: dict[str, str]) -> None:
    if any(value != STEADY for value in before.values()):
        text = json.dumps({"boot": boot_id(), "before": before})
        try:
            (home() / "clocks.json").write_text(text, encoding="utf-8")
        except OSError:  # a full disk: then nothing is changed that could not be put back
            before.clear()


def _set(path: Path, value: str) -> bool:
    """Whether it changed; a board that does not let us keeps what it has, and what is read back says so."""
    if read(path) == value:
        return False
    try:
        path.write_text(value, encoding="ascii")
    except OSError:
        return False
    return read(path) == value


def _short(path: str) -> str:
    parts = Path(path).parts
    return parts[-2]
