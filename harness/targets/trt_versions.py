"""What differs between the TensorRT versions that Jetsons run: 10.3 of JetPack 6 to 11.

An engine is built on the board by the board's own TensorRT. Without a board a newer one compiles as a proxy, and takes
operators that an older board refuses: this table names them (ONNX-TensorRT's and TensorRT's release notes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.targets.base import Node

Version = tuple[int, int]

OLDEST: Version = (10, 3)  # of JetPack 6
NEWEST = 11  # a major beyond it has not been read about
SINCE: Mapping[str, Version] = {
    "BlackmanWindow": (10, 4),
    "HammingWindow": (10, 4),
    "HannWindow": (10, 4),
    "STFT": (10, 5),
    "Attention": (10, 14),
    "RMSNormalization": (10, 15),
    "RotaryEmbedding": (10, 15),
    "TensorScatter": (10, 15),
}
NO_DLA: tuple[Version, ...] = ((11, 0), (11, 1))


def parse(version: str) -> Version:
    """Major and minor of ``10.3.0.30``. Raises ValueError."""
    major, minor, *_ = version.split(".")
    return int(major), int(minor)


def too_new(ops: Mapping[str, str], version: Version) -> Iterable[Node]:
    """Nodes whose operator TensorRT has only from a later version on; ``ops`` are operators by node name."""
    for name, op in ops.items():
        since = SINCE.get(op, version)
        if since > version:
            reason = f"TensorRT has {op} only from {dotted(since)} on, and a board with {dotted(version)} refuses it"
            yield Node(name, op, "unknown", "gpu", True, reason)


def dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
