"""What must be the same on two machines for their figures to be the same: code, Python, libraries, processor."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import harness
from harness.audio.conditions import MADE_WITH
from harness.cache import digest
from harness.errors import InfraError

LIBRARIES = (
    *MADE_WITH,
    *("ai-edge-litert", "distributed", "jiwer", "kaldi-native-fbank", "litert-quantizer", "onnx", "onnxruntime"),
)


@lru_cache(maxsize=1)
def make() -> dict[str, str]:
    """Name to version of all of it, on this machine."""
    root = Path(str(harness.__file__)).parent
    files = sorted(path for kind in ("*.py", "*.safetensors") for path in root.rglob(kind))  # rooms are simulated once
    code = digest(*(part for path in files for part in (path.relative_to(root).as_posix(), path)))
    python = platform.python_version_tuple()
    return {
        "voxgate": f"{harness.__version__} ({code[:12]})",
        "python": f"{python[0]}.{python[1]}",
        "machine": platform.machine(),
        **{name: _version(name) for name in LIBRARIES},
    }


def refuse_other(worker: str, here: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Raise InfraError where a worker is not of the make of who asks."""
    found = [
        f"{name} {there.get(name, 'none')}, not {value}" for name, value in here.items() if there.get(name) != value
    ]
    if found:
        raise InfraError(
            f"the worker {worker} is not of this machine's make, and what it renders and builds may differ: it has "
            f"{'; '.join(found)}. Install there what is here and start it anew, or run without --scheduler."
        )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
