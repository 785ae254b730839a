"""Stand-ins for what cannot be had here: edgetpu_compiler, and tflite-runtime with a Coral device. Each says so."""

from __future__ import annotations

import shutil
import sys
import sysconfig
import textwrap
import venv
from pathlib import Path

LOGS = Path(__file__).parents[1] / "data" / "edgetpu"
COMPILER = """\
#!{python}
# A stand-in for edgetpu_compiler: it replays a log, and copies what stands for a compiled model.
import os, shutil, signal, sys, time
if "--version" in sys.argv:
    print("Edge TPU Compiler version {version}")
    sys.exit()
print(open({log!r}).read(), flush=True)
model, folder = sys.argv[-1], sys.argv[sys.argv.index("-o") + 1]
if {made!r}:
    name = os.path.basename(model).replace(".tflite", "_edgetpu.tflite")
    shutil.copyfile({made!r}, os.path.join(folder, name))
if {code} < 0:
    os.kill(os.getpid(), -{code})
sys.exit({code})
"""


def compiler(folder: Path, log: Path, made: Path | None, code: int = 0, version: str = "16.0.384591198") -> Path:
    """A folder for PATH whose edgetpu_compiler replays ``log`` and copies ``made``; a negative code is a signal."""
    folder.mkdir(exist_ok=True)
    path = folder / "edgetpu_compiler"
    text = COMPILER.format(
        python=sys.executable, log=str(log), made=str(made) if made else "", code=code, version=version
    )
    path.write_text(text)
    path.chmod(0o755)
    return folder


RUNTIME = """\
# A stand-in for tflite-runtime: LiteRT runs the int8 model that a compiled one was made from.
import os
from ai_edge_litert.interpreter import Interpreter as Real

def load_delegate(library):
    if "broken" in library:
        raise ValueError("Failed to load delegate from " + library)
    return library

class Interpreter(Real):
    def __init__(self, model_path, experimental_delegates=None):
        if os.path.exists(model_path + ".newer"):
            raise ValueError("Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'")
        if "_edgetpu" in model_path and not experimental_delegates:
            raise RuntimeError("Encountered unresolved custom op: edgetpu-custom-op.")
        self.fatal = model_path + ".lost"
        super().__init__(model_path.replace("_edgetpu", ""), num_threads=1)

    def invoke(self):
        if os.path.exists(self.fatal):
            os._exit(3)
        print("a library that prints", flush=True)
        super().invoke()
"""


def runtime(folder: Path) -> Path:
    """The Python of an environment whose tflite_runtime is a stand-in."""
    venv.create(folder, with_pip=False, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (packages / "tflite_runtime").mkdir()
    (packages / "tflite_runtime" / "__init__.py").write_text("")
    (packages / "tflite_runtime" / "interpreter.py").write_text(textwrap.dedent(RUNTIME))
    return folder / "bin" / "python"


def usb(folder: Path, vendor: str = "1a6e", product: str = "089a") -> Path:
    """What /sys/bus/usb/devices looks like with one device, and a hub that has no ids to read."""
    for name, ids in (("1-1", (vendor, product)), ("usb1", ())):
        place = folder / name
        place.mkdir(parents=True)
        for part, value in zip(("Vendor", "Product"), ids, strict=False):
            (place / f"id{part}").write_text(f"{value}\n")
    return folder


def beside(model: Path, mark: str) -> Path:
    """A file that tells the stand-in runtime to fail: ``newer`` or ``lost``."""
    path = Path(f"{model}.{mark}")
    path.touch()
    return path


def stand_for_compiled(model: Path) -> Path:
    """A file beside an int8 model that the stand-in runtime takes for what the compiler made of it."""
    return Path(shutil.copyfile(model, model.with_name(f"{model.stem}_edgetpu.tflite")))
