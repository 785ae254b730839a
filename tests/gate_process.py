"""A whole pytest run in a process of its own, forked from one that has met the slow libraries already.

Importing them takes longer than most runs. Nothing of voxgate is imported before the fork: the run finds the
package as it would from a shell in its folder.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
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
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    process = context.Process(target=_main, args=(arguments, str(cwd), environment, str(output)))
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"pytest {' '.join(arguments)} took longer than {seconds:g} s:\n{output.read_text()}")
    return process.exitcode


def _main(arguments: list[str], cwd: str, environment: dict[str, str], output: str) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, cwd)
    sys.argv = ["pytest", *arguments]
    sys.exit(int(pytest.main(arguments)))
