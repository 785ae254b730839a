"""Recordings out of Debian packages: fetched when they are first needed, kept in the user's cache, never in a house.

apt checks what it fetches against Debian's signatures. Where its lists are stale or absent, fresh ones are
read into a folder of our own: nothing of this machine is changed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import platformdirs

from harness.cache import Cache, digest
from harness.errors import Unsupported

NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{1,80}")
TIMEOUT_S = 900
MAX_BYTES = 1 << 30


def package(name: str, cache: Cache | None = None) -> Path:
    """The unpacked files of a Debian package, fetched once. Raises Unsupported where it cannot be had here."""
    cache = cache or Cache(platformdirs.user_cache_path("voxgate") / "packages")
    return cache.entry("debian", digest("package", name), lambda folder: _fetch(name, folder)).path


def _fetch(name: str, folder: Path) -> None:
    if not NAME.fullmatch(name):
        raise Unsupported(f"{name!r:.60} is no name of a Debian package; correct package = in corpus.toml.")
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise _absent(name, f"there is no {tool} here")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        said = _download(name, place, ())
        if said:
            own = _own_lists(place)
            said = _run(["apt-get", "update", "-qq", *own], place) or _download(name, place, own)
        found = sorted(place.glob("*.deb"))
        if said or not found:
            raise _absent(name, said or "apt-get fetched nothing")
        if found[0].stat().st_size > MAX_BYTES:
            raise _absent(name, f"it is larger than {MAX_BYTES >> 20} MiB")
        said = _run(["dpkg-deb", "--extract", str(found[0]), str(folder)], place)
        if said:
            raise _absent(name, said)


def _download(name: str, place: Path, options: tuple[str, ...]) -> str:
    return _run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *options, name], place)


def _own_lists(place: Path) -> tuple[str, ...]:
    """Options that keep apt's lists and cache below ``place``."""
    lists, archives = place / "lists", place / "cache"
    (lists / "partial").mkdir(parents=True)
    (archives / "archives" / "partial").mkdir(parents=True)
    return "-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={archives}"


def _run(command: list[str], place: Path) -> str:
    """What a command complained of; empty where it did what it was to do."""
    try:
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
    return (lines or [f"{command[0]} ended with {done.returncode}"])[0].strip()


def _absent(name: str, why: str) -> Unsupported:
    return Unsupported(
        f"the recordings of Debian's package {name} are not here, and could not be fetched: {why}. Run where Debian's "
        f"packages can be reached (apt-get download {name} tells), or do without its hours."
    )
