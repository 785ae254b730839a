"""A whole pytest run in a process of its own, forked from one that has met the slow libraries already.

Importing them takes longer than most runs. Nothing of voxgate is imported before the fork: the run finds the
package as it would from a shell in its folder.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

LIBRARIES = (
    "audiomentations",
    "kaldi_native_fbank",
    "matplotlib.figure",
    "onnx.checker",
    "pyroomacoustics",
    "rich.console",
    "safetensors.numpy",
    "scipy.signal",
    "scipy.stats",
    "soundfile",
)


def run_pytest(arguments: list[str], cwd: Path, environment: dict[str, str], output: Path, seconds: float) -> int:
    """The exit status of ``pytest *arguments``, run in ``cwd``; all it prints goes to ``output``."""
    process = start_pytest(arguments, cwd, environment, output)
    try:
        process.join(seconds)
        code = process.exitcode
    finally:
        kill(process)  # what it left running, too
    if code is None:
        raise TimeoutError(f"pytest {' '.join(arguments)} took longer than {seconds:g} s:\n{output.read_text()}")
    return code


def start_pytest(arguments: list[str], cwd: Path, environment: dict[str, str], output: Path) -> BaseProcess:
    """The same, under way, in a process group of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    process = context.Process(target=_main, args=(arguments, str(cwd), environment, str(output)))
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    """SIGKILL to all of its group, and wait for it."""
    assert process.pid is not None
    with suppress(ProcessLookupError):  # too young to lead a group
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _main(arguments: list[str], cwd: str, environment: dict[str, str], output: str) -> None:
    os.setpgid(0, 0)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, cwd)
    sys.argv = ["pytest", *arguments]
    sys.exit(int(pytest.main(arguments)))
