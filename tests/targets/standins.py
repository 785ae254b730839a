"""Stand-ins for what is not here: an SDK of SNPE, the board's side of it, and adb. They replay the tools' words.

The "DLC" they make is the ONNX itself behind a mark, and snpe-net-run answers with what onnxruntime makes of it: these
show that tools are driven and read as documented, never that an RB5 works.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ARCH = "aarch64-ubuntu-gcc9.4"
HOME = "/data/local/tmp"
SERIAL = "3a7c328c"
PYTHON = f"#!{sys.executable}\n"
ARGUMENTS = """
import sys
given = dict(zip(sys.argv[1::1], sys.argv[2::1]))
"""

CONVERT = (
    ARGUMENTS
    + """
from pathlib import Path
Path(given["--output_path"]).write_bytes(b"FLOAT DLC" + Path(given["--input_network"]).read_bytes())
print("2025-10-05 19:40:11 - 214 - INFO - INFO_CONVERSION_SUCCESS: Conversion completed successfully", file=sys.stderr)
"""
)

QUANTIZE = (
    ARGUMENTS
    + """
import zlib
from pathlib import Path
assert "--override_params" in sys.argv and "--enable_htp" not in sys.argv
listed = Path(given["--input_list"]).read_text().split()
assert listed and all(Path(name).stat().st_size for name in listed)
packed = zlib.compress(Path(given["--input_dlc"]).read_bytes()[9:])
Path(given["--output_dlc"]).write_bytes(b"INT8  DLC" + packed)
print(f"[INFO] Writing quantized model to: {given['--output_dlc']}", file=sys.stderr)
"""
)

DIAGVIEW = (
    ARGUMENTS
    + """
from pathlib import Path
print(Path(given["--input_log"]).read_text(), end="")
Path(given["--output"]).write_text("")
"""
)

NET_RUN = (
    ARGUMENTS
    + """
import zlib
from pathlib import Path
import numpy as np
import onnx
import onnxruntime
assert "--enable_cpu_fallback" not in sys.argv and ";" in __import__("os").environ["ADSP_LIBRARY_PATH"]
content = Path(given["--container"]).read_bytes()
dsp = "--use_dsp" in sys.argv
model = zlib.decompress(content[9:]) if content.startswith(b"INT8  DLC") else content[9:]
session = onnxruntime.InferenceSession(model)
feed = session.get_inputs()[0]
out = Path(given["--output_dir"])
for index, name in enumerate(Path(given["--input_list"]).read_text().split()):
    window = np.fromfile(name, "<f4").reshape(feed.shape)
    (out / f"Result_{index}").mkdir(parents=True)
    session.run(None, {feed.name: window})[0].tofile(out / f"Result_{index}" / "logits.raw")
graph = onnx.load_from_string(model).graph
names = [node.name for node in graph.node]
unit, kind = ("DSP", "cycles") if dsp else ("CPU", "us")
lines = ["Software library version: 2.37.0.250724175447_124859"]
lines += ["  Total Inference Time: 1328 us", "  RPC Execute Time: 290 us", "  Accelerator Time: 59 us"]
lines += ["  Per-Subnet Execution Times: ", f"    Subnet 0 ({unit}) : {100 * len(names)} {kind}"]
lines += ["  Per-Layer Execution Times: "]
lines += [f"    {i}: {name}:OpId_{i} (cycles) : 100 {kind} : {unit}" for i, name in enumerate(names)]
(out / "SNPEDiag_0.log").write_text("\\n".join(lines) + "\\n")
"""
)

THROUGHPUT = """
print(open(THROUGHPUT_FILE).read(), end="")
""".replace("THROUGHPUT_FILE", repr(str(Path(__file__).parents[1] / "data" / "snpe" / "throughput.txt")))

VALIDATOR = r"""
print("PF_VALIDATOR: DEBUG: Starting calculator test")
print("Unit Test on the runtime DSP: Passed.\0")
"""

ADB = """
import os, subprocess, sys
from pathlib import Path
home, serials = Path(__file__).with_name("board"), SERIALS
home.mkdir(exist_ok=True)
there = lambda text: text.replace(HOME, str(home))
words = sys.argv[1:]
if words == ["devices"]:
    print("List of devices attached")
    print("".join(f"{serial}\\tdevice\\n" for serial in serials))
    sys.exit()
if words[:1] != ["-s"] or words[1] not in serials:
    sys.exit(f"adb: error: device '{words[1]}' not found")
kind, *rest = words[2:]
if kind == "shell":
    sys.exit(subprocess.run(["/bin/sh", "-c", there(rest[0])]).returncode)
sys.exit(subprocess.run(["cp", "-R", *map(there, rest)]).returncode)
"""


@dataclass(frozen=True)
class FakeSdk:
    """An SDK's folder with stand-in tools; ``tool`` replaces one."""

    root: Path

    def tool(self, name: str, code: str, *, board: bool = False) -> Path:
        folder = self.root / "bin" / (ARCH if board else "x86_64-linux-clang")
        return executable(folder / name, code)


def executable(path: Path, code: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PYTHON + code)
    path.chmod(0o755)
    return path


def make_sdk(folder: Path) -> FakeSdk:
    sdk = FakeSdk(folder / "2.37.0.250724")
    for name, code in (("snpe-onnx-to-dlc", CONVERT), ("snpe-dlc-quantize", QUANTIZE), ("snpe-diagview", DIAGVIEW)):
        sdk.tool(name, code)
    for name, code in (
        ("snpe-net-run", NET_RUN),
        ("snpe-throughput-net-run", THROUGHPUT),
        ("snpe-platform-validator", VALIDATOR),
    ):
        sdk.tool(name, code, board=True)
    for library in (f"lib/{ARCH}/libSNPE.so", "lib/hexagon-v66/unsigned/libSnpeDspV66Skel.so"):
        (sdk.root / library).parent.mkdir(parents=True)
        (sdk.root / library).write_bytes(b"\x7fELF")
    return sdk


def make_adb(folder: Path, serials: tuple[str, ...] = (SERIAL,)) -> Path:
    """An adb in ``folder``, whose boards are ``folder/board``; the folder goes first on PATH."""
    code = ADB.replace("SERIALS", repr(list(serials))).replace("HOME", repr(HOME))
    return executable(folder / "adb", code)
