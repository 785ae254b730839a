"""Files as bytes, from one machine to another: regular files of one folder, within a size."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.candidate import Candidate, CommandHead, inside
from harness.errors import CandidateError
from harness.quantize import trained

Parcel = tuple[tuple[str, bytes], ...]  # name below the folder, content

MOST = 1 << 30


def pack(folder: Path, files: Iterable[Path]) -> Parcel:
    """Some files below ``folder``. Raises CandidateError where they are larger than MOST together."""
    found = [(path.relative_to(folder).as_posix(), path) for path in sorted(files)]
    if (size := sum(path.stat().st_size for _, path in found)) > MOST:
        raise CandidateError(
            f"{folder} holds {size >> 20} MiB, and {MOST >> 20} MiB are sent to a worker at most; run without "
            "--scheduler."
        )
    return tuple((name, path.read_bytes()) for name, path in found)


def pack_whole(folder: Path) -> Parcel:
    """All files below a folder."""
    return pack(folder, (path for path in folder.rglob("*") if path.is_file()))


def pack_candidate(candidate: Candidate) -> Parcel:
    """What a build reads of a candidate: model.toml, the files it names, and what training left."""
    head, folder = candidate.head, candidate.folder
    named = ["model.toml", head.model, head.tflite, head.device_features, getattr(head, "whole", None)]
    if isinstance(head, CommandHead):
        named.append(head.grammar)
    files = {folder / name for name in named if name and inside(folder, name)}
    left = folder / trained.FOLDER
    return pack(folder, files | {path for path in left.rglob("*") if path.is_file()})


def unpack(parcel: Parcel, folder: Path) -> None:
    """The files of a parcel below a folder. Raises CandidateError where one would leave it."""
    for name, content in parcel:
        path = inside(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
