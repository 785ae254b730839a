"""Virtual boards as a lab: their entries of lab.toml, and ``voxgate lab virtual``, which keeps some running."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import string
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.boards.virtual.board import VirtualBoard
    from harness.targets.base import Progress

MOST = len(string.ascii_lowercase)
FOLDER = Path(".voxgate") / "lab"
WATCH_S = 1.0


def entry(board: VirtualBoard) -> str:
    """The board as a table of lab.toml. Its power is switched by a command, as any board's."""
    reached = board.ssh
    power = {
        name: [sys.executable, "-m", "harness.boards.virtual", "power", str(board.folder), name]
        for name in ("on", "off", "cycle")
    }
    lines = ["[[board]]", f'id = "{board.name}"', 'targets = ["host"]', "virtual = true"]
    lines += ['notes = "qemu, instruction-counted: compare its figures, never quote them"']
    lines += ["[board.address]", f'user = "{reached.user}"', f'host = "{reached.host}"', f"port = {reached.port}"]
    lines += [f"identity = {json.dumps(str(reached.identity))}"]
    lines += [f"known_hosts = {json.dumps(str(reached.known_hosts))}"]
    lines += ["[board.power]", *(f"{name} = {json.dumps(words)}" for name, words in power.items())]
    return "\n".join(lines) + "\n"


def write(path: Path, boards: Sequence[VirtualBoard]) -> Path:
    """A lab.toml of these boards."""
    from harness.cache import disk_error

    try:
        path.write_text("\n".join(entry(board) for board in boards), encoding="utf-8")
    except OSError as error:
        raise disk_error(error, path) from error
    return path


def add(lab: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``voxgate lab virtual``."""
    virtual = lab.add_parser("virtual", help="boot virtual arm64 boards, and keep them until Ctrl-C")
    virtual.add_argument("--count", type=_count, default=1, help="how many (default: 1)")
    virtual.add_argument("--folder", type=Path, default=FOLDER, help=f"for their disks and keys (default: {FOLDER})")
    virtual.add_argument("--shift", type=int, choices=range(8), default=1, help="2**N ns an instruction (default: 1)")
    virtual.set_defaults(call=_run)


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= MOST:
        raise argparse.ArgumentTypeError(f"1 to {MOST} boards")
    return count


def _run(options: argparse.Namespace) -> None:
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(0))  # so that the boards end as after Ctrl-C
    keep(options.folder.absolute(), options.count, options.shift, lambda text: print(text, flush=True))


def keep(folder: Path, count: int, shift: int, say: Progress) -> None:
    """Boot boards below ``folder`` and say how to reach them; they end with the KeyboardInterrupt that ends this."""
    from harness.boards.virtual import keys
    from harness.boards.virtual.board import VirtualBoard

    boards = [VirtualBoard(folder / f"virtual-{letter}", say) for letter in string.ascii_lowercase[:count]]
    toml = folder / "lab.toml"
    with ExitStack() as stack:
        for board in boards:
            say(f"{board.name}: booting")
            board.start(shift)
            stack.callback(board.stop)
            say(f"{board.name}: {shlex.join(keys.ssh_command(board.ssh))}")
        write(toml, boards)
        stack.callback(toml.unlink, missing_ok=True)
        say(f"pytest -m host --lab {shlex.quote(str(toml))}")
        say("Ctrl-C ends them")
        try:
            while True:
                time.sleep(WATCH_S)
        except KeyboardInterrupt:
            say("ending")
