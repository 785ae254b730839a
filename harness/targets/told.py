"""What a board's own tools tell of an artifact beside its outputs: the device's memory, and a time of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from harness.targets.base import Evidence


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Bytes of the accelerator's memory that one loaded artifact takes; ``parts`` are some of them, by content."""

    bytes: int
    evidence: Evidence
    source: str  # who says so
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OwnTime:
    """What the toolchain's own benchmark or profile says one inference takes."""

    ms: float  # the median, where the tool tells one
    n: int  # inferences behind it
    source: str  # the tool, and what it leaves out


def own_time(us: npt.ArrayLike, source: str) -> OwnTime:
    """Of single inferences in microseconds."""
    samples = np.asarray(us, np.float64)
    return OwnTime(float(np.median(samples)) / 1e3, len(samples), source)
