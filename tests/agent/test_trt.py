"""What the agent reads of Tegra's allocator, and what the real package of TensorRT-RTX says without a GPU."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.agent import trt
from harness.targets import toolchain

CLIENTS = Path(__file__).parents[1] / "data" / "jetson" / "nvmap_clients.txt"
REAL = toolchain.installed("jetson")
ALIAS = "from tensorrt_rtx_bindings import *\n"  # the same interface, under the name that JetPack's has
ASK = """
import sys
sys.path.insert(0, sys.argv[1])
from harness.agent import runtimes
from harness.agent.faults import Fault
from pathlib import Path
try:
    runtimes.open_model(Path(sys.argv[2]), "tensorrt")
except Fault as fault:
    print(fault.kind, fault)
"""


def test_a_process_is_found_among_nvmaps_clients() -> None:
    assert trt.mapped(4242, CLIENTS) == (61440 + 1024) << 10
    assert trt.mapped(1, CLIENTS) == 0


def test_who_may_not_read_nvmap_is_told_nothing(tmp_path: Path) -> None:
    assert trt.mapped(4242, tmp_path / "none") is None


@pytest.mark.skipif(REAL is None, reason="TensorRT-RTX is not installed here; run: voxgate toolchain install jetson")
def test_the_real_package_refuses_what_is_no_engine(tmp_path: Path) -> None:
    """The real deserializer, on a machine without a GPU: its no becomes a fault of the model, in words."""
    assert REAL is not None
    (tmp_path / "tensorrt.py").write_text(ALIAS)
    (tmp_path / "model.engine").write_bytes(b"ftrt" + bytes(64))
    command = [str(REAL.python), "-c", ASK, str(tmp_path), str(tmp_path / "model.engine")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.stdout.splitlines()[-1].startswith("model does not load: "), done.stdout + done.stderr
