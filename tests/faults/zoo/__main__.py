"""``python -m tests.faults.zoo``: put every fault into a healthy house, judge it, and print the scoreboard.

``--quick`` takes those marked for CI, ``-k WORDS`` those whose name or place holds all of them. A run of all faults
writes docs/faults.md. Fails where a fault is missed, fewer than nine of ten are named right, or health is not green.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tests.faults.zoo.fault import Fault, Result, judged
from tests.faults.zoo.registry import FAULTS
from tests.faults.zoo.scoreboard import good, line, page, summary
from tests.faults.zoo.silicon import Dials
from tests.faults.zoo.site import Site, Told, installed
from tests.house import CHECKOUT

DOC = CHECKOUT / "docs" / "faults.md"


def put(fault: Fault, house: Path, cache: Path, folder: Path) -> Result:
    """Judge one fault in a copy of the healthy house."""
    started = time.monotonic()
    site = fault.site(Path(shutil.copytree(house, folder / "house")), cache)
    try:
        fault.seed(site)
        if site.dials != Dials():
            site.dials = replace(site.dials, name=fault.name)
        return judged(fault, site.judge(), time.monotonic() - started)
    finally:
        shutil.rmtree(folder / "house")


def health(sites: Iterable[type[Site]], houses: Houses) -> dict[str, Told]:
    """Every healthy build of every site, by its name."""
    return {
        f"{site.name} {build}": site(*houses(site), build).judge()
        for site in dict.fromkeys(sites)
        for build in site.builds
    }


class Houses:
    """A healthy house for each kind of site, with its cache; made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[object, tuple[Path, Path]] = {}

    def __call__(self, site: type[Site]) -> tuple[Path, Path]:
        if site.healthy not in self.made:
            place = self.folder / f"house-{len(self.made)}"
            cache = self.folder / f"cache-{len(self.made)}"
            self.made[site.healthy] = (site.healthy(place, cache), cache)
        return self.made[site.healthy]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.zoo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the faults marked for CI")
    parser.add_argument("-k", default="", metavar="WORDS", help="only faults whose name or place holds all words")
    asked = parser.parse_args(arguments)
    words = asked.k.split()
    chosen = [
        fault
        for fault in FAULTS
        if (fault.quick or not asked.quick) and all(word in f"{fault.name} {fault.where}" for word in words)
    ]
    results = []
    with installed(), tempfile.TemporaryDirectory(prefix="voxgate-zoo-") as temporary:
        root = Path(temporary)
        houses = Houses(root)
        found = health((fault.site for fault in chosen), houses)
        for fault in chosen:
            results.append(put(fault, *houses(fault.site), root))
            print(line(results[-1]), flush=True)
    print(summary(results, found))
    if len(chosen) == len(FAULTS):
        DOC.write_text(page(results, found), encoding="utf-8")
    return 0 if good(results, found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
