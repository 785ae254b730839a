"""Vendor toolchains, each in a virtual environment of its own, made from a locked and hashed list.

A toolchain is a ``requirements/<name>.in``, whose first lines say which modules must import and for which
Pythons it has wheels, and the locks made from it, ``<name>*.txt``. Its folder is named by the digest of
the locks, so another version of voxgate never meets an environment made from other pins.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import platformdirs
from filelock import FileLock

from harness.cache import disk_error
from harness.errors import ToolchainError, Unsupported, nearest
from harness.targets.base import Ability, Progress
from harness.targets.process import Child, Limits, last_lines, run_child

REQUIREMENTS = Path(__file__).with_name("requirements")
MARKER = "installed.json"  # written last: without it the folder is a half-finished install
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
FETCHED = re.compile(r"(?:Downloading|Using cached|Processing) (?:\S*/)?([A-Za-z0-9_.]+?)-(\d[^-\s]*)-\S+\.whl\S*(.*)")
FACT = re.compile(r"^# (imports|pythons): (.+)$", re.MULTILINE)
TRIAL = """
import importlib, importlib.metadata, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps({entry.metadata["Name"]: entry.version for entry in importlib.metadata.distributions()}))
"""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """An installed environment and the Python that runs it."""

    name: str
    folder: Path
    python: Path


def names() -> list[str]:
    """The toolchains that can be installed."""
    return sorted(path.stem for path in REQUIREMENTS.glob("*.in"))


def pins(name: str) -> dict[str, str]:
    """Package to version, as locked; the installed environment holds exactly these."""
    return {package: version.partition("+")[0] for package, version in PIN.findall(_locks(name))}


def facts(name: str) -> dict[str, list[str]]:
    """``imports`` and ``pythons`` of a toolchain, as the first lines of its .in say them."""
    text = (REQUIREMENTS / f"{name}.in").read_text(encoding="utf-8")
    return {key: words.split() for key, words in FACT.findall(text)}


def place(name: str) -> Path:
    """Where the environment lies, or will."""
    override = os.environ.get("VOXGATE_TOOLCHAINS")
    root = Path(override) if override else platformdirs.user_cache_path("voxgate") / "toolchains"
    return root / f"{name}-{hashlib.sha256(_locks(name).encode()).hexdigest()[:12]}"


def installed(name: str) -> Toolchain | None:
    """The toolchain when its environment is whole, else None."""
    folder = place(name)
    python = folder / "bin" / "python"
    return Toolchain(name, folder, python) if (folder / MARKER).is_file() and python.exists() else None


def needed(name: str) -> Toolchain:
    """The toolchain, or Unsupported with the command that installs it."""
    found = installed(name)
    if found is None:
        raise Unsupported(f"the {name} toolchain is not installed here. Run: voxgate toolchain install {name}")
    return found


def ability(name: str, what: Literal["compile", "emulate"], package: str) -> Ability:
    """Whether the toolchain, told by its chief package, is here to compile or to emulate."""
    said = f"{package} {pins(name)[package]}"
    if installed(name) is None:
        return Ability(what, False, f"{said} is not installed", f"voxgate toolchain install {name}")
    return Ability(what, True, said)


def install(name: str, say: Progress) -> Toolchain:
    """Make the environment unless it is there; a half-finished one is made anew.

    Raises ToolchainError naming the package, the reason and the log; InfraError on a full disk.
    """
    folder = place(name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            found = installed(name)
            if found is None:
                found = Installer(name, folder, say, time.monotonic()).run()
            else:
                say(f"{name}: already installed in {folder}")
            return found
    except OSError as error:
        raise disk_error(error, folder) from error


@dataclass(frozen=True, slots=True)
class Installer:
    """The steps of one install; every word of pip goes to ``<folder>.log``."""

    name: str
    folder: Path
    say: Progress
    started: float

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    def run(self) -> Toolchain:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        self.say(f"{self.name}: making an environment in {self.folder} (log: {self.log})")
        self._environment()
        self._pip(f"{self.name}.txt")
        self._torch()
        versions = self._try()
        seconds = time.monotonic() - self.started
        record = {"toolchain": self.name, "versions": versions, "seconds": round(seconds, 1)}
        (self.folder / MARKER).write_text(json.dumps(record, indent=1), encoding="utf-8")
        self.say(f"{self.name}: installed in {seconds:.0f} s")
        return Toolchain(self.name, self.folder, self.folder / "bin" / "python")

    def _environment(self) -> None:
        pythons = facts(self.name)["pythons"]
        own = f"{sys.version_info[0]}.{sys.version_info[1]}"
        if own in pythons:
            venv.create(self.folder, with_pip=True, symlinks=True)
            return
        for wanted in pythons:
            python = shutil.which(f"python{wanted}")
            if python and self._call([python, "-m", "venv", self.folder]) == 0:
                return
        raise Unsupported(
            f"the {self.name} toolchain has packages for Python {' and '.join(pythons)} only, and this is {own}. "
            f"Put python{pythons[0]} on PATH, then run: voxgate toolchain install {self.name}"
        )

    def _torch(self) -> None:
        """torch for CPUs where pip finds it, else the registry's own with the CUDA it is linked against."""
        cpu, cuda = (REQUIREMENTS / f"{self.name}-torch-{kind}.txt" for kind in ("cpu", "cuda"))
        if not cpu.is_file() or self._call(self._pip_command(cpu)) == 0:
            return
        if "No matching distribution found" not in self.log.read_text(encoding="utf-8", errors="replace"):
            raise self._failed(cpu.name)
        self.say(
            f"{self.name}: pip finds no CPU-only torch {pins(self.name)['torch']} for this Python, so the registry's "
            "wheel comes, with CUDA libraries (gigabytes) that are never used. To avoid them, stop, tell pip of a "
            "folder with the CPU wheel (pip config set global.find-links FOLDER), and run this again."
        )
        self._pip(cuda.name)

    def _pip(self, requirements: str) -> None:
        if self._call(self._pip_command(REQUIREMENTS / requirements)) != 0:
            raise self._failed(requirements)

    def _pip_command(self, requirements: Path) -> list[str | Path]:
        # --no-deps: each list is closed, and rknn-toolkit2 declares pins that cannot be met together.
        return [
            self.folder / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--require-hashes",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--progress-bar",
            "off",
            "--no-input",
            "-r",
            requirements,
        ]

    def _call(self, command: Sequence[str | Path]) -> int:
        """Run one step, its words to the log, a line of progress for each package fetched."""
        environment = {**os.environ, "PYTHONNOUSERSITE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        with (
            self.log.open("a", encoding="utf-8") as log,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
            ) as process,
        ):
            for line in process.stdout or ():
                log.write(line)
                if said := progress(line):
                    self.say(f"{self.name}: {said} ({time.monotonic() - self.started:.0f} s)")
        return process.returncode

    def _try(self) -> dict[str, str]:
        """Import what the pins promise, in the new environment, before anybody relies on it."""
        modules = facts(self.name)["imports"]
        command: list[str | Path] = [self.folder / "bin" / "python", "-I", "-c", TRIAL, *modules]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        with self.log.open("a", encoding="utf-8") as log:
            log.write(done.stdout + done.stderr)
        if done.returncode != 0:
            raise self._failed(f"the import of {', '.join(modules)}")
        versions: dict[str, str] = json.loads(done.stdout.strip().splitlines()[-1])
        return versions

    def _failed(self, what: str) -> ToolchainError:
        lines = " | ".join(last_lines(self.log, 3)) or "(nothing)"
        return ToolchainError(
            f"the {self.name} toolchain could not be installed: {what} failed. Last words: {lines}. The whole log is "
            f"{self.log}. When that is mended, run again: voxgate toolchain install {self.name}"
        )


