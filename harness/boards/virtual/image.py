"""The virtual board's image: made of Debian's packages and aarch64 wheels, without running any of them.

Packages are extracted, not configured; what their configuration would have made (users, init) is laid
beside them. The result is cached by the digest of everything that went in.
"""

from __future__ import annotations

import compileall
import gzip
import io
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from harness.cache import Cache, digest
from harness.errors import InfraError
from harness.targets.base import Progress
from harness.targets.process import last_lines

HERE = Path(__file__).parent
GUEST = HERE / "guest"
LOCK = HERE / "board.txt"
SUITE, PYTHON = "bookworm", "3.11"
PACKAGES = (
    *("base-files", "bash", "busybox-static", "coreutils", "dash", "findutils", "grep", "gzip", "iproute2"),
    *("libgomp1", "libstdc++6", "linux-image-cloud-arm64", "mount", "netbase", "openssh-server", "procps"),
    *("python3", "sed", "tar", "util-linux"),
)
MODULES = ("virtio_ring", "virtio", "virtio_mmio", "virtio_blk", "failover", "net_failover", "virtio_net", "overlay")
UNUSED = ("boot", "lib/modules", "usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache", "var/lib/apt")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
DISK = "1536M"  # sparse; about 400 MB of it used
STEP_S = 600.0
UNUSED_S = 30 * 86400.0
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "cpio": "cpio",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "setpriv": "util-linux",
}
BUILDERS = ("mmdebstrap", "mke2fs", "cpio")
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))  # mke2fs is not on a user's path


@dataclass(frozen=True, slots=True)
class Image:
    """What QEMU boots: never written to, shared by all boards."""

    kernel: Path
    initramfs: Path
    disk: Path  # raw ext4


def key() -> str:
    """The digest of all that an image is made of."""
    parts = [*sorted(GUEST.iterdir()), LOCK, Path(__file__)]
    return digest(*([part.name for part in parts], *parts, sys.version_info[:2]))


def find_image(say: Progress) -> Image:
    """The image from the user's cache, built there (in under a minute) when it is missing.

    Raises InfraError naming the packages to install, or the step that failed and its log.
    """
    require_tools([name for name in TOOLS if name not in BUILDERS])
    images = Cache(platformdirs.user_cache_path("voxgate") / "virtual-board")
    folder = images.entry("images", key(), lambda made: Builder(made, say).run()).path
    _forget(folder)
    return Image(folder / "vmlinuz", folder / "initramfs.gz", folder / "disk.ext4")


def _forget(used: Path) -> None:
    """Remove images that nobody used for long: those of other versions of voxgate."""
    os.utime(used)
    for other in used.parent.iterdir():
        if other.is_dir() and time.time() - other.stat().st_mtime > UNUSED_S:
            shutil.rmtree(other, ignore_errors=True)


def require_tools(names: Sequence[str]) -> None:
    """Raise InfraError with the one command that installs what lacks of ``names``."""
    missing = {TOOLS[name] for name in names if shutil.which(name, path=PATH) is None}
    if missing:
        raise InfraError(
            f"the virtual board needs programs that are not installed here. Run, as root: apt-get install "
            f"--no-install-recommends {' '.join(sorted(missing))}"
        )


