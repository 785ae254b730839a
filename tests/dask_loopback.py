"""A real Dask scheduler and workers on loopback, each a process of its own on a port of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.house import CHECKOUT

BEGIN_S = 60
DOOMED = Path(__file__).parent / "standins" / "doomed_worker.py"


@dataclass
class Dask:
    """One scheduler and its workers."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @cached_property
    def address(self) -> str:
        """Of the scheduler, once it answers."""
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        return self._said("scheduler", r"Scheduler at:\s+(tcp://\S+)")

    def ready(self) -> str:
        """The same, once all workers have joined."""
        for name in set(self.processes) - {"scheduler"}:
            self._said(name, r"Registered to:\s+(tcp://\S+)")
        return self.address

    def add(self, name: str, *, checkout: Path = CHECKOUT, threads: int = 1, doomed: bool = False) -> None:
        """A worker that runs the code of a checkout; a ``doomed`` one is killed as its first stage begins."""
        more = ["--preload", str(DOOMED)] if doomed else []
        plain = ["--no-nanny", "--host", "127.0.0.1", "--local-directory", str(self.folder / name), "--name", name]
        self._start("worker", self.address, "--nthreads", str(threads), *plain, *more, name=name, checkout=checkout)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _said(self, name: str, pattern: str) -> str:
        begun = time.monotonic()
        while not (found := re.search(pattern, self.log(name))):
            assert self.processes[name].poll() is None, self.log(name)
            assert time.monotonic() - begun < BEGIN_S, self.log(name)
            time.sleep(0.05)
        return found[1]

    def end(self, *names: str) -> None:
        for name in names:
            process = self.processes.pop(name)
            process.kill()
            process.wait()

    def _start(self, command: str, *arguments: str, name: str = "", checkout: Path = CHECKOUT) -> None:
        name = name or command
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        with (self.folder / f"{name}.log").open("wb") as log:
            words = [sys.executable, "-m", "dask", command, *arguments, "--no-dashboard"]
            self.processes[name] = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self.folder
            )
