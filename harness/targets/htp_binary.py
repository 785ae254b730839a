"""What a QNN context binary says of itself: the chip it was compiled for, in plain strings of the file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ToolchainError
from harness.targets.htp_socs import Soc

MAX_BINARY = 1 << 30  # bytes
TARGET = re.compile(rb"soc_type=(\w+);arch=(\d+);")
VTCM = re.compile(rb";vtcm_size=(\d+);")


@dataclass(frozen=True, slots=True)
class Compiled:
    """The target of one context binary, as read from it; ``vtcm`` in bytes."""

    soc: str
    arch: int
    vtcm: int


def read(path: Path, subject: str) -> Compiled:
    """The binary's own target. Raises ToolchainError where it names none, or more than one."""
    if not path.is_file():
        raise ToolchainError(
            f"{subject}: QNN reported success but wrote no context binary ({path.name}); run it again."
        )
    if path.stat().st_size > MAX_BINARY:
        raise ToolchainError(f"{subject}: {path} is larger than {MAX_BINARY >> 20} MiB; not read.")
    content = path.read_bytes()
    targets, sizes = set(TARGET.findall(content)), set(VTCM.findall(content))
    if len(targets) != 1 or len(sizes) != 1:
        named = ", ".join(sorted(f"{soc.decode()} v{arch.decode()}" for soc, arch in targets)) or "none"
        raise ToolchainError(
            f"{subject}: the context binary must name one target and one VTCM size; it names {named}, with "
            f"{len(sizes)} sizes. What it was compiled for is unknown, so it is not judged. Is this onnxruntime-qnn "
            "2.7.0? Run: voxgate toolchain install htp"
        )
    ((soc, arch),), (vtcm,) = targets, sizes
    return Compiled(soc.decode().upper(), int(arch), int(vtcm))


def require(path: Path, wanted: Soc, subject: str) -> None:
    """Raise ToolchainError where the binary was compiled for another chip than ``wanted``."""
    found = read(path, subject)
    if found != Compiled(wanted.name, wanted.arch, wanted.vtcm):
        raise ToolchainError(
            f"{subject}: asked for {wanted}, soc_model {wanted.model}, {wanted.vtcm >> 20} MiB of VTCM, but the "
            f"context binary is for {found.soc} (v{found.arch}) with {found.vtcm >> 20} MiB. It is not judged: this "
            "toolchain knows another table of chips. Run: voxgate toolchain install htp"
        )