@dataclass(frozen=True, slots=True)
class Builder:
    """The steps of one build in ``folder``, which holds nothing but the image in the end."""

    folder: Path
    say: Progress

    def run(self) -> None:
        require_tools(BUILDERS)
        if os.geteuid() != 0:
            raise InfraError(
                "the virtual board's image is made of files that belong to root, so root must make it, once: "
                f"run `sudo {sys.executable} -m harness.boards.virtual image`, with the same HOME or XDG_CACHE_HOME."
            )
        started = time.monotonic()
        self.say("virtual board: building its image from Debian's packages (under a minute)")
        root = self.folder / "root"
        self._step("extracting Debian's packages", _mmdebstrap(root))
        self._kernel(root)
        self._settle(root)
        self._wheels(root / "usr" / "local" / "lib" / f"python{PYTHON}" / "dist-packages")
        eager = "lazy_itable_init=0,lazy_journal_init=0"  # else the board's kernel does it while something is timed
        command: list[str | Path] = [
            "mke2fs",
            "-q",
            "-t",
            "ext4",
            "-m",
            "0",
            "-E",
            eager,
            "-d",
            root,
            self.folder / "disk.ext4",
            DISK,
        ]
        self._step("writing the disk", command)
        for left in (root, self.folder / "build.log", self.folder / "pip"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        self.say(f"virtual board: image built in {time.monotonic() - started:.0f} s")

    def _kernel(self, root: Path) -> None:
        """Kernel and initramfs out of the extracted packages."""
        kernel = next(iter((root / "boot").glob("vmlinuz-*")), None)
        if kernel is None:
            raise InfraError("virtual board: Debian's kernel package held no kernel; run again to fetch it anew.")
        shutil.copyfile(kernel, self.folder / "vmlinuz")
        tree = self.folder / "initramfs"
        for name in ("bin", "dev", "modules", "root", "sys"):
            (tree / name).mkdir(parents=True)
        shutil.copy2(root / "bin" / "busybox", tree / "bin" / "busybox")
        shutil.copy2(GUEST / "initramfs", tree / "init")
        for name in MODULES:
            shutil.copyfile(next((root / "lib" / "modules").rglob(f"{name}.ko")), tree / "modules" / f"{name}.ko")
        (tree / "modules" / "order").write_text("".join(f"{name}.ko\n" for name in MODULES))
        files = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
        packed = io.BytesIO(self._step("packing the initramfs", ["cpio", "-o", "-H", "newc"], cwd=tree, given=files))
        with gzip.open(self.folder / "initramfs.gz", "wb", compresslevel=1) as file:
            shutil.copyfileobj(packed, file)
        shutil.rmtree(tree)

    def _settle(self, root: Path) -> None:
        """What the packages' own scripts would have done, as far as it is needed; and away with the unneeded."""
        for name in UNUSED:
            shutil.rmtree(root / name, ignore_errors=True)
        board = root / "etc" / "board"
        board.mkdir()
        for name in ("boot", "sensors", "sshd_config"):
            shutil.copy2(GUEST / name, board / name)
        for name in ("passwd", "group", "inittab"):
            shutil.copy2(GUEST / name, root / "etc" / name)
        (root / "sbin").mkdir(exist_ok=True)
        (root / "sbin" / "init").symlink_to("/bin/busybox")

    def _wheels(self, site: Path) -> None:
        environment = self.folder / "pip"
        venv.EnvBuilder(with_pip=True).create(environment)
        chosen = [word for name in PLATFORMS for word in ("--platform", name)]
        command: list[str | Path] = [environment / "bin" / "python", "-m", "pip", "install", "--target", site]
        command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-compile", "--no-input"]
        command += ["--implementation", "cp", "--python-version", PYTHON, *chosen, "-r", LOCK]
        self._step("installing the runtimes' wheels", command)
        if "{}.{}".format(*sys.version_info) == PYTHON:  # its bytecode spares the board minutes of compiling
            for library in (site, site.parents[3] / "lib" / f"python{PYTHON}"):
                compileall.compile_dir(str(library), quiet=2, stripdir=str(site.parents[4]), prependdir="/")

    def _step(
        self, what: str, command: Sequence[str | Path], cwd: Path | None = None, given: str | None = None
    ) -> bytes:
        self.say(f"virtual board: {what}")
        log = self.folder / "build.log"
        with log.open("ab") as words:
            try:
                done = subprocess.run(
                    command,
                    cwd=cwd,
                    input=given.encode() if given is not None else None,
                    stdout=subprocess.PIPE,
                    stderr=words,
                    env={**os.environ, "PATH": PATH, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
                    timeout=STEP_S,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise InfraError(f"virtual board: {what} failed: {error}. Run again when that is mended.") from error
            words.write(done.stdout if given is None else b"")
        if done.returncode != 0:
            said = " | ".join(last_lines(log, 3)) or "(nothing)"
            raise InfraError(
                f"virtual board: {what} failed with exit code {done.returncode}. Last words: {said}. When that is "
                "mended, run again; nothing half-built is kept."
            )
        return done.stdout


def _mmdebstrap(root: Path) -> list[str | Path]:
    return [
        "mmdebstrap",
        "--variant=extract",
        "--mode=root",
        "--architectures=arm64",
        f"--include={','.join(PACKAGES)}",
        SUITE,
        root,
    ]
