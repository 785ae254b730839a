"""The user's own SNPE or QAIRT SDK: converts an ONNX into a DLC and quantizes it, on this machine.

It is found by $SNPE_ROOT or $QAIRT_SDK_ROOT and never part of voxgate. Where it has snpe-onnx-to-dlc and
snpe-dlc-quantize these are used, else qairt-converter and qairt-quantizer.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.cache import digest
from harness.errors import ToolchainError, Unsupported
from harness.targets.process import Command, Limits, run_command

ROOTS = ("SNPE_ROOT", "QAIRT_SDK_ROOT")
CONVERTERS = ("snpe-onnx-to-dlc", "qairt-converter")
QUANTIZERS = ("snpe-dlc-quantize", "qairt-quantizer")
DIAGVIEW = "snpe-diagview"
SUCCESS = {  # what a tool says last where it worked; the qairt tools' words are not known
    "snpe-onnx-to-dlc": ("Conversion completed successfully",),
    "snpe-dlc-quantize": ("Writing quantized model", "Saved quantized dlc"),
}
FLOAT_DLC, QUANTIZED_DLC = "model.dlc", "model.quantized.dlc"
LIMITS = Limits(seconds=1200, memory_mib=8192)


@dataclass(frozen=True, slots=True)
class Sdk:
    """An SDK by its folder, and where its tools for this machine and for the board lie."""

    root: Path
    variable: str

    @property
    def version(self) -> str:
        """The name of its folder, which Qualcomm's installers make of the version."""
        return self.root.name

    @property
    def host(self) -> Path:
        name = "x86_64-linux-clang" if platform.machine() == "x86_64" else os.environ.get("SNPE_TARGET_ARCH", "")
        return self.root / "bin" / name

    def tool(self, *names: str) -> Path:
        """The first of the named tools that it has for this machine; Unsupported where it has none."""
        for name in names:
            if (self.host / name).is_file():
                return self.host / name
        raise Unsupported(
            f"the SDK in ${self.variable} has no {' or '.join(names)} in {self.host}; set ${self.variable} to the "
            "folder of an unpacked SNPE or QAIRT SDK (the one that holds bin/ and lib/)."
        )

    def identity(self) -> str:
        """Changes with the SDK: part of a build's key."""
        return digest(self.version, self.tool(*CONVERTERS), self.tool(*QUANTIZERS))

    def environment(self) -> dict[str, str]:
        """What its bin/envsetup.sh sets."""
        library = self.root / "lib" / self.host.name
        return {
            self.variable: str(self.root),
            "PATH": f"{self.host}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(self.root / "lib" / "python"),
            "LD_LIBRARY_PATH": os.pathsep.join([str(library), os.environ.get("LD_LIBRARY_PATH", "")]).strip(os.pathsep),
        }

    def call(self, subject: str, tool: Path, *arguments: str, folder: Path) -> str:
        """All that one of its tools said, run in ``folder`` as :func:`run_command` does."""
        said = run_command(Command((str(tool), *arguments), subject, self.environment(), LIMITS), folder)
        signs = SUCCESS.get(tool.name, ())
        if signs and not any(sign in said for sign in signs):
            last = " | ".join(line.strip() for line in said.splitlines()[-2:]) or "(none)"
            raise ToolchainError(
                f"{subject}: {tool.name} ended with exit code 0 but never said {' or '.join(map(repr, signs))}, so "
                f"what it left is not trusted. Its last words: {last}. Is the SDK in ${self.variable} ({self.version}) "
                "whole, with the Python packages it needs?"
            )
        return said


def find() -> Sdk | None:
    """The SDK that the environment names, or None. Raises Unsupported for a folder that is none."""
    for variable in ROOTS:
        if root := os.environ.get(variable):
            sdk = Sdk(Path(root), variable)
            for names in (CONVERTERS, QUANTIZERS, (DIAGVIEW,)):
                sdk.tool(*names)
            return sdk
    return None


def convert(sdk: Sdk, folder: Path, subject: str, *, overrides: bool) -> Path:
    """``model.onnx`` of the folder to a DLC beside it, with ``model.encodings`` laid over it where asked."""
    tool = sdk.tool(*CONVERTERS)
    said = ["--input_network", "model.onnx", "--output_path", FLOAT_DLC]
    if overrides:
        said += ["--quantization_overrides", "model.encodings"]
    sdk.call(subject, tool, *said, folder=folder)
    return _written(folder / FLOAT_DLC, tool, subject)


def quantize(sdk: Sdk, folder: Path, inputs: npt.NDArray[np.float32], weights: int, subject: str) -> Path:
    """The folder's DLC in 8 bits, calibrated on ``inputs`` where the encodings leave a range open.

    Biases are 32-bit, as AIMET leaves them unquantized. ``weights``: bytes of the float weights. A DLC that is no
    smaller is still float, which the DSP would quantize by itself, without calibration. Raises ToolchainError.
    """
    tool = sdk.tool(*QUANTIZERS)
    write_inputs(inputs, folder / "calibration", folder / "calibration.txt")
    said = ["--input_dlc", FLOAT_DLC, "--input_list", "calibration.txt", "--output_dlc", QUANTIZED_DLC]
    said += ["--act_bitwidth", "8", "--weights_bitwidth", "8", "--bias_bitwidth", "32"]
    if tool.name == "snpe-dlc-quantize":
        said += ["--override_params"]  # else what the converter was given is computed anew
    sdk.call(subject, tool, *said, folder=folder)
    made = _written(folder / QUANTIZED_DLC, tool, subject)
    size, most = made.stat().st_size, max(weights, (folder / FLOAT_DLC).stat().st_size)
    if size >= most:
        raise ToolchainError(
            f"{subject}: {tool.name} left a DLC of {size} bytes, and its float source has {most}: it is still float. "
            "V66 computes in 8 bits only, and would choose the ranges itself. Look at the tool's words for layers it "
            "could not quantize."
        )
    return made


def write_inputs(inputs: npt.NDArray[np.float32], folder: Path, listing: Path) -> None:
    """One raw float file a window, and the list of them that SNPE's tools read: paths relative to the list's folder."""
    folder.mkdir()
    lines = []
    for index, window in enumerate(inputs):
        window.astype("<f4").tofile(folder / f"{index:05d}.raw")
        lines.append(f"{folder.name}/{index:05d}.raw\n")
    listing.write_text("".join(lines), encoding="utf-8")


def _written(path: Path, tool: Path, subject: str) -> Path:
    if not path.is_file() or path.stat().st_size == 0:
        raise ToolchainError(f"{subject}: {tool.name} ended well but wrote no {path.name}; run it again.")
    return path
