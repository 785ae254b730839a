"""A stand-in Jetson for one test: see tests/standins/jetson/README.md for how far it stands in."""

from __future__ import annotations

import json
import os
import shutil
import site
import venv
from pathlib import Path
from typing import Any

import pytest

from harness.boards import tegra

STANDIN = Path(__file__).with_name("standins") / "jetson"
TRTEXEC = Path(__file__).with_name("data") / "jetson" / "trtexec.txt"
RELEASE = (
    "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 2025\n"
)
CPU = "cpu{0}: Online=1 Governor=schedutil MinFreq={1} MaxFreq=1984000 CurrentFreq=1984000 IdleStates: WFI=0 c7=0\n"
CLOCKS = (
    "SOC family:tegra234  Machine:NVIDIA Jetson Orin NX Engineering Reference Developer Kit\nOnline CPUs: 0-1\n{cpus}"
    "cpu2: Online=0 Governor=schedutil MinFreq=729600 MaxFreq=1984000 CurrentFreq=729600 IdleStates: WFI=1 c7=1\n"
    "GPU MinFreq={gpu} MaxFreq=918000000 CurrentFreq=918000000\nActive GPU TPCs: 4\n"
    "EMC MinFreq=204000000 MaxFreq=3199000000 CurrentFreq=3199000000 FreqOverride=1\n"
    "DLA0_CORE:   Online=1 MinFreq=0 MaxFreq=614400000 CurrentFreq=614400000\n"
    "FAN Dynamic Speed Control=nvfancontrol hwmon0_pwm1=64\nNV Power Mode: MAXN\n"
)
TEGRASTATS = (
    "11-25-2026 15:00:00 RAM 2747/15523MB (lfb 8x4MB) SWAP 0/7761MB (cached 0MB) CPU [2%@1984,0%@1984,off,off] "
    "EMC_FREQ 0%@3199 GR3D_FREQ 41%@[918] VIC_FREQ 729 APE 174 cpu@45.5C soc2@43.6C gpu@43.2C tj@45.5C "
    "VDD_IN 4520mW/4480mW VDD_CPU_GPU_CV 612mW/600mW VDD_SOC 1385mW/1380mW"
)


def clocks(gpu: int = 918000000, cpu: int = 1984000) -> str:
    """What jetson_clocks --show prints, with these lower limits."""
    return CLOCKS.format(cpus="".join(CPU.format(number, cpu) for number in range(2)), gpu=gpu)


def make(folder: Path, monkeypatch: pytest.MonkeyPatch, **state: Any) -> Path:
    """Make this machine look like a Jetson to harness.boards.tegra; its Python. ``state`` overrides what it does."""
    healthy = {
        "tensorrt": "10.3.0.30",
        "provider": True,
        "refuses": [],  # operators
        "unbuildable": "",  # what it says before a build fails
        "float": [],  # nodes that are computed in float, whatever feeds them
        "names_only": False,
        "dla_cores": 2,
        "nvpmodel": "NV Fan Mode:quiet\nNV Power Mode: MAXN\n0",
        "jetson_clocks": clocks(),
        "tegrastats": TEGRASTATS,
        "trtexec": TRTEXEC.read_text(),
    }
    shutil.copytree(STANDIN, folder / "standin")
    for part in ("modules", "bin"):
        (folder / "standin" / part / "state.json").write_text(json.dumps(healthy | state))
    venv.create(folder / "python", symlinks=True)
    (packages,) = (folder / "python" / "lib").glob("python*/site-packages")
    lines = [str(folder / "standin" / "modules"), *site.getsitepackages(), "import libcudart"]
    (packages / "standin.pth").write_text("\n".join(lines) + "\n")
    (folder / "nv_tegra_release").write_text(RELEASE)
    monkeypatch.setattr(tegra, "RELEASE", folder / "nv_tegra_release")
    monkeypatch.setenv(tegra.PYTHON, str(folder / "python" / "bin" / "python"))
    monkeypatch.setenv("PATH", str(folder / "standin" / "bin"), prepend=os.pathsep)
    tegra._probe.cache_clear()
    return folder / "python" / "bin" / "python"