def progress(line: str) -> str | None:
    """One line of pip in the words of a person, or None where it says nothing new."""
    fetched = FETCHED.search(line)
    if fetched:
        size = re.search(r"\(([\d.]+ [kMG]?B)\)", fetched[3])
        return f"{fetched[1].replace('_', '-')} {fetched[2]}" + (f", {size[1]}" if size else "")
    if line.startswith("Installing collected packages:"):
        return f"unpacking {line.count(',') + 1} packages"
    return None


def run_worker(
    toolchain: Toolchain,
    worker: Path,
    request: dict[str, Any],
    folder: Path,
    *,
    subject: str,
    limits: Limits = Limits(),  # noqa: B008 -- frozen
    environment: dict[str, str] | None = None,
) -> dict[str, Any]:
    """One worker of a toolchain, run to its end; see :func:`harness.targets.process.run_child`."""
    return run_child(Child(toolchain.python, worker, subject, environment or {}, limits), request, folder)


def _locks(name: str) -> str:
    files = sorted(REQUIREMENTS.glob(f"{name}*.txt")) if name in names() else []
    if not files:
        raise Unsupported(
            f"there is no toolchain {name!r} to install{nearest(name, names())}; there is: {', '.join(names())}."
        )
    return "".join(path.read_text(encoding="utf-8") for path in files)
