"""A board's sysfs and procfs, as files: what an RK3588 has (Linux 6.1: two kinds of core, NPU, thermal zones)."""

from __future__ import annotations

from pathlib import Path

GOVERNORS = "conservative ondemand userspace powersave performance schedutil"


def board(root: Path) -> Path:
    for policy, most in (("policy0", 1800000), ("policy4", 2400000)):
        folder = root / "sys/devices/system/cpu/cpufreq" / policy
        put(folder / "scaling_governor", "schedutil")
        put(folder / "scaling_available_governors", GOVERNORS)
        put(folder / "scaling_cur_freq", str(most // 2))
        put(folder / "scaling_max_freq", str(most))
    npu = root / "sys/class/devfreq/fdab0000.npu"
    put(npu / "governor", "rknpu_ondemand")
    put(npu / "available_governors", "rknpu_ondemand userspace powersave performance")
    put(npu / "cur_freq", "1000000000")
    put(npu / "max_freq", "1000000000")
    for i, (kind, value) in enumerate({"soc-thermal": 45300, "npu-thermal": 44000}.items()):
        put(root / f"sys/class/thermal/thermal_zone{i}/type", kind)
        put(root / f"sys/class/thermal/thermal_zone{i}/temp", str(value))
    for i, (kind, state) in enumerate({"pwm-fan": 2, "thermal-cpufreq-0": 0, "thermal-devfreq-0": 0}.items()):
        put(root / f"sys/class/thermal/cooling_device{i}/type", kind)
        put(root / f"sys/class/thermal/cooling_device{i}/cur_state", str(state))
    put(root / "proc/thread-self/schedstat", "5000000000 250000000 900")
    return root


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
