"""A candidate and a run of its own, for the commands that do not judge."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.candidate import Candidate
    from harness.run import Run

ASK_DOCTOR = "Run: voxgate doctor"


def house_options(command: argparse.ArgumentParser) -> None:
    """Where a command finds the candidate's house, its audio, and a place for what it makes."""
    command.add_argument("--house", type=Path, help="folder with corpora/ and golden/ (found from the candidate)")
    command.add_argument("--data", type=Path, help="folder of audio that corpora refer to but do not carry")
    command.add_argument("--work", type=Path, default=Path(".voxgate"), help="work folder (default: .voxgate)")


def opened(options: argparse.Namespace, stage: str) -> tuple[Candidate, Run]:
    """The candidate of a folder, checked, and a run of its own below the work folder."""
    from harness.cache import Cache
    from harness.candidate import load
    from harness.run import Run

    folder = options.candidate.resolve()
    candidate = load(folder, options.house or _house(folder))
    work = options.work.absolute()  # builds run elsewhere, in folders of their own
    run = Run(folder=work / stage, cache=Cache(work / "cache"), data=options.data)
    run.ready(candidate)
    return candidate, run


def say(text: str) -> None:
    """Progress on stderr: stdout is for what was asked."""
    print(f"voxgate: {text}", file=sys.stderr, flush=True)


def _house(folder: Path) -> Path:
    return folder.parent.parent if folder.parent.name == "models" else folder.parent
