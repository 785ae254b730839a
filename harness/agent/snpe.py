"""SNPE on the board itself, by its command line: a DLC on the DSP, or a float one on the CPU.

snpe-net-run starts a process for every list of windows: outputs come in batches, and no clock of ours tells an
inference's time there. Found on PATH or in /opt/snpe, whose bin, lib and dsp are those of the user's SDK. CPU fallback
is never enabled.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from . import tool

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

HOME = Path("/opt/snpe")
SYSTEM = "/system/lib/rfsa/adsp;/system/vendor/lib/rfsa/adsp;/dsp"
NET_RUN, THROUGHPUT = "snpe-net-run", "snpe-throughput-net-run"
BURST = ("--perf_profile", "burst")
TOGETHER = 64  # windows of one process
START_S, WINDOW_S = 60.0, 0.5
STEADY_S = 10
RATE = re.compile(r"^Total throughput: ([\d.]+) infs/sec", re.MULTILINE)


class NetRun:
    """A DLC as a function of one window, and of many at once; ``unit`` is ``dsp`` or ``cpu``."""

    def __init__(self, file: Path, shape: Sequence[int], unit: str) -> None:
        self.file, self.shape, self.unit = file, tuple(shape), unit
        program(NET_RUN)
        self(np.zeros(self.shape, np.float32))  # a model that cannot run is told when it is opened

    def __call__(self, window: Floats) -> Floats:
        output: Floats = self.many(window[np.newaxis])[0]
        return output

    def many(self, windows: Floats) -> Floats:
        """Outputs ``(n, labels)``, by as few processes as will do."""
        starts = range(0, len(windows), TOGETHER)
        return np.concatenate([self._some(windows[start : start + TOGETHER]) for start in starts])

    def _some(self, windows: Floats) -> Floats:
        with tempfile.TemporaryDirectory(prefix="voxgate-snpe-") as name:
            folder = Path(name)
            names = [f"{number:05d}.raw" for number in range(len(windows))]
            for raw, window in zip(names, windows):
                window.reshape(self.shape).astype("<f4").tofile(str(folder / raw))
            (folder / "inputs.txt").write_text("".join(f"{raw}\n" for raw in names), encoding="utf-8")
            words = ["--container", str(self.file), "--input_list", "inputs.txt", "--output_dir", "o"]
            call(NET_RUN, [*words, *_unit(self.unit), *BURST], folder, START_S + WINDOW_S * len(windows))
            return np.stack([_output(folder / "o" / f"Result_{number}") for number in range(len(windows))])


def _output(folder: Path) -> Floats:
    files = sorted(folder.glob("*.raw"))
    if len(files) != 1:
        raise ValueError(f"{NET_RUN} left {len(files)} outputs of a window where one was due")
    return np.fromfile(str(files[0]), "<f4").astype(np.float32)


def _unit(unit: str) -> tuple[str, ...]:
    return ("--use_dsp",) if unit == "dsp" else ()


def steady(file: Path) -> dict[str, Any]:
    """Milliseconds of one inference on the DSP at SNPE's own steady rate."""
    words = ["--container", str(file), "--duration", str(STEADY_S), *_unit("dsp"), *BURST]
    said = call(THROUGHPUT, words, file.parent, START_S + STEADY_S)
    rate = RATE.search(said)
    if rate is None or float(rate[1]) <= 0:
        raise ValueError(f"{THROUGHPUT} tells no throughput")
    each = float(rate[1])
    return {"ms": 1e3 / each, "n": round(each * STEADY_S), "source": f"{THROUGHPUT}, mean, inputs in memory"}


def program(name: str) -> str:
    """Where one of SNPE's tools is. Raises ImportError, as for any runtime that is not there."""
    found = shutil.which(name) or shutil.which(name, path=str(HOME / "bin"))
    if found is None:
        raise ImportError(f"{name} is neither on PATH nor in {HOME / 'bin'}")
    return found


def call(name: str, words: Sequence[str], folder: Path, timeout_s: float) -> str:
    """What a tool prints. Raises ValueError with its last words where it fails."""
    path = program(name)
    root = Path(path).resolve().parents[1]
    libraries = f"{root / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    skels = os.environ.get("ADSP_LIBRARY_PATH", f"{root / 'dsp'};{SYSTEM}")
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries, "ADSP_LIBRARY_PATH": skels}
    code, said, last = tool.call([path, *words], timeout_s, cwd=str(folder), env=environment)
    if code != 0:
        raise ValueError(f"{name} ended with exit code {code}: {last}")
    return said
