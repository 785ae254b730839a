"""A content-addressed store: a key made of inputs, a folder made once, whoever asks first.

Two runs may share one cache: each entry is made under a lock, in a temporary folder beside its
place, and appears there whole by one rename.
"""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from harness.errors import InfraError

AT_ONCE = 8 << 20  # bytes of an array


def digest(*parts: Any) -> str:
    """A stable sha256 (hex, 32 characters) of JSON-able values, bytes, arrays and paths (both by content)."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                data = hashlib.file_digest(file, "sha256").digest()
        elif isinstance(part, bytes | bytearray | memoryview):
            data = hashlib.sha256(part).digest()
        elif isinstance(part, np.ndarray):
            data = _content(part)
        else:
            data = json.dumps(part, sort_keys=True, default=_plain).encode()
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()[:32]


def _content(array: npt.NDArray[Any]) -> bytes:
    """The sha256 of the array's bytes; of one that is mapped, no more is in memory than is looked at."""
    total = hashlib.sha256()
    step = max(1, AT_ONCE * len(array) // max(1, array.nbytes))
    for first in range(0, len(array), step):
        total.update(np.ascontiguousarray(array[first : first + step]).data)
        let_go(array)
    return total.digest()


def sources(*modules: ModuleType) -> str:
    """The digest of the code of some modules: what they make differs when they do."""
    return digest(*(Path(str(module.__file__)) for module in modules))


def _plain(value: object) -> object:
    """What JSON lacks, in a form that is the same in every process: the text of a set is not."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no stable digest")


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished folder of the cache; ``hit`` tells whether this run made it."""

    kind: str
    key: str
    path: Path
    hit: bool


@dataclass(slots=True)
class Cache:
    """Folders keyed by what went into them, under ``root/kind/key``."""

    root: Path
    used: list[Entry] = field(default_factory=list)

    def entry(self, kind: str, key: str, make: Callable[[Path], None]) -> Entry:
        """The finished entry; ``make(folder)`` fills it when it is not there yet.

        A ``make`` that raises leaves nothing behind. A full or read-only disk is an InfraError.
        """
        place = self.root / kind / key
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(place.with_name(f"{key}.lock")):
                hit = place.is_dir()
                if not hit:
                    self._fill(place, make)
        except OSError as error:
            if not self._concerns(error):
                raise
            raise disk_error(error, place) from error
        entry = Entry(kind, key, place, hit)
        self.used.append(entry)
        return entry

    def _concerns(self, error: OSError) -> bool:
        """Whether it is the cache that failed, and not an input that ``make`` could not read."""
        if error.filename is None or error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        path, root = Path(os.fsdecode(error.filename)).absolute(), self.root.absolute()
        return path.is_relative_to(root) or root.is_relative_to(path)  # the root's parents may be what cannot be made

    def _fill(self, place: Path, make: Callable[[Path], None]) -> None:
        for left in place.parent.glob(f".{place.name}-*"):  # by a run that was killed: we hold the lock
            shutil.rmtree(left, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        try:
            make(temporary)
            temporary.replace(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def let_go(array: npt.NDArray[Any]) -> None:
    """Give back the memory of a mapped array that was read through: it is read anew when it is asked for again."""
    pages = getattr(array, "_mmap", None)
    if pages is not None and hasattr(pages, "madvise"):
        pages.madvise(mmap.MADV_DONTNEED)


def save_parts(path: Path, parts: Iterable[npt.NDArray[Any]], count: int) -> None:
    """Rows that come some at a time, ``count`` in all, as one .npy file; at least one part must come."""
    with path.open("wb") as file:
        for number, part in enumerate(parts):
            if number == 0:
                header = {"descr": part.dtype.str, "fortran_order": False, "shape": (count, *part.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(part).data)


def write_whole(path: Path, content: bytes) -> None:
    """A file in place of an old one, or the old one: never half of it. Folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    temporary.replace(path)


def disk_error(error: OSError, place: Path) -> InfraError:
    """An OSError of writing the work folder, as an InfraError that names the remedy."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InfraError(
            f"the disk is full: {place} could not be written. Free some space, or name another work folder "
            "with --work DIR; what was finished before is kept."
        )
    return InfraError(f"{place} could not be written: {error.strerror or error}. Name another folder with --work DIR.")
