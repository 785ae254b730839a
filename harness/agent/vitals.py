"""What the board says of itself while it is measured: clocks, temperatures, throttling, who else wants the CPU.

Read from sysfs and procfs below ``root``; what a board does not tell is left out.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from .place import read

COUNTERS = ("cpu[0-9]*/thermal_throttle/core_throttle_count", "cpu[0-9]*/thermal_throttle/package_throttle_count")


def sample(root: str = "/") -> dict[str, Any]:
    """One look, in builtin values. Cheap enough to be taken between blocks of timed calls."""
    base = Path(root)
    delay = _run_delay(base)
    return {
        "at": time.monotonic(),
        "cpu_s": time.process_time(),
        "mhz": _clocks(base),
        "celsius": _temperatures(base),
        "cooling": _cooling(base),
        "throttles": _throttles(base),
        "load": os.getloadavg()[0],
        **({} if delay is None else {"waited_s": delay}),
    }


def _clocks(base: Path) -> dict[str, list[float]]:
    """Of each policy: its clock and the highest it may have now, in MHz."""
    found = {}
    for policy in sorted((base / "sys/devices/system/cpu/cpufreq").glob("policy[0-9]*")):
        now, most = _number(policy / "scaling_cur_freq"), _number(policy / "scaling_max_freq")
        if now is not None and most is not None:
            found[policy.name] = [now / 1e3, most / 1e3]
    for device in sorted((base / "sys/class/devfreq").glob("*")):
        now, most = _number(device / "cur_freq"), _number(device / "max_freq")
        if now is not None and most is not None:
            found[device.name] = [now / 1e6, most / 1e6]
    return found


def _temperatures(base: Path) -> dict[str, float]:
    found = {}
    for zone in sorted((base / "sys/class/thermal").glob("thermal_zone[0-9]*")):
        value = _number(zone / "temp")
        if value is not None:
            found[read(zone / "type") or zone.name] = value / 1e3
    return found


def _cooling(base: Path) -> dict[str, int]:
    """Cooling devices that slow something down: a fan is none."""
    found: dict[str, int] = {}
    for device in sorted((base / "sys/class/thermal").glob("cooling_device[0-9]*")):
        kind, state = read(device / "type"), _number(device / "cur_state")
        if state is not None and not any(word in kind.lower() for word in ("fan", "lcd", "backlight", "charge")):
            name = kind or device.name
            found[name] = max(int(state), found.get(name, 0))
    return found


def _throttles(base: Path) -> int:
    cpus = base / "sys/devices/system/cpu"
    return sum(int(_number(file) or 0) for pattern in COUNTERS for file in cpus.glob(pattern))


def _run_delay(base: Path) -> float | None:
    """Seconds this thread was ready to run while another one ran; None where the kernel does not count them."""
    fields = read(base / "proc/thread-self/schedstat").split()
    return int(fields[1]) / 1e9 if len(fields) == 3 and fields != ["0", "0", "0"] else None


def _number(path: Path) -> float | None:
    try:
        return float(read(path))
    except ValueError:
        return None
