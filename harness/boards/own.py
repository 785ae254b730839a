"""The toolchain's own benchmark on this machine, as a figure to stand beside ours."""

from __future__ import annotations

from harness.agent import own
from harness.agent.faults import Fault
from harness.errors import NotMeasured
from harness.targets.base import Artifact
from harness.targets.told import OwnTime


def measure(artifact: Artifact, runtime: str) -> OwnTime:
    """One inference by the benchmark of ``runtime``. Raises NotMeasured where there is none, or it fails."""
    try:
        return OwnTime(**own.tell(artifact.file, runtime))
    except Fault as fault:
        raise NotMeasured(f"{runtime}: {fault}") from fault
