"""SNPE's runtime on a board: brought there once from the user's SDK, and proven by its own validator."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from harness.boards.shell import Reply, Shell
from harness.cache import digest
from harness.errors import InfraError, ToolchainError, Unsupported
from harness.targets import snpe

TOOLS = ("snpe-net-run", "snpe-throughput-net-run", "snpe-platform-validator")
DSP = ("lib/hexagon-v66/unsigned", "lib/dsp")  # where SDKs keep the V66's part: since 2.x, before
SYSTEM = "/system/lib/rfsa/adsp;/system/vendor/lib/rfsa/adsp;/dsp"
VALIDATE_S = 300.0


class SnpeRuntime:
    """An SDK's tools and libraries in a folder of the board, ``place``, named by the SDK."""

    def __init__(self, shell: Shell, sdk: snpe.Sdk) -> None:
        self.shell, self.sdk = shell, sdk
        self.place = f"{shell.home}/voxgate-snpe-{digest(sdk.identity(), shell.name)[:12]}"

    def install(self, subject: str) -> None:
        """Bring SNPE to the board once, and let its own validator say whether the DSP answers."""
        if self.shell.run(f"test -f {self.place}/valid").code == 0:
            return
        self.must(f"rm -rf {self.place}; mkdir -p {self.place}", "mkdir", subject)
        arch = self._arch()
        with tempfile.TemporaryDirectory(prefix="voxgate-snpe-") as name:
            for folder, sources in self._files(arch).items():
                (Path(name) / folder).mkdir()
                for source in sources:
                    shutil.copy2(source, Path(name) / folder)
                self.shell.put(Path(name) / folder, self.place)
        ask = "snpe-platform-validator --runtime dsp --coreVersion --libVersion --testRuntime"
        said = self.shell.run(self.within(self.place, f"chmod +x bin/*; {ask}"), VALIDATE_S)
        if not _dsp_passed(said):
            raise InfraError(
                f"{subject}: snpe-platform-validator does not say that the DSP of {self.shell.name} passed: "
                f"{said.last}. Is it an RB5 with its DSP firmware, and the SDK of its system ($SNPE_TARGET_ARCH)?"
            )
        self.must(f"touch {self.place}/valid", "touch", subject)

    def _arch(self) -> str:
        """Which of the SDK's systems the board runs: $SNPE_TARGET_ARCH, else the only one that fits."""
        if wanted := os.environ.get("SNPE_TARGET_ARCH"):
            return wanted
        android = self.shell.run("uname -o").out.strip() == "Android"
        found = [path.name for path in sorted((self.sdk.root / "bin").glob("aarch64-*"))]
        fitting = [name for name in found if ("android" in name) == android]
        if len(fitting) != 1:
            raise Unsupported(
                f"the SDK in ${self.sdk.variable} is built for {', '.join(found) or 'no aarch64 system'}; set "
                f"SNPE_TARGET_ARCH to the one that {self.shell.name} runs."
            )
        return fitting[0]

    def _files(self, arch: str) -> dict[str, list[Path]]:
        """What goes where on the board."""
        root = self.sdk.root
        files = {
            "bin": [root / "bin" / arch / tool for tool in TOOLS],
            "lib": sorted((root / "lib" / arch).glob("*.so")),
            "dsp": next((found for place in DSP if (found := sorted((root / place).glob("*.so")))), []),
        }
        lacking = [path.name for path in files["bin"] if not path.is_file()]
        lacking += [f"*.so of {name}" for name in ("lib", "dsp") if not files[name]]
        if lacking:
            raise Unsupported(
                f"the SDK in ${self.sdk.variable} lacks {', '.join(lacking)} for {arch} and Hexagon V66; set "
                "SNPE_TARGET_ARCH, or unpack an SDK that still carries V66."
            )
        return files

    def within(self, folder: str, command: str) -> str:
        """The command in a folder of the board, with SNPE's environment."""
        return (
            f'cd {folder} && export PATH="{self.place}/bin:$PATH" LD_LIBRARY_PATH="{self.place}/lib:$LD_LIBRARY_PATH" '
            f'ADSP_LIBRARY_PATH="{self.place}/dsp;{SYSTEM}" && {command}'
        )

    def must(self, script: str, tool: str, subject: str, timeout_s: float = 60.0) -> Reply:
        """Run a script there that has to end well. Raises ToolchainError naming ``tool`` where it does not."""
        reply = self.shell.run(script, timeout_s)
        if reply.code != 0:
            raise ToolchainError(
                f"{subject}: {tool} on {self.shell.name} ended with exit code {reply.code}. Its last words: "
                f"{reply.last}."
            )
        return reply


def _dsp_passed(reply: Reply) -> bool:
    lines = reply.out.replace("\0", "").splitlines()
    return any(line.startswith("Unit Test on the runtime DSP") and "Passed" in line for line in lines)
