"""What this Jetson is and in which state: L4T, TensorRT, power mode, clocks, temperatures, power.

Read from the same commands a person would type: nvpmodel, jetson_clocks, tegrastats. Elsewhere there is no Jetson.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import NotMeasured, Unsupported

RELEASE = Path("/etc/nv_tegra_release")
PYTHON = "VOXGATE_JETSON_PYTHON"
SYSTEM_PYTHON = "/usr/bin/python3"
SECONDS = 60.0
WORKER = Path(__file__).parents[1] / "targets" / "workers" / "jetson_worker.py"
L4T = re.compile(r"^# R(\d+) \(release\), REVISION: ([\d.]+)")
MODE = re.compile(r"^NV Power Mode: *(\S+)", re.MULTILINE)
CLOCK = re.compile(r"^(cpu\d+|GPU)\b[: ].*?MinFreq=(\d+) MaxFreq=(\d+) CurrentFreq=(\d+)", re.MULTILINE)
TEMPERATURE = re.compile(r"\b(\w+)@(-?[\d.]+)C\b")
RAIL = re.compile(r"\b(VDD_\w+|VIN_\w+) (\d+)mW/(\d+)mW")
GPU_LOAD = re.compile(r"\bGR3D_FREQ (\d+)%(?:@\[?(\d+))?")


@dataclass(frozen=True, slots=True)
class Jetpack:
    """The board support package and the TensorRT of its Python."""

    l4t: str  # such as 36.4.3
    python: Path
    tensorrt: str
    sm: str  # compute capability without the point: 87 on Orin
    provider: str  # version of an onnxruntime that has the TensorRT provider, else empty


@dataclass(frozen=True, slots=True)
class Power:
    """The power mode, and the clocks in Hz (CPU in kHz) as least, most and current."""

    mode: str
    clocks: dict[str, tuple[int, int, int]]

    @property
    def settings(self) -> tuple[str, dict[str, tuple[int, int]]]:
        """What nvpmodel and jetson_clocks set, without where the clocks happen to be."""
        return self.mode, {name: (low, high) for name, (low, high, _) in self.clocks.items()}

    @property
    def pinned(self) -> bool:
        """Whether least and most agree for the GPU and every CPU: what jetson_clocks does."""
        return "GPU" in self.clocks and all(low == high for low, high, _ in self.clocks.values())


def is_jetson() -> bool:
    return RELEASE.is_file()


def jetpack() -> Jetpack:
    """What is installed on this Jetson. Raises Unsupported, with the remedy, where no Python here has TensorRT."""
    said = RELEASE.read_text(encoding="utf-8", errors="replace")
    found = L4T.match(said)
    if found is None:
        raise Unsupported(f"{RELEASE} says {said[:60]!r}, no L4T release known here. Install JetPack 6 or newer.")
    python = os.environ.get(PYTHON, SYSTEM_PYTHON)
    facts = _probe(python)
    if "error" in facts:
        raise Unsupported(
            f"this Jetson's {python} cannot use TensorRT and CUDA ({facts['error']}). Run: sudo apt-get install "
            f"python3-libnvinfer python3-numpy; or name the Python that has them: export {PYTHON}=PATH"
        )
    return Jetpack(f"{found[1]}.{found[2]}", Path(python), facts["tensorrt"], facts["sm"], facts["provider"])


@cache
def _probe(python: str) -> dict[str, str]:
    """What that Python can do; once a process, for it takes a second."""
    try:
        done = subprocess.run(
            [python, "-I", WORKER, "--probe"], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": str(error)}
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    try:
        facts: dict[str, str] = json.loads(done.stdout.strip().splitlines()[-1])
        return {name: str(facts[name]) for name in ("tensorrt", "sm", "provider")}
    except (IndexError, ValueError, KeyError, TypeError):
        return {"error": f"it answers {_short(done.stdout)}"}


def power(subject: str) -> Power:
    """The state that latency depends on. Raises NotMeasured, with the remedy, where it cannot be read."""
    said = _call("nvpmodel", "-q")
    mode = MODE.search(said)
    if mode is None:
        raise NotMeasured(
            f"latency of {subject}: the power mode of this Jetson cannot be read (nvpmodel -q says {_short(said)}), "
            "and a time in an unknown mode judges nothing. Make this work first: sudo nvpmodel -q"
        )
    said = _call("jetson_clocks", "--show")
    online = "\n".join(line for line in said.splitlines() if "Online=0" not in line)
    clocks = {name: (int(low), int(high), int(now)) for name, low, high, now in CLOCK.findall(online)}
    if "GPU" not in clocks:
        raise NotMeasured(
            f"latency of {subject}: the clocks of this Jetson cannot be read (jetson_clocks --show says "
            f"{_short(said)}). Run voxgate as a user who may: sudo jetson_clocks --show"
        )
    return Power(mode[1], clocks)


def pinned(subject: str) -> Power:
    """The state, with clocks that do not move. Raises NotMeasured where they may."""
    state = power(subject)
    if not state.pinned:
        name, (low, high, _) = next(item for item in sorted(state.clocks.items()) if item[1][0] != item[1][1])
        raise NotMeasured(
            f"latency of {subject}: the clocks are not pinned ({name} may run from {low} to {high} in power mode "
            f"{state.mode}), so that times would be those of the governor. Run: sudo jetson_clocks"
        )
    return state


def mode() -> str:
    """The power mode's name, or an empty string where it cannot be read."""
    found = MODE.search(_call("nvpmodel", "-q"))
    return found[1] if found else ""


class Watch:
    """tegrastats in the background, every 100 ms, until its lines are taken."""

    def __init__(self) -> None:
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 -- until taken
        self._stop: Callable[[], object] = lambda: None
        try:
            command = ["tegrastats", "--interval", "100"]
            process = subprocess.Popen(command, stdout=self._said, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
            self._stop = weakref.finalize(self, _end, process)
        except OSError:  # then there are no lines, which the record shows
            pass

    def taken(self) -> dict[str, Any]:
        """What it saw, as :func:`vitals` sums it up; ends the watch."""
        self._stop()
        self._said.seek(0)
        return vitals(self._said.read().splitlines())


def vitals(lines: Sequence[str]) -> dict[str, Any]:
    """Lines of tegrastats: highest temperatures (Celsius), mean rails (mW), least and most GPU clock (MHz).

    What no line tells is left out: an empty record must not look like a cool board.
    """
    temperatures: dict[str, list[float]] = defaultdict(list)
    rails: dict[str, list[int]] = defaultdict(list)
    clocks = [int(clock) for line in lines for _, clock in GPU_LOAD.findall(line) if clock]
    for line in lines:
        for name, degrees in TEMPERATURE.findall(line):
            temperatures[name].append(float(degrees))
        for name, now, _ in RAIL.findall(line):
            rails[name].append(int(now))
    return {
        "samples": sum("GR3D_FREQ" in line for line in lines),
        "temperature_c": {name: max(values) for name, values in temperatures.items()},
        "rails_mw": {name: sum(values) / len(values) for name, values in rails.items()},
        "gpu_mhz": [min(clocks), max(clocks)] if clocks else None,
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _call(*command: str) -> str:
    """All that a command says, with sudo where it wants root and sudo asks for no password."""
    said = ""
    for words in (command, ("sudo", "-n", *command)):
        try:
            done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            said = said or str(error)
            continue
        said = done.stdout + done.stderr
        if done.returncode == 0:
            return said
    return said


def _short(said: str) -> str:
    return repr(" ".join(said.split())[:120]) if said.strip() else "nothing"
