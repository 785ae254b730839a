"""One vendor tool, one child process: bounded in time and memory, and every way to die in plain words.

A worker of ours gets its request as ``request.json`` and arrays beside it, and answers with ``result.json``;
a command of the vendor's own is told by its arguments. Both ends of their standard output are files,
written by C libraries as well as by Python.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from harness.errors import ToolchainError

MAX_RESULT = 16 << 20  # bytes; figures travel as .npy, a result.json holds words
TAIL = 16 << 10  # bytes of a log searched for its last lines
POLL_S = 0.05
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
KEPT = ("PATH", "LANG", "LC_ALL", "HOME", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use: wall-clock seconds, and MiB resident in it and its children together."""

    seconds: float = 600.0
    memory_mib: int = 6144


@dataclass(frozen=True, slots=True)
class Child:
    """A worker: the Python that runs it, its file, and whose build it is (for messages)."""

    python: Path
    worker: Path
    subject: str  # such as "ds-cnn rk3588/int8"
    environment: dict[str, str]
    limits: Limits


@dataclass(frozen=True, slots=True)
class Command:
    """A vendor's own command: its words, whose build it is, and what it needs in its environment."""

    words: tuple[str, ...]  # the program first
    subject: str
    environment: dict[str, str]
    limits: Limits = Limits()

    @property
    def name(self) -> str:
        return Path(self.words[0]).name


def run_command(command: Command, folder: Path) -> str:
    """All it said, standard output before standard error; it stands in ``folder``, where its logs stay.

    Raises ToolchainError for a crash, an exit code, time or memory exceeded.
    """
    logs = _logs(folder, f"{command.name}.")
    with tempfile.TemporaryDirectory(prefix="voxgate-", ignore_cleanup_errors=True) as scratch:
        fault = _supervise(command.words, command.environment, command.limits, logs, Path(scratch), folder)
    if fault is None:
        return "".join(COLOUR.sub("", log.read_bytes()[-MAX_RESULT:].decode("utf-8", "replace")) for log in logs)
    kept = _keep(folder)
    again = f"(cd {shlex.quote(str(kept))} && {shlex.join(command.words)})"
    raise ToolchainError(_message(f"{command.subject}: {command.name}", fault, _logs(kept, f"{command.name}."), again))


def run_child(child: Child, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The worker's result. ``folder`` takes request, result, stdout.log and stderr.log.

    Raises ToolchainError for a crash, an exit code, time or memory exceeded, no result or a refusal.
    """
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    (folder / "request.json").write_text(json.dumps(request, indent=1), encoding="utf-8")
    words = (str(child.python), "-I", str(child.worker.resolve()), str(folder.resolve()))
    # Vendor tools drop files where they stand and in TMPDIR; both vanish with this folder, even after a kill.
    with tempfile.TemporaryDirectory(prefix="voxgate-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        fault = _supervise(words, child.environment, child.limits, _logs(folder), scratch, scratch)
    if fault is None:
        fault, answer = _read(result)
        if fault is None:
            return answer
    kept = _keep(folder)
    again = f"{child.python} -I {child.worker} {kept}"
    raise ToolchainError(_message(f"{child.subject}: {child.worker.stem}", fault, _logs(kept), again))


def _logs(folder: Path, prefix: str = "") -> tuple[Path, Path]:
    return folder / f"{prefix}stdout.log", folder / f"{prefix}stderr.log"


def _supervise(
    words: tuple[str, ...],
    environment: dict[str, str],
    limits: Limits,
    logs: tuple[Path, Path],
    scratch: Path,
    stand: Path,
) -> str | None:
    """Run a command, standing in ``stand``, to its end; what went wrong, or None for exit code 0."""
    environment = {key: os.environ[key] for key in KEPT if key in os.environ} | environment
    # One thread each: two children share two cores, and a figure must not depend on how many there are.
    environment |= {"TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"}
    with logs[0].open("wb") as out, logs[1].open("wb") as err:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=stand,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            return f"could not be started ({error.strerror or error})"
        try:
            return _watch(process, limits)
        finally:
            _kill_group(process)


def _watch(process: subprocess.Popen[bytes], limits: Limits) -> str | None:
    deadline = time.monotonic() + limits.seconds
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return _ending(process.wait(POLL_S))
        if _resident(process.pid) > limits.memory_mib << 20:
            return f"was stopped: it used more than its {limits.memory_mib} MiB of memory"
        if time.monotonic() > deadline:
            return f"was stopped: it took longer than its {limits.seconds:g} s"


def _ending(code: int) -> str | None:
    if code == 0:
        return None
    if code > 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = " (this machine ran out of memory?)" if -code == signal.SIGKILL else ""
    return f"crashed with {name}{hint}"


def _resident(pid: int) -> int:
    """Bytes resident in a process and its descendants; a limit on address space would stop torch's own reserve."""
    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # The group outlives its leader when a tool leaves a helper behind (adb's daemon does).
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(path: Path) -> tuple[str | None, dict[str, Any]]:
    if not path.is_file() or path.is_symlink():
        return "ended without a result", {}
    if path.stat().st_size > MAX_RESULT:
        return f"wrote a result of more than {MAX_RESULT >> 20} MiB", {}
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return "wrote a result that is not JSON", {}
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        return "wrote a result that says neither ok nor an error", {}
    if not answer["ok"]:
        return f"refused: {str(answer.get('error', 'without a reason'))[:600].rstrip('.')}", {}
    return None, answer


def _keep(folder: Path) -> Path:
    """A copy of the job's own files: its folder vanishes with the failed build."""
    kept = Path(tempfile.mkdtemp(prefix="voxgate-failed-"))
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                shutil.copyfile(path, kept / path.name)
    return kept


def _message(who: str, fault: str, logs: tuple[Path, Path], again: str) -> str:
    out, err = logs
    lines = last_lines(err, 2) + last_lines(out, 2)
    return (
        f"{who} {fault}. Its last words: {' | '.join(lines) or '(none)'}. All that went in and out is kept in "
        f"{out.parent} ({out.name}, {err.name}). To run it again by hand: {again}"
    )


def last_lines(path: Path, count: int) -> list[str]:
    """The last ``count`` lines of a log that say something, at most 200 characters each."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        text = file.read().decode("utf-8", "replace")
    # Progress bars overwrite one line with carriage returns: only what stands last was said.
    said = [COLOUR.sub("", line).rsplit("\r", 1)[-1].strip() for line in text.split("\n")]
    return [line[:200] for line in said if line][-count:]
