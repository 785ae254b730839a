"""What can befall any file: cut short, overwritten, something else in its place."""

from __future__ import annotations

import gzip
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]
SEED = 11


def rewritten(change: Callable[[bytes], bytes]) -> Damage:
    def damage(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return damage


def _noise(content: bytes) -> bytes:
    return random.Random(SEED).randbytes(len(content))


def _instead(make: Callable[[Path], object]) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


# Whatever the format, none of these is an instance of it.
ALWAYS: dict[str, Damage] = {
    "empty": rewritten(lambda content: b""),
    "one byte": rewritten(lambda content: content[:1]),
    "a tenth": rewritten(lambda content: content[: len(content) // 10]),
    "zeros": rewritten(lambda content: bytes(len(content))),
    "noise": rewritten(_noise),
    "turned round": rewritten(lambda content: content[::-1]),
    "a pickle": rewritten(lambda content: pickle.dumps({"model": [1.0] * 100})),
    "a zip": rewritten(lambda content: b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + content[:500]),
    "gzipped": rewritten(lambda content: gzip.compress(content, mtime=0)),
    "a web page": rewritten(lambda content: b"<!DOCTYPE html><html><head><title>404</title></head></html>\n"),
    "a pointer": rewritten(lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"),
    "UTF-16": rewritten(lambda content: content.decode("latin-1").encode("utf-16")),
    "a folder": _instead(Path.mkdir),
    "a pipe": _instead(os.mkfifo),
    "a loop of links": _instead(_loop),
    "a dangling link": _instead(lambda path: path.symlink_to("nowhere")),
    "gone": _instead(lambda path: None),
}


def cut(share: float) -> Damage:
    """The first part of it."""
    return rewritten(lambda content: content[: int(share * len(content))])


def struck(share: float, seed: int) -> Damage:
    """So many of its bytes replaced by others."""

    def change(content: bytes) -> bytes:
        chance, changed = random.Random(seed), bytearray(content)
        for place in chance.sample(range(len(changed)), max(1, int(share * len(changed)))):
            changed[place] ^= chance.randrange(1, 256)
        return bytes(changed)

    return rewritten(change)


def text(old: str, new: str) -> Damage:
    """A text that must be there, replaced once."""

    def change(content: bytes) -> bytes:
        assert old.encode() in content, old
        return content.replace(old.encode(), new.encode("utf-8", "surrogateescape"), 1)

    return rewritten(change)


def added(end: str) -> Damage:
    return rewritten(lambda content: content + end.encode())


def whole(content: str | bytes) -> Damage:
    return rewritten(lambda _: content if isinstance(content, bytes) else content.encode())
