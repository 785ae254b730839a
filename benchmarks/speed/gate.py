"""One gate on a house, stage by stage, in a process of its own: python -m benchmarks.speed.gate HOUSE WORK RESULT."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MIB = 1 << 20


class Watch:
    """Wall and processor seconds of what runs under a name, helpers included, and the most memory seen."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self.rss_mib = self.all_mib = 0.0
        self._own = psutil.Process()
        threading.Thread(target=self._look, daemon=True).start()

    @contextmanager
    def over(self, name: str) -> Iterator[None]:
        wall, spent = time.monotonic(), self._spent()
        yield
        self.seconds[name] = time.monotonic() - wall
        self.processor[name] = self._spent() - spent

    def _spent(self) -> float:
        own = self._own.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        return total + sum(self._of(child, lambda each: sum(each.cpu_times()[:2])) for child in self._children())

    def _look(self) -> None:
        while True:
            own = self._own.memory_info().rss / MIB
            helpers = sum(self._of(child, lambda each: each.memory_info().rss) for child in self._children()) / MIB
            self.rss_mib, self.all_mib = max(self.rss_mib, own), max(self.all_mib, own + helpers)
            time.sleep(0.2)

    def _children(self) -> list[psutil.Process]:
        return self._own.children(recursive=True)

    @staticmethod
    def _of(child: psutil.Process, value: Callable[[psutil.Process], float]) -> float:
        try:
            return value(child)
        except psutil.Error:  # it has ended
            return 0.0

    def record(self) -> dict[str, object]:
        told = {"seconds": self.seconds, "processor": self.processor}
        return told | {"rss_mib": self.rss_mib, "with_helpers_mib": self.all_mib}


def main(house: Path, work: Path, result: Path) -> None:
    watch = Watch()
    with watch.over("start"):
        from harness.cache import Cache
        from harness.candidate import find_candidates
        from harness.gates import whole
        from harness.gates.base import Build
        from harness.run import FLOAT, Run

        (candidate,) = find_candidates([house])
        recipe = candidate.recipes[0]
        run = Run(folder=work / "run", cache=Cache(work / "cache"), golden_mode="new")
    with watch.over("checked"):
        run.ready(candidate)
    names = run.conditions(candidate)
    with watch.over("rendered"):
        for name in names:
            run.renditions(candidate, name)
    with watch.over("features"):
        for name in names:
            run.features(candidate, name)
    with watch.over("built"):
        run.artifact(candidate, FLOAT)
        run.artifact(candidate, recipe)
    with watch.over("scored"):
        run.outputs(candidate, FLOAT)
        run.golden(candidate)
        run.outputs(candidate, recipe)
    with watch.over("judged"):
        rows = whole.accuracy(Build(candidate, recipe, "host"), run)
    told = {"renderings": len(names) * len(run.clips(candidate)), "rows": [row.as_json() for row in rows]}
    result.write_text(json.dumps(told | watch.record()), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
