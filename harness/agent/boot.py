"""Answers one call on the board: execnet runs this module's source there, with a channel to the host.

The first call of a connection brings the other modules' sources along; they stay in memory, so that no power cut
can leave half of them on a disk.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import inspect
import sys
from typing import Any

PACKAGE = "voxgate_agent"
START = "__init__"


class Sources(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports ``voxgate_agent`` and its modules from a dictionary of their sources."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.sources = sources

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        package, _, name = fullname.partition(".")
        if package != PACKAGE or (name or START) not in self.sources:
            return None
        return importlib.util.spec_from_loader(fullname, self, is_package=not name)

    def get_source(self, fullname: str) -> str:
        return self.sources[fullname.partition(".")[2] or START]

    def is_package(self, fullname: str) -> bool:
        return fullname == PACKAGE


def install(sources: dict[str, str]) -> None:
    """Make the modules importable, in place of those of an earlier call."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != Sources.__name__]
    sys.meta_path.insert(0, Sources(sources))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def answer(channel: Any, call: dict[str, Any]) -> None:
    """Send what the function called returns or yields, then how it ended: ``("end", "")`` or ``(kind, reason)``."""
    if call.get("sources"):
        install(call["sources"])
    fault = importlib.import_module(PACKAGE + ".faults").Fault
    try:
        try:
            module = importlib.import_module(PACKAGE + "." + call["module"])
        except ImportError as error:
            raise fault("missing", f"{error}; install it: python3 -m pip install numpy") from error
        value = getattr(module, call["function"])(**call["arguments"])
        for item in value if inspect.isgenerator(value) else [value]:
            channel.send(("item", item))
    except fault as error:
        channel.send((error.kind, str(error)))
    else:
        channel.send(("end", ""))


if __name__ == "__channelexec__":
    answer(globals()["channel"], globals()["channel"].receive())  # execnet puts it there
